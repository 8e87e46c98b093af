"""Stream a model onto a serving image in Artifact Registry, on Vertex AI."""

from typing import Any, Dict, List, NamedTuple

from modelcar.components.self_contained import VERTEX_IMAGE, self_contained


@self_contained(__file__, base_image=VERTEX_IMAGE)
def stream_on_vertex(
    model: str,
    target: str,
    serving_image: str,
    project: str,
    location: str = "",
    revision: str = "main",
    include: List[str] = [],
    exclude: List[str] = [],
    everything: bool = False,
    allow_pickle: List[str] = [],
    variant: str = "",
    max_layer_size: int = 9_900_000_000,
    reshard: bool = False,
    hf_token_secret: str = "",
    serving_args: List[str] = [],
    serving_container: Dict[str, Any] = {},
    if_exists: str = "update",
    allow_base_models: bool = False,
) -> NamedTuple("Outputs", [("image", str), ("commit", str), ("read_bytes", int), ("unchanged", bool)]):
    """Put a model from the Hub on top of a serving image in Artifact Registry, while its bytes arrive: no disk.

    It logs in as the account that it runs as, with the platform's own tokens. A run that broke off goes on; layers that
    the target's tag holds already are not read again.

    Args:
        model: Id of the model on the Hub, organisation/name.
        target: Image to write, such as europe-west4-docker.pkg.dev/my-project/models/granite:3.3-2b.
        serving_image: Image under the model, which is in /models.
        project: Project of the Secret Manager's secret.
        location: Region of the Model Registry, which pulls the image from the target. Empty: not compared with it.
        revision: Branch, tag or commit. A branch or tag is resolved to its commit once, at the start.
        include: Glob patterns such as "*.safetensors"; where there are any, of the weights only what they match is
            taken, and what is of use only with that. Licence, README, configuration and tokenizer stay.
        exclude: Glob patterns of files to leave out.
        everything: Also take duplicate weights and other frameworks' weights, which are left out otherwise.
        allow_pickle: Glob patterns of files to take although they run code when they are loaded; "*" for all.
        variant: Which of several alternatives to take, such as Q4_K_M or fp16. Empty: the usual one.
        max_layer_size: Largest layer to make, in bytes. Artifact Registry's quota is 9900000000 unless it was raised.
        reshard: Cut safetensors and GGUF files that are larger than that into files that are not, tensor by tensor.
            Such a file is read twice.
        hf_token_secret: Secret Manager's secret with a Hugging Face token, for gated and private models. Empty: none.
        serving_args: Arguments of the server, checked before a byte moves.
        serving_container: More of Vertex AI's ModelContainerSpec, by its own names; likewise.
        if_exists: What happens to a tag that holds something else already: update (one with the same model moves, any
            other is refused), replace (it moves whatever it holds) or refuse.
        allow_base_models: Also take a serving image that holds /models itself, which is refused otherwise: what it has
            there would be served with the model.

    Returns:
        image: The image at the target, pinned to its digest.
        commit: Commit that the revision stood for.
        read_bytes: Bytes that were read from the Hub; the registry had the rest.
        unchanged: Whether the target already held this very image.
    """
    given = dict(locals())

    import os
    from collections import namedtuple

    from modelcar import google_cloud
    from modelcar.hub.selection import Selection
    from modelcar.image.request import ImageRequest
    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps import vertex_upload
    from modelcar.steps.stream import stream as run_stream

    with recorded("stream") as record, exit_with_one_line():
        vertex_upload.check_target(target, location)
        vertex_upload.check_server(serving_image, serving_args, serving_container)
        if hf_token_secret:
            # Where the Hub's own client looks for it.
            os.environ["HF_TOKEN"] = google_cloud.read_secret(hf_token_secret, project)
        done = run_stream(Selection.of(given), ImageRequest.of({**given, "base_image": serving_image}))
        record.image, record.commit = str(done.image), done.commit
        record.moved_bytes, record.unchanged = done.read_bytes, done.unchanged
    outputs = namedtuple("Outputs", ["image", "commit", "read_bytes", "unchanged"])
    return outputs(str(done.image), done.commit, done.read_bytes, done.unchanged)
