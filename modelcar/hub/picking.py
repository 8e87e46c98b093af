"""The choice among groups of weights: one complete group for each part of a model."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from modelcar.hub import variants
from modelcar.hub.formats import OTHER_FRAMEWORKS, OTHER_RUNTIMES, QUANTIZED_BY_LLAMA_CPP, Format
from modelcar.hub.weight_groups import MAIN, WeightGroup

TORCH_LIKE = frozenset({Format.SAFETENSORS, Format.TORCH})

COMPARABLE = 8
"""Times: the same weights in 32 and in 4 bits."""

_TELLING_BYTES = 100_000
"""Size below which sizes tell nothing: a header or a container is as large as the weights."""

_VERSION = re.compile(r"(?<![a-z0-9.])v?\d+(?:\.\d+)+(?![a-z0-9])|(?<![a-z0-9])\d+[-_]?steps?", re.IGNORECASE)
"""Version of a model, `v0.9.1`, or the steps that it was distilled to, `8step`; a number alone may count parts."""

_MIN_VERSION_BYTES = 100_000_000
_TWIN_RATIOS = (1.0, 2.0, 0.5, 4.0, 0.25)
_TWIN_TOLERANCE = 0.03
_AUDIOCRAFT = ("state_dict", "compression_state_dict")
_FORMAT_ORDER = {found: place for place, found in enumerate(Format)}

DEFAULT = "default"
SAME = "the same weights as the safetensors beside it"
OTHER_VARIANT = "another variant of the same weights"
OTHER_RUNTIME = "weights for another runtime"
OTHER_FRAMEWORK = "weights for another framework"
ORIGINAL = "the original form of the weights"


@dataclass(frozen=True)
class Alternatives:
    """Groups of which one is as good as another.

    Attributes:
        named: The groups, by the name of each alternative.
        must_choose: Whether no rule of a loader chooses between them.
    """

    named: Mapping[str, Sequence[WeightGroup]]
    must_choose: bool


@dataclass
class Picked:
    """A choice that is being made.

    Attributes:
        kept: The groups to take.
        dropped: Those to leave out, each with the reason.
        alternatives: Groups between which somebody may choose.
    """

    kept: list[WeightGroup] = field(default_factory=list)
    dropped: list[tuple[WeightGroup, str]] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)

    def drop(self, groups: Iterable[WeightGroup], reason: str) -> None:
        """Leaves groups out."""
        self.dropped += [(group, reason) for group in groups]

    def add(self, other: "Picked") -> None:
        """Takes over another choice, among other groups."""
        self.kept += other.kept
        self.dropped += other.dropped
        self.alternatives += other.alternatives

    def offered(self) -> list[Alternatives]:
        """Returns the alternatives of which one is taken in the end."""
        kept = set(map(id, self.kept))
        return [one for one in self.alternatives if any(id(g) in kept for gs in one.named.values() for g in gs)]


def pick_in_folder(groups: Sequence[WeightGroup]) -> Picked:
    """Chooses among the groups of one folder: one for each slot, in the preferred format and precision."""
    picked = Picked()
    slots: dict[str, list[WeightGroup]] = defaultdict(list)
    for group in groups:
        slots[group.slot].append(group)
    for members in slots.values():
        picked.add(_pick_in_slot(members))
    _drop_other_forms(picked)
    _drop_split_decoders(picked)
    _choose_among_prefixes(picked)
    _choose_among_versions(picked)
    return picked


def comparable(one: WeightGroup, other: WeightGroup) -> bool:
    """Tells whether two groups may hold the same weights, by their sizes."""
    small, large = sorted((one.size, other.size))
    return large <= COMPARABLE * max(small, _TELLING_BYTES)


def is_size_twin(one: int, other: int) -> bool:
    """Tells whether sizes are those of the same tensors, in the same or in another common precision."""
    if not one or not other:
        return False
    return any(abs(one / other / ratio - 1) <= _TWIN_TOLERANCE for ratio in _TWIN_RATIOS)


def by_format(groups: Iterable[WeightGroup]) -> list[WeightGroup]:
    """Orders groups: the preferred format first."""
    return sorted(groups, key=lambda group: (not group.complete, _FORMAT_ORDER[group.format]))


def _pick_in_slot(members: Sequence[WeightGroup]) -> Picked:
    picked = Picked()
    best = by_format(members)[0].format
    same = [group for group in members if group.format is best]
    chosen = _pick_variant(same, picked)
    picked.kept.append(chosen)
    for group in members:
        if group.format is best:
            continue
        if not group.complete or comparable(group, chosen):
            picked.drop([group], _why_other_format(group, chosen))
        else:
            picked.kept.append(group)
    return picked


def _why_other_format(group: WeightGroup, chosen: WeightGroup) -> str:
    if group.format in OTHER_FRAMEWORKS:
        return OTHER_FRAMEWORK
    if group.format in OTHER_RUNTIMES:
        return OTHER_RUNTIME
    return SAME if chosen.format is Format.SAFETENSORS else f"the same weights as the {chosen.format} beside it"


def _pick_variant(same: Sequence[WeightGroup], picked: Picked) -> WeightGroup:
    """Chooses one of several sets or variants of one format."""
    listed: dict[str, list[WeightGroup]] = defaultdict(list)
    for group in same:
        listed[group.variant].append(group)
    best_sets = {variant: min(sets, key=_set_order) for variant, sets in listed.items()}
    for variant, sets in listed.items():
        others = [group for group in sets if group is not best_sets[variant]]
        picked.drop(others, _why_other_set(best_sets[variant]))
    usable = {variant: group for variant, group in best_sets.items() if group.complete} or best_sets
    first = min(usable, key=variants.rank) if "" not in usable else ""
    if same[0].format in QUANTIZED_BY_LLAMA_CPP:
        first = min(usable, key=variants.rank)
    chosen = best_sets[first]
    picked.drop([group for group in best_sets.values() if group is not chosen], OTHER_VARIANT)
    if len(best_sets) > 1:
        named = {variant or DEFAULT: [group] for variant, group in best_sets.items()}
        has_default = "" in usable and chosen.format in TORCH_LIKE
        picked.alternatives.append(Alternatives(named, must_choose=not has_default and len(usable) > 1))
    return chosen


def _set_order(group: WeightGroup) -> tuple[bool, bool, bool, int]:
    """Prefers complete sets, those that an index names, those with an index, and those of more shards."""
    has_index = any(file.path.endswith(".json") for file in group.extras)
    return (not group.complete, not group.named, not has_index, -len(group.weights))


def _why_other_set(best: WeightGroup) -> str:
    return "not in the index of the weights" if best.named else "another set of the same weights"


def _drop_other_forms(picked: Picked) -> None:
    """Leaves out, beside a model's own weights, what holds them in another form and has another name."""
    main = next((group for group in picked.kept if group.slot == MAIN and group.format in TORCH_LIKE), None)
    if main is None or not main.complete:
        return
    own = next((one for one in picked.kept if one.slot == "consolidated" and one.complete), None)
    if own is not None and own.format is Format.SAFETENSORS and main.format is Format.TORCH:
        picked.kept = [group for group in picked.kept if group is not main]
        picked.drop([main], SAME)
        return
    kept = []
    for group in picked.kept:
        reason = "" if group is main else _why_other_form(group, main)
        if reason:
            picked.drop([group], reason)
        else:
            kept.append(group)
    picked.kept = kept


