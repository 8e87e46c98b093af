"""Download a model from the Hub to the claim."""

from typing import List, NamedTuple

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def download(
    model: str,
    revision: str = "main",
    include: List[str] = [],
    exclude: List[str] = [],
    everything: bool = False,
    allow_pickle: List[str] = [],
    variant: str = "",
    transport: str = "http",
    model_layout: str = "flat",
    adapters: List[str] = [],
) -> NamedTuple("Outputs", [("directory", str), ("commit", str), ("size", int), ("record_digest", str)]):
    """Download a model from Hugging Face to the claim, and check every file against the hash the Hub published.

    A run that was interrupted goes on where it stopped; files that are there and right are not fetched again. The
    token for gated and private models is read from HF_TOKEN, another Hub from HF_ENDPOINT.

    Args:
        model: Id of the model on the Hub, organisation/name; or s3://bucket/folder, oci://registry/repository:tag or
            pvc://claim/folder, for one that is not there.
        revision: Branch, tag or commit. A branch or tag is resolved to its commit once, at the start.
        include: Glob patterns such as "*.safetensors"; where there are any, of the weights only what they match is
            taken, and what is of use only with that. Licence, README, configuration and tokenizer stay.
        exclude: Glob patterns of files to leave out.
        everything: Also take duplicate weights and other frameworks' weights, which are left out otherwise.
        allow_pickle: Glob patterns of files to take although they run code when they are loaded (.bin, .pt and other
            Python pickles), which are refused otherwise; "*" for all.
        variant: Which of several alternatives to take: a type (Q4_K_M), a precision (fp16), a format (onnx) or a
            folder. Empty: the loaders' own default; where there is none, the run is refused with a list.
        transport: What brings the files' bytes: http (in parts, over several connections), xet (the Hub's own storage
            protocol, where it has the file; takes up to a quarter of the memory) or auto (xet where memory allows it).
        model_layout: flat (the files lie in the image's /models) or versioned (in /models/1, as OpenVINO Model Server,
            Triton and TensorFlow Serving want it).
        adapters: LoRA adapters to put into the image beside the model, in /models/lora-adapters; each written as a
            model is.

    Returns:
        directory: Directory on the claim that holds the files.
        commit: Commit that the revision stood for.
        size: Size of the files in bytes.
        record_digest: SHA-256 of the record that lies beside the files: what the Hub published, and digests of layers.
            A build that is given it goes by no other, and one that signs needs it: others may write to a claim as well.
    """
    given = dict(locals())

    from collections import namedtuple

    from modelcar import pod
    from modelcar.hub.selection import Selection
    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.download import download as run_download

    with recorded("download") as record, exit_with_one_line():
        done = run_download(Selection.of(given), pod.CLAIM)
        record.commit, record.size, record.moved_bytes = done.snapshot.commit, done.snapshot.size, done.fetched_bytes
        record.unchanged = not done.fetched_bytes
    outputs = namedtuple("Outputs", ["directory", "commit", "size", "record_digest"])
    return outputs(str(done.directory), done.snapshot.commit, done.snapshot.size, done.record_digest)
