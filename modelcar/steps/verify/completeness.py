"""Completeness of a model's weights: an image may leave files out, but those that one loader reads together are of use
only together.
"""

from collections.abc import Collection, Iterator, Sequence

from modelcar.hub.facts import Facts
from modelcar.hub.formats import Format
from modelcar.hub.snapshot import PublishedFile
from modelcar.hub.weight_groups import WeightGroup, group_weights


def missing_weights(taken: Collection[str], published: Sequence[PublishedFile], facts: Facts) -> list[str]:
    """Names the published files without which those that were taken are no complete model.

    These are the other shards, the index and the external data of weights of which some were taken; the weights of each
    part that the model itself names, where only other parts' were; and all weights, where none at all were.

    Args:
        taken: Paths of the files that were taken.
        published: All files.
        facts: What the small files among them say.
    """
    groups = [group for group in group_weights(published, facts) if group.format is not Format.UNKNOWN]
    if not any(_is_begun(group, taken) for group in groups):
        return sorted(file.path for group in groups for file in group.weights)
    needed = {file.path for group in groups if _is_begun(group, taken) for file in group.files}
    return sorted({*needed.difference(taken), *_missing_parts(groups, taken, facts)})


def _is_begun(group: WeightGroup, taken: Collection[str]) -> bool:
    return any(file.path in taken for file in group.weights)


def _missing_parts(groups: Sequence[WeightGroup], taken: Collection[str], facts: Facts) -> Iterator[str]:
    """Names the weights of parts of which none were taken, if those of another part were; `""` is the top folder."""
    named = (*facts.components(), *(facts.modules() or ()))
    parts = [[group for group in groups if _is_in(group.folder, part)] for part in named]
    begun = [any(_is_begun(group, taken) for group in own) for own in parts]
    for own, is_begun in zip(parts, begun, strict=True):
        if any(begun) and not is_begun:
            yield from (file.path for group in own for file in group.weights)


def _is_in(folder: str, part: str) -> bool:
    return folder == part or (part != "" and folder.startswith(f"{part}/"))