def _why_other_form(group: WeightGroup, main: WeightGroup) -> str:
    if group.slot == "consolidated":
        return "the same weights as the other safetensors beside it" if group.format is Format.SAFETENSORS else ORIGINAL
    if group.format in OTHER_FRAMEWORKS:
        return OTHER_FRAMEWORK
    if group.format in OTHER_RUNTIMES:
        return OTHER_RUNTIME
    if group.base in _AUDIOCRAFT and main.format is Format.SAFETENSORS:
        return ORIGINAL
    if main.format is Format.SAFETENSORS and group.format in TORCH_LIKE and is_size_twin(group.size, main.size):
        return "the same weights, under another name"
    if group.base.lower().startswith(("model_", "model-", "pytorch_model_")) and variants.names_variant(group.base):
        return OTHER_VARIANT
    return ""


def _choose_among_prefixes(picked: Picked) -> None:
    """Finds single files of which one's name begins with another's: one model, with more or less packed in."""
    single = [group for group in picked.kept if group.format in TORCH_LIKE | {Format.ONNX} and group.slot != MAIN]
    if len(single) < 2:
        return
    largest = max(group.size for group in single)
    large = [group for group in single if group.size * 5 >= largest]
    for group in sorted(large, key=lambda group: len(group.base)):
        family = [one for one in large if _extends(one.base, group.base) and one.format is group.format]
        if len(family) < 2 or group not in picked.kept:
            continue
        picked.kept = [one for one in picked.kept if one is group or one not in family]
        picked.drop([one for one in family if one is not group], "another packing of the same weights")
        named = {PurePosixPath(one.weights[0].path).stem: [one] for one in family}
        picked.alternatives.append(Alternatives(named, must_choose=True))


