"""Build the image of a downloaded model and push it."""

from typing import NamedTuple

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def build(
    directory: str,
    target: str = "",
    base_image: str = "",
    allow_base_models: bool = False,
    builder: str = "auto",
    max_layer_size: int = 20_000_000_000,
    reshard: bool = False,
    if_exists: str = "update",
    record_digest: str = "",
) -> NamedTuple("Outputs", [("image", str), ("sent_bytes", int), ("unchanged", bool)]):
    """Build an OCI image (a KServe modelcar) of a downloaded model and push it; the tag is written last.

    The same commit gives the same image, to the digest, on any machine and day and with either builder. All that is
    written goes to the claim, never to the node's own disk.

    Args:
        directory: Directory on the claim that holds a finished download.
        target: Image to write, registry/repository:tag. Empty: OpenShift's own registry, in the run's own project.
        base_image: Image under the model; empty for the small one that KServe's modelcars need.
        allow_base_models: Also take a base image that holds /models itself, which is refused otherwise: what it has
            there is served with the model.
        builder: buildah, direct (streams the files into the registry, without buildah and scratch space), or auto:
            buildah where the step's image has it and the node lets it work, else direct.
        max_layer_size: Largest layer that the registry takes, in bytes. Quay's default limit is 20000000000.
        reshard: Cut safetensors and GGUF files that are larger than that into files that are not, tensor by tensor.
            Such a file is read twice.
        if_exists: What happens to a tag that holds something else already: update (a tag with the same model moves, any
            other is refused), replace (it moves whatever it holds) or refuse.
        record_digest: The download's output of that name: the build goes by no other record on the claim. Empty: it
            goes by the one that is there, whoever wrote it, and says so; a build with a signing key refuses that.

    Returns:
        image: The image, pinned to its digest.
        sent_bytes: Bytes of layers that were sent; the registry had the rest.
        unchanged: Whether the target already held this very image.
    """
    given = dict(locals())

    from collections import namedtuple

    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.build import BuildRequest
    from modelcar.steps.build import build as run_build

    with recorded("build") as record, exit_with_one_line():
        done = run_build(BuildRequest.of(given))
        record.image, record.moved_bytes, record.unchanged = str(done.image), done.sent_bytes, done.unchanged
    outputs = namedtuple("Outputs", ["image", "sent_bytes", "unchanged"])
    return outputs(str(done.image), done.sent_bytes, done.unchanged)
