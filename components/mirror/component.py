"""Copy an image to another registry."""

from typing import NamedTuple

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def mirror(
    image: str,
    mirror_target: str = "",
    if_exists: str = "update",
) -> NamedTuple("Outputs", [("image", str), ("copied_bytes", int)]):
    """Copy an image from registry to registry as a stream: no disk, the same digests, only the blobs that are missing.

    Args:
        image: Image to copy, pinned to its digest.
        mirror_target: Where to, registry/repository:tag. Empty copies nothing and passes the image on.
        if_exists: What happens to a tag that holds something else already: update (a tag with the same model moves, any
            other is refused), replace (it moves whatever it holds) or refuse.

    Returns:
        image: The copy, pinned to the same digest; without a target the image itself.
        copied_bytes: Bytes that were moved.
    """
    from collections import namedtuple

    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.mirror import mirror as run_mirror

    outputs = namedtuple("Outputs", ["image", "copied_bytes"])
    if not mirror_target:
        print("no mirror was asked for")
        return outputs(image, 0)
    with recorded("mirror") as record, exit_with_one_line():
        done = run_mirror(image, mirror_target, if_exists=if_exists)
        record.image, record.moved_bytes, record.unchanged = str(done.image), done.copied_bytes, done.unchanged
    return outputs(str(done.image), done.copied_bytes)
