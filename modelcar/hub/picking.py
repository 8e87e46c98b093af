"""The choice among the groups of one folder: one complete group for each part of a model."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from modelcar.hub import variants
from modelcar.hub.formats import OTHER_FRAMEWORKS, OTHER_RUNTIMES, QUANTIZED_BY_LLAMA_CPP, Format, suffix_order
from modelcar.hub.weight_groups import MAIN, WeightGroup

TORCH_LIKE = frozenset({Format.SAFETENSORS, Format.TORCH})

COMPARABLE = 8
"""Times: the same weights in 32 and in 4 bits."""

_TELLING_BYTES = 100_000
"""Size below which sizes tell nothing: a header or a container is as large as the weights."""

_TWIN_RATIOS = (1.0, 2.0, 0.5, 4.0, 0.25)
_TWIN_TOLERANCE = 0.03
EQUAL_TOLERANCE = 0.005
"""Share by which sizes of the same tensors in the same precision differ: that of their headers."""

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
        usual: The name of the one that is taken if nobody chooses.
        must_choose: Whether no rule of a loader chooses between them.
    """

    named: Mapping[str, Sequence[WeightGroup]]
    usual: str
    must_choose: bool

    def among(self, groups: Collection[WeightGroup]) -> list[str]:
        """Returns the names of those alternatives that have one of these groups."""
        return [name for name, members in self.named.items() if any(group in groups for group in members)]


@dataclass
class Picked:
    """A choice that is being made.

    Attributes:
        kept: The groups to take.
        dropped: Those to leave out, each with the reason.
        alternatives: Groups between which somebody may choose.
        folders: Folders whose other files are taken although no weights in them are.
    """

    kept: list[WeightGroup] = field(default_factory=list)
    dropped: list[tuple[WeightGroup, str]] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def drop(self, groups: Iterable[WeightGroup], reason: str) -> None:
        """Leaves groups out."""
        self.dropped += [(group, reason) for group in groups]

    def add(self, other: "Picked") -> None:
        """Takes over another choice, among other groups."""
        self.kept += other.kept
        self.dropped += other.dropped
        self.alternatives += other.alternatives
        self.folders += other.folders

    def offered(self) -> list[Alternatives]:
        """Returns the alternatives of which one is taken in the end."""
        kept = set(map(id, self.kept))
        return [one for one in self.alternatives if any(id(g) in kept for gs in one.named.values() for g in gs)]


def pick_in_slots(groups: Sequence[WeightGroup]) -> Picked:
    """Chooses one group for each slot, in the preferred format and precision."""
    picked = Picked()
    slots: dict[str, list[WeightGroup]] = defaultdict(list)
    for group in groups:
        slots[group.slot].append(group)
    for members in slots.values():
        picked.add(_pick_in_slot(members))
    _drop_other_forms(picked)
    _drop_split_decoders(picked)
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


def is_equal_size(one: int, other: int, tolerance: float = EQUAL_TOLERANCE) -> bool:
    """Tells whether sizes are those of the same tensors in the same precision."""
    return abs(one - other) <= tolerance * max(one, other)


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
        best = best_sets[variant]
        # Under another suffix, and of another size, the same name may stand for something else.
        others = [group for group in sets if group is not best and not _is_something_else(group, best)]
        picked.kept += [group for group in sets if group is not best and group not in others]
        picked.drop(others, _why_other_set(best))
    usable = {variant: group for variant, group in best_sets.items() if group.complete} or best_sets
    first = min(usable, key=variants.rank) if "" not in usable else ""
    if same[0].format in QUANTIZED_BY_LLAMA_CPP:
        first = min(usable, key=variants.rank)
    chosen = best_sets[first]
    picked.drop([group for group in best_sets.values() if group is not chosen], OTHER_VARIANT)
    if len(best_sets) > 1:
        named = {variant or DEFAULT: [group] for variant, group in best_sets.items()}
        has_default = "" in usable and chosen.format in TORCH_LIKE | {Format.TENSORFLOW}
        must_choose = not has_default and len(usable) > 1
        picked.alternatives.append(Alternatives(named, first or DEFAULT, must_choose=must_choose))
    return chosen


def _is_something_else(group: WeightGroup, best: WeightGroup) -> bool:
    suffixes = {PurePosixPath(one.weights[0].path).suffix for one in (group, best)}
    return len(suffixes) > 1 and group.complete and not comparable(group, best)


def _set_order(group: WeightGroup) -> tuple[object, ...]:
    """Prefers complete sets, transformers' names, those with an index and in it, more shards, and the usual suffix."""
    has_index = any(file.path.endswith(".json") for file in group.extras)
    suffix = suffix_order(group.weights[0].path)
    is_indexed = (not group.named, not has_index)
    return (not group.complete, group.is_of_open_clip, is_indexed, -len(group.weights), suffix)


def _why_other_set(best: WeightGroup) -> str:
    return "not in the index of the weights" if best.named else "another set of the same weights"


def _drop_other_forms(picked: Picked) -> None:
    """Leaves out, beside a model's own weights, what holds them in another form and has another name."""
    _drop_older_keras(picked)
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


def _drop_older_keras(picked: Picked) -> None:
    """Leaves out a SavedModel's older twin in HDF5, whatever that is called: servers load the SavedModel."""
    saved = [group for group in picked.kept if group.base == "saved_model" and group.complete]
    older = [
        group
        for group in picked.kept
        if group.weights[0].path.endswith((".h5", ".keras", ".hdf5")) and any(comparable(group, one) for one in saved)
    ]
    picked.kept = [group for group in picked.kept if group not in older]
    picked.drop(older, "the same weights as the SavedModel beside it")


def _why_other_form(group: WeightGroup, main: WeightGroup) -> str:
    if group.slot == "consolidated":
        return "the same weights as the other safetensors beside it" if group.format is Format.SAFETENSORS else ORIGINAL
    if group.format in OTHER_FRAMEWORKS:
        return OTHER_FRAMEWORK
    if group.format in OTHER_RUNTIMES:
        return OTHER_RUNTIME
    if group.base in _AUDIOCRAFT and main.format is Format.SAFETENSORS:
        return ORIGINAL
    if group.format in TORCH_LIKE and _is_same_model(group, main):
        return "the same weights, under another name"
    if group.base.lower().startswith(("model_", "model-", "pytorch_model_")) and variants.names_variant(group.base):
        return OTHER_VARIANT
    return ""


def _is_same_model(group: WeightGroup, main: WeightGroup) -> bool:
    """Tells whether a file is the whole model once more: sizes alone do not tell, for a text encoder may have twice."""
    if group.named_as_model:
        return comparable(group, main)
    return main.format is Format.SAFETENSORS and is_equal_size(group.size, main.size)


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