def _choose_among_versions(picked: Picked) -> None:
    """Finds single files of one size whose names differ by a version, or by a number of steps, alone: one is taken."""
    families: dict[tuple[Format, str], list[WeightGroup]] = defaultdict(list)
    for group in picked.kept:
        family = _VERSION.sub("*", group.base)
        if family != group.base and group.format in TORCH_LIKE and not group.is_sharded and group.slot != MAIN:
            families[group.format, family].append(group)
    for family_members in families.values():
        sizes = [group.size for group in family_members]
        if len(sizes) < 2 or min(sizes) < _MIN_VERSION_BYTES or max(sizes) > min(sizes) * (1 + _TWIN_TOLERANCE):
            continue
        newest = max(family_members, key=lambda group: [int(number) for number in re.findall(r"\d+", group.base)])
        picked.kept = [one for one in picked.kept if one is newest or one not in family_members]
        picked.drop([one for one in family_members if one is not newest], "another version of the same model")
        named = {PurePosixPath(one.weights[0].path).stem: [one] for one in family_members}
        picked.alternatives.append(Alternatives(named, must_choose=True))


def _extends(name: str, prefix: str) -> bool:
    """Tells whether a name is a longer form of another; a number alone behind it counts parts, not packings."""
    rest = name.removeprefix(prefix) if name.startswith(prefix) else ""
    return name == prefix or (rest[:1] in ("-", "_", ".") and re.fullmatch(r"[-_.]v?\d+", rest) is None)


def _drop_split_decoders(picked: Picked) -> None:
    """Leaves out optimum's two decoders where the merged one, which holds both, is there."""
    merged = {group.folder for group in picked.kept if group.base == "decoder_model_merged" and group.complete}
    split = [
        group
        for group in picked.kept
        if group.folder in merged and group.base in ("decoder_model", "decoder_with_past_model")
    ]
    picked.kept = [group for group in picked.kept if group not in split]
    picked.drop(split, "the merged decoder holds it")


def folders_of(groups: Iterable[WeightGroup]) -> dict[str, list[WeightGroup]]:
    """Sorts groups by their folders."""
    found: dict[str, list[WeightGroup]] = defaultdict(list)
    for group in groups:
        found[group.folder].append(group)
    return dict(found)


def in_any(folder: str, names: Collection[str]) -> str:
    """Returns the first part of a folder's path that is among names; empty if none is."""
    return next((part for part in PurePosixPath(folder).parts if part.lower() in names), "")
