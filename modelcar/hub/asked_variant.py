"""The choice that a variant's name makes: the usual one but for that name, or what has that name alone."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from modelcar.errors import SelectionError
from modelcar.hub import variants
from modelcar.hub.facts import Facts
from modelcar.hub.formats import Format
from modelcar.hub.gguf_choice import gguf_name
from modelcar.hub.layouts import pick
from modelcar.hub.options import options_of
from modelcar.hub.picking import DEFAULT, Alternatives, Picked
from modelcar.hub.weight_groups import WeightGroup

NOT_ASKED_FOR = "not the variant that was asked for"


def pick_asked(groups: Sequence[WeightGroup], variant: str, paths: Collection[str], facts: Facts) -> Picked:
    """Makes the usual choice, and takes what is asked for wherever that is one of several alternatives.

    Where it is none of them, it means something that the usual choice leaves out, and that is taken alone: a format,
    a folder or a file.

    Args:
        groups: All groups of weights.
        variant: The name of a precision, a type, a format, a folder or a file.
        paths: All paths of the repository.
        facts: What its small files say.

    Raises:
        SelectionError: Nothing has that name.
    """
    picked = pick(groups, paths, facts)
    offered = _offered(variant, picked.alternatives)
    exact = [group for group in groups if _has_variant(group, variant)]
    asked = [*offered, *exact] or [group for group in groups if _is_named(group, variant)]
    if not asked:
        raise _unknown(variant, picked)
    _take(asked, picked)
    if not _is_answered(asked, picked, is_file=not offered and not exact):
        alone = _alone(exact, groups) if exact else [group for group in groups if group in asked or group.is_projector]
        picked = pick(alone, paths, facts)
        picked.drop([group for group in groups if group not in alone], NOT_ASKED_FOR)
        asked = exact
    picked.alternatives = [_after_asking(one, () if offered else asked) for one in picked.alternatives]
    return picked


def _offered(variant: str, alternatives: Iterable[Alternatives]) -> list[WeightGroup]:
    """Finds the alternatives that are offered by a name."""
    named = [pair for one in alternatives for pair in one.named.items()]
    return [group for name, members in named if variants.matches(variant, name) for group in members]


def _is_answered(asked: Collection[WeightGroup], picked: Picked, *, is_file: bool) -> bool:
    """Tells whether the usual choice has what is asked for: a file or folder only where it is one of several."""
    if is_file:
        return any(0 < len(one.among(asked)) < len(one.named) for one in picked.offered())
    return any(group in asked for group in picked.kept)


def _has_variant(group: WeightGroup, variant: str) -> bool:
    if group.format is Format.GGUF:
        return not group.is_projector and variants.matches(variant, gguf_name(group))
    return variants.matches(variant, group.variant or DEFAULT)


def _is_named(group: WeightGroup, variant: str) -> bool:
    first = PurePosixPath(group.weights[0].path)
    folders = [group.folder, *(str(one) for one in first.parents), *PurePosixPath(group.folder).parts]
    return variants.matches(variant, group.format.value, first.stem, first.name, str(first), group.base, *folders)


def _place(group: WeightGroup) -> tuple[str, str]:
    return ("", "") if group.format is Format.GGUF else (group.folder, group.slot)


def _unknown(variant: str, picked: Picked) -> SelectionError:
    offered = ", ".join(option.name for option in options_of(picked))
    remedy = f"There are: {offered}" if offered else "This repository offers no alternatives: leave it empty"
    return SelectionError(f"there is no variant {variant!r}", remedy)


def _alone(exact: Sequence[WeightGroup], groups: Sequence[WeightGroup]) -> list[WeightGroup]:
    """Finds what has the name of a precision or type, and what goes with it: the parts that have no such variant."""
    places, kinds = {_place(group) for group in exact}, {group.format for group in exact} - {Format.GGUF}
    beside = [group for group in groups if group.format in kinds and _place(group) not in places and group.complete]
    return [group for group in groups if group in exact or group in beside or group.is_projector]


def _take(asked: Collection[WeightGroup], picked: Picked) -> None:
    """Puts what is asked for in the place of what is usual: inner alternatives first, then those that hold them."""
    for place in range(len(picked.alternatives)):
        one = picked.alternatives[place]
        names = one.among(asked)
        if not names or one.usual in names:
            continue
        usual, wanted = one.named[one.usual], one.named[names[0]]
        picked.alternatives = [
            *picked.alternatives[: place + 1],
            *(_exchanged(outer, usual, wanted) for outer in picked.alternatives[place + 1 :]),
        ]
        if all(group in picked.kept for group in usual):
            picked.kept = [group for group in picked.kept if group not in usual] + [*wanted]
            picked.dropped = [(group, why) for group, why in picked.dropped if group not in wanted]
            picked.drop(usual, NOT_ASKED_FOR)


def _exchanged(one: Alternatives, usual: Sequence[WeightGroup], wanted: Sequence[WeightGroup]) -> Alternatives:
    """Returns alternatives with what is asked for in the place of what is usual."""
    named = {
        name: [*(group for group in members if group not in usual), *wanted] if usual[0] in members else members
        for name, members in one.named.items()
    }
    return replace(one, named=named)


def _after_asking(one: Alternatives, asked: Collection[WeightGroup]) -> Alternatives:
    """Returns alternatives of which nobody has to choose but among those, if there are several, that have the name."""
    names = one.among(asked)
    if len(names) < 2:
        return replace(one, must_choose=False)
    usual = one.usual if one.usual in names else names[0]
    return Alternatives({name: one.named[name] for name in names}, usual, one.must_choose)
