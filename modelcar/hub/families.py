"""Families of single files: one model in several versions, sizes, styles or states of its training."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelcar.hub.formats import Format
from modelcar.hub.picking import OTHER_VARIANT, TORCH_LIKE, Alternatives, Picked, is_equal_size
from modelcar.hub.variants import rank
from modelcar.hub.weight_groups import MAIN, WeightGroup

_VERSION = re.compile(r"(?<![a-z0-9.])v?\d+(?:\.\d+)+(?![a-z0-9])|(?<![a-z0-9])\d+[-_]?steps?|(?<=[-_])v\d+$", re.I)
"""Version of a model, `v0.9.1`, or the steps that it was distilled to, `8step`; a number alone may count parts."""

_STEPS = (
    re.compile(r"(?P<stem>.*?)[-_.]?(?:(?:step|epoch|iter|checkpoint|ckpt)s?[-_=]?)?(?P<number>\d{4,9})", re.I),
    re.compile(r"(?P<number>\d{4,9})[-_](?P<stem>.+)"),
)
"""Names of the states of a training, as kohya's scripts, ai-toolkit, Lightning and MLX give them."""

_SIZE = re.compile(
    r"(?:(?<![a-z0-9])(?:tiny|mini|nano|small|base(?:[-_]plus)?|medium|x?large|xx?l|huge|giant|vit[-_]?[tsblhg]\d*)"
    r"|(?<![\d.])\d+(?:\.\d+)?[bm])(?![a-z0-9])",
    re.IGNORECASE,
)
_TAIL = re.compile(r"[-_.](?:v\d+(?:\.\d+)*|[0-9a-f]{6,8})$", re.IGNORECASE)
"""End of a name behind a size: a version, or the hash that torch.hub's files end with."""

_SINGLE_FILES = TORCH_LIKE | {Format.ONNX, Format.TFLITE}

PAIR = re.compile(r"high(?=[-_]?noise)|low(?=[-_]?noise)|encoder|decoder|left|right", re.IGNORECASE)
"""Words in which the names of two parts of one model differ."""

_TYPE = re.compile(
    r"(?<![a-z0-9])(?:(?:b?fp?|float)(?:8|16|32)|(?:nv|mx)?fp4|nf4|u?int[48]|q[48]|[2-8]-?bit|w\d+a\d+)(?:[-_]r\d+)?(?![a-z0-9])",
    re.I,
)
"""Type of the weights within a name, with the rank of what corrects it: `svdq-int4_r32-flux.1-dev`."""

_BY_QUALITY = ("best", "final", "last", "latest")
_SAME_SIZE = 0.03
_MIN_BYTES = 1_000_000
_MIN_LARGE_BYTES = 100_000_000
_LARGE_SHARE = 5


@dataclass(frozen=True)
class _Family:
    """Files of which one is taken.

    Attributes:
        members: The alternatives; each is the groups that go together.
        best: Which one is taken if nobody chooses.
        reason: Why the others are left out.
        must_choose: Whether no rule of a loader, or of a training program, says which.
    """

    members: Sequence[Sequence[WeightGroup]]
    best: Sequence[WeightGroup]
    reason: str
    must_choose: bool = True


def choose_in_families(picked: Picked) -> None:
    """Leaves out, of each family among single files, all but one member."""
    finders: tuple[Callable[[Sequence[WeightGroup]], Iterator[_Family]], ...] = (
        _types, _packings, _states, _qualities, _versions, _sizes, _styles,
    )  # fmt: skip
    for find in finders:
        for family in list(find([group for group in picked.kept if group.slot != MAIN])):
            _settle(picked, family)


def extends(name: str, prefix: str) -> bool:
    """Tells whether a name is a longer form of another; a number alone behind it counts parts, not packings."""
    rest = name.removeprefix(prefix) if name.startswith(prefix) else ""
    return name == prefix or (rest[:1] in ("-", "_", ".") and re.fullmatch(r"[-_.]v?\d+", rest) is None)


def step_of(name: str) -> int | None:
    """Returns the number of steps that a file's name says its model was trained for; None if it says none."""
    match = _step(name)
    return int(match["number"]) if match else None


def _step(name: str) -> re.Match[str] | None:
    return next(filter(None, (pattern.fullmatch(name) for pattern in _STEPS)), None)


def _settle(picked: Picked, family: _Family) -> None:
    every = [group for member in family.members for group in member]
    if any(group not in picked.kept for group in every):
        return
    picked.kept = [group for group in picked.kept if group in family.best or group not in every]
    picked.drop([group for group in every if group not in family.best], family.reason)
    named = {_stem(member[0]): member for member in family.members}
    picked.alternatives.append(Alternatives(named, _stem(family.best[0]), must_choose=family.must_choose))


def _stem(group: WeightGroup) -> str:
    return PurePosixPath(group.weights[0].path).stem


def _types(groups: Sequence[WeightGroup]) -> Iterator[_Family]:
    """Finds files whose names differ by the type of their weights alone."""
    for members in _families(groups, lambda group: _changed(_TYPE, group.base), same_size=False):
        if len(members) > 1 and min(group.size for group in members) >= _MIN_BYTES:
            best = min(members, key=lambda group: rank("".join(_TYPE.findall(group.base)[:1])))
            yield _Family([[one] for one in members], [best], OTHER_VARIANT)


