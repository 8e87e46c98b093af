"""Policy for a tag that holds something else already: it moves, or the run is refused."""

from collections.abc import Mapping
from typing import Literal, get_args

from modelcar.errors import TagError
from modelcar.image import annotations
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Stored

IfExists = Literal["update", "replace", "refuse"]
IF_EXISTS: tuple[IfExists, ...] = get_args(IfExists)


def check_tag(goal: Reference, held: Stored | None, wanted: Mapping[str, str], if_exists: str) -> None:
    """Lets a tag be moved, or not.

    Args:
        goal: The image that will be written, with its tag.
        held: What its tag holds: nothing, or something else than that image.
        wanted: What that image will say of itself (modelcar.image.annotations).
        if_exists: `update` moves a tag that holds another commit or recipe of the same model; `replace` moves it
            whatever it holds; `refuse` moves none that holds anything.

    Raises:
        TagError: It may not be moved; with the remedy.
    """
    if if_exists not in IF_EXISTS:
        raise TagError(f"there is no if_exists {if_exists!r}", f"Choose one of {', '.join(IF_EXISTS)}")
    if held is None or if_exists == "replace":
        return
    is_update = annotations.MODEL in wanted and held.annotations().get(annotations.MODEL) == wanted[annotations.MODEL]
    if if_exists == "update" and is_update:
        return
    raise TagError(
        f"{goal} holds {holding(held)}, and if_exists={if_exists} does not let it be replaced",
        f"Choose another tag, or if_exists={'update' if is_update else 'replace'}, which moves this one",
    )


def holding(held: Stored) -> str:
    """Returns what a tag holds, in words."""
    said = held.annotations()
    if annotations.MODEL not in said:
        return f"an image that is none of this project's ({held.digest})"
    return f"{said[annotations.MODEL]} at commit {said.get(spec.REVISION, 'unknown')}"
