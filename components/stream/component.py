"""Stream a model from the Hub into registries."""

from typing import List, NamedTuple

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def stream(
    model: str,
    target: str = "",
    mirror_target: str = "",
    revision: str = "main",
    include: List[str] = [],
    exclude: List[str] = [],
    everything: bool = False,
    allow_pickle: List[str] = [],
    variant: str = "",
    transport: str = "http",
    model_layout: str = "flat",
    adapters: List[str] = [],
    base_image: str = "",
    allow_base_models: bool = False,
    max_layer_size: int = 20_000_000_000,
    reshard: bool = False,
    if_exists: str = "update",
) -> NamedTuple("Outputs", [("image", str), ("commit", str), ("read_bytes", int), ("unchanged", bool)]):
    """Make an OCI image (a KServe modelcar) out of the Hub's bytes while they arrive: no claim, no disk, one pass.

    The image is the one that download and build make, to the digest. A run that broke off goes on, on any node; layers
    that the target's tag holds already are not read again. The token for gated models is read from HF_TOKEN.

    Args:
        model: Id of the model on the Hub, organisation/name; or s3://bucket/folder, oci://registry/repository:tag or
            pvc://claim/folder, for one that is not there.
        target: Image to write, registry/repository:tag. Empty: OpenShift's own registry, in the run's own project.
        mirror_target: Image to write as well, in the same pass over the bytes. Empty: none.
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
        base_image: Image under the model; empty for the small one that KServe's modelcars need.
        allow_base_models: Also take a base image that holds /models itself, which is refused otherwise: what it has
            there is served with the model.
        max_layer_size: Largest layer that the registries take, in bytes. Quay's default limit is 20000000000.
        reshard: Cut safetensors and GGUF files that are larger than that into files that are not, tensor by tensor.
            Such a file is read twice.
        if_exists: What happens to tags that hold something else already: update (a tag with the same model moves, any
            other is refused), replace (it moves whatever it holds) or refuse.

    Returns:
        image: The image at the target, pinned to its digest.
        commit: Commit that the revision stood for.
        read_bytes: Bytes that were read from the Hub; the registries had the rest.
        unchanged: Whether the targets already held this very image.
    """
    given = dict(locals())

    from collections import namedtuple

    from modelcar.hub.selection import Selection
    from modelcar.image.request import ImageRequest
    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.stream import stream as run_stream

    with recorded("stream") as record, exit_with_one_line():
        done = run_stream(Selection.of(given), ImageRequest.of(given))
        record.image, record.commit = str(done.mirrored or done.image), done.commit
        record.moved_bytes, record.unchanged = done.read_bytes, done.unchanged
    outputs = namedtuple("Outputs", ["image", "commit", "read_bytes", "unchanged"])
    return outputs(str(done.image), done.commit, done.read_bytes, done.unchanged)