def _packings(groups: Sequence[WeightGroup]) -> Iterator[_Family]:
    """Finds files of which one's name begins with another's: one model, with more or less packed in."""
    single = [group for group in groups if group.format in TORCH_LIKE | {Format.ONNX}]
    largest = max((group.size for group in single), default=0)
    large = [group for group in single if group.size * _LARGE_SHARE >= largest]
    taken: list[WeightGroup] = []
    for group in sorted(large, key=lambda group: len(group.base)):
        family = [one for one in large if extends(one.base, group.base) and one.format is group.format]
        if len(family) > 1 and group not in taken:
            taken += family
            yield _Family([[one] for one in family], [group], "another packing of the same weights")


def _states(groups: Sequence[WeightGroup]) -> Iterator[_Family]:
    """Finds the states of one training: beside its end they are of no use to a server; else the last one counts."""
    ends = {group.base: group for group in groups}
    for members in _families(groups, _state_key):
        numbers = sorted(step_of(group.base) or 0 for group in members)
        stem = _step(members[0].base)
        end = ends.get(stem["stem"].rstrip("-_.")) if stem else None
        end = end or next((ends[name] for name in _BY_QUALITY if name in ends), None)
        if end is not None and end.format is members[0].format and is_equal_size(end.size, members[0].size, _SAME_SIZE):
            yield _Family([[one] for one in (end, *members)], [end], "an earlier state of the training", False)
        elif len(members) > 1 and numbers[-1] - numbers[0] >= len(numbers):
            last = max(members, key=lambda group: step_of(group.base) or 0)
            yield _Family([[one] for one in members], [last], "an earlier state of the training")


def _state_key(group: WeightGroup) -> str:
    match = _step(group.base)
    return re.sub(r"\d+", "*", match["stem"]) + "#" if match else ""


def _qualities(groups: Sequence[WeightGroup]) -> Iterator[_Family]:
    """Finds what training programs call `best` and `last`."""
    found = sorted((g for g in groups if g.base in _BY_QUALITY), key=lambda group: _BY_QUALITY.index(group.base))
    if len({group.base for group in found}) > 1 and len({group.format for group in found}) == 1:
        yield _Family([[one] for one in found], found[:1], "an earlier state of the training", False)


def _versions(groups: Sequence[WeightGroup]) -> Iterator[_Family]:
    """Finds files of one size whose names differ by a version, or by a number of steps, alone."""
    for members in _families(groups, lambda group: _changed(_VERSION, group.base)):
        if len(members) > 1 and members[0].size >= _MIN_LARGE_BYTES:
            newest = max(members, key=lambda group: [int(number) for number in re.findall(r"\d+", group.base)])
            yield _Family([[one] for one in members], [newest], "another version of the same model")


def _sizes(groups: Sequence[WeightGroup]) -> Iterator[_Family]:
    """Finds files whose names differ by a size alone, such as `small` and `large`."""
    for members in _families(groups, _size_key, same_size=False):
        if len(members) > 1 and min(group.size for group in members) >= _MIN_BYTES:
            usual = [group for group in members if re.search(r"base(?![-_]plus)", group.base, re.IGNORECASE)]
            best = min(usual or members, key=lambda group: group.size)
            yield _Family([[one] for one in members], [best], "another size of the model")


def _size_key(group: WeightGroup) -> str:
    return _changed(_SIZE, _TAIL.sub("", group.base))


def _styles(groups: Sequence[WeightGroup]) -> Iterator[_Family]:
    """Finds large files of one size, a model made for several uses: all others are so, or begin with the same word."""
    single = [group for group in groups if group.format in TORCH_LIKE and group.size >= _MIN_BYTES]
    largest = max((group.size for group in single), default=0)
    are_equal = len(single) > 2 and all(is_equal_size(group.size, largest, _SAME_SIZE) for group in single)
    if not are_equal and len({_first_word(group) for group in single}) != 1:
        return
    large = [group for group in single if group.size >= max(_MIN_LARGE_BYTES, largest / _LARGE_SHARE)]
    for members in _families(large, (lambda _: "all") if are_equal else _first_word):
        pairs: Mapping[str, list[WeightGroup]] = defaultdict(list)
        for group in members:
            pairs[PAIR.sub("*", group.base)].append(group)
        # A number alone counts parts, but not behind a v.
        if len(pairs) > 1 and len({re.sub(r"(?<![v\d])\d+", "", name) for name in pairs}) > 1:
            best = min(pairs.values(), key=lambda pair: (len(pair[0].base), pair[0].base))
            yield _Family(list(pairs.values()), best, "another model of the collection")


def _first_word(group: WeightGroup) -> str:
    word = re.split(r"[-_. ]", group.base.lower())[0]
    return word.rstrip("0123456789") or word


def _families(
    groups: Iterable[WeightGroup], key: Callable[[WeightGroup], str], *, same_size: bool = True
) -> Iterator[list[WeightGroup]]:
    """Sorts single files by a key, and where it is asked for by their sizes; an empty key is of no family."""
    found: dict[tuple[Format, str], list[list[WeightGroup]]] = defaultdict(list)
    for group in groups:
        if group.is_sharded or group.format not in _SINGLE_FILES or not (name := key(group)):
            continue
        families = found[group.format, name]
        for family in families:
            if not same_size or is_equal_size(family[0].size, group.size, _SAME_SIZE):
                family.append(group)
                break
        else:
            families.append([group])
    return (family for families in found.values() for family in families)


def _changed(pattern: re.Pattern[str], name: str) -> str:
    """Returns a name with what matches replaced; empty if nothing does."""
    changed = pattern.sub("*", name)
    return changed if changed != name else ""
