"""The choice among GGUF files: one type of one model, with all that belongs to it."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from modelcar.hub import variants
from modelcar.hub.formats import Format
from modelcar.hub.picking import OTHER_VARIANT, Alternatives, Picked, is_equal_size
from modelcar.hub.weight_groups import WeightGroup

_PART = re.compile(
    r"(?<![a-z0-9])(?:vocoder|(?:wav|audio|speech|de)?[-_]?tokenizer|[a-z]*codec\d?|snac|mimi|dac|token2wav|[a-z]*gan"
    r"|(?:audio|vision|image|speech|speaker|text)[-_]?(?:en|de)coders?|clip[-_]?(?:[lgh]|vision)?"
    r"|(?:u?m)?t5(?:[-_]?v1[-_.]1)?(?:[-_]?xxl)?|(?:pig[-_]?|tae)?v?ae)(?![a-z0-9])",
    re.IGNORECASE,
)
"""Words for the parts that speech and image models have in files of their own."""

_PART_SHARE = 0.5
"""Share of a model's size, in the same type, up to which a longer name is that of a part of it."""

_OTHER_MODEL = re.compile(r"distil|turbo|lite|light|fast|flash", re.IGNORECASE)
"""Words for smaller models that are made of a larger one."""

_NOISE = re.compile(r"high(?=[-_]?noise)|low(?=[-_]?noise)", re.IGNORECASE)
"""The two halves of Wan 2.2, which go together."""

_PARAMETERS = re.compile(r"(?<![a-z0-9.])\d+(?:\.\d+)?[bm](?![a-z0-9])", re.IGNORECASE)


def pick_gguf(groups: Sequence[WeightGroup]) -> Picked:
    """Chooses one type of one model, whatever folder it is in, and each of its parts."""
    picked = Picked()
    bases = _by_base(groups)
    parts = [base for base in bases if _is_part(base, bases)]
    models = [group for base, members in bases.items() if base not in parts for group in members]
    _choose(models or groups, picked, must_choose=True)
    for base in parts if models else ():
        _choose(bases[base], picked, must_choose=False)
    return picked


def gguf_name(group: WeightGroup) -> str:
    """Returns the name of a GGUF's type, which its folder has where its file has not."""
    return group.variant or variants.split_gguf(PurePosixPath(group.folder).name)[1] or group.base


def _by_base(groups: Sequence[WeightGroup]) -> dict[str, list[WeightGroup]]:
    found: dict[str, list[WeightGroup]] = defaultdict(list)
    for group in groups:
        found[group.base].append(group)
    return found


def _is_part(base: str, bases: Mapping[str, Sequence[WeightGroup]]) -> bool:
    """Tells whether a name is that of a model's part: a word for one, or a model's own name with more around it."""
    return _PART.search(base) is not None or any(_is_part_of(base, other, bases) for other in bases if other != base)


def _is_part_of(base: str, model: str, bases: Mapping[str, Sequence[WeightGroup]]) -> bool:
    longer = re.fullmatch(rf"(?:(?P<before>.+)[-_.])?{re.escape(model)}(?:[-_.](?P<behind>.+))?", base, re.IGNORECASE)
    if longer is None or bases[base][0].format is not Format.GGUF:
        return False
    more = longer["before"] or longer["behind"] or ""
    is_other = not more or variants.names_variant(more) or _OTHER_MODEL.search(more)
    return not is_other and _is_smaller(bases[base], bases[model])


def _is_smaller(part: Sequence[WeightGroup], model: Sequence[WeightGroup]) -> bool:
    """Compares sizes in the types that both have, or else the part's largest with the model's smallest."""
    sizes = {gguf_name(group).upper(): group.size for group in model}
    same = [(group.size, sizes[name]) for group in part if (name := gguf_name(group).upper()) in sizes]
    pairs = same or [(max(group.size for group in part), min(sizes.values()))]
    return all(one <= _PART_SHARE * other for one, other in pairs)


def _choose(groups: Sequence[WeightGroup], picked: Picked, *, must_choose: bool) -> None:
    """Chooses the type that most people take; of several models the largest, but of several sizes the smallest."""
    named = _named_ggufs(groups)
    usable = {name: one for name, one in named.items() if all(group.complete for group in one)} or named
    sign = 1 if len({_PARAMETERS.sub("*", group.base) for group in groups}) == 1 else -1

    def order(name: str) -> tuple[object, ...]:
        first = named[name][0]
        return variants.rank(gguf_name(first)), sign * first.size, first.label

    usual = min(usable, key=order)
    picked.kept += named[usual]
    picked.drop([group for group in groups if group not in named[usual]], OTHER_VARIANT)
    if len(named) > 1:
        picked.alternatives.append(Alternatives(named, usual, must_choose=must_choose and len(usable) > 1))


def _named_ggufs(groups: Sequence[WeightGroup]) -> dict[str, list[WeightGroup]]:
    """Names the alternatives among GGUF files: by their types, or by their files where several have one type."""
    found: dict[str, list[list[WeightGroup]]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: not group.complete):
        same_type = found[gguf_name(group).upper()]
        if any(_are_twins(group, one) for members in same_type for one in members):
            continue
        half = next((members for members in same_type if _are_halves(group, members)), None)
        if half is None:
            same_type.append([group])
        else:
            half.append(group)
    return {
        gguf_name(members[0]) if len(same_type) == 1 else _file_name(members[0], groups): members
        for same_type in found.values()
        for members in same_type
    }


def _are_twins(one: WeightGroup, other: WeightGroup) -> bool:
    """Tells whether two sets hold the same weights, such as a whole file and its parts."""
    return one.base == other.base and one.folder == other.folder and is_equal_size(one.size, other.size)


def _are_halves(group: WeightGroup, members: Sequence[WeightGroup]) -> bool:
    halves = {_NOISE.sub("*", one.base) for one in (group, *members)}
    return len(halves) == 1 and group.base not in {one.base for one in members}


def _file_name(group: WeightGroup, groups: Sequence[WeightGroup]) -> str:
    """Returns a file's name, or where another folder has the same, its path."""
    path = PurePosixPath(group.weights[0].path)
    is_only = sum(PurePosixPath(one.weights[0].path).stem == path.stem for one in groups) == 1
    return path.stem if is_only else str(path)
