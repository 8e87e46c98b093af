"""Weights in groups: the files that one loader reads together, with what is missing of them."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from modelcar.hub.facts import Facts
from modelcar.hub.formats import (
    GGUF_PIECE,
    MMPROJ,
    QUANTIZED_BY_LLAMA_CPP,
    WHOLE_IN_EACH_SUFFIX,
    Format,
    is_index,
    may_be_weights,
    package_root,
    weights_format,
)
from modelcar.hub.snapshot import PublishedFile
from modelcar.hub.variants import parse_stem

POINTER_BYTES = range(126, 139)
"""A Git LFS pointer: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""

MAIN = "model"
"""The slot of a model's own weights; others are called after their files."""

_MAIN_STEMS = frozenset((
    "model", "pytorch_model", "tf_model", "flax_model", "rust_model", "diffusion_pytorch_model",
    "diffusion_flax_model", "open_clip_pytorch_model", "open_clip_model", "openvino_model", "weights", "",
))  # fmt: skip
_DOTTED_VARIANT = re.compile(r"(?P<base>model|pytorch_model|diffusion_pytorch_model)\.(?P<variant>[A-Za-z]\w*)$")
"""`pytorch_model.generator`: transformers and diffusers put whatever variant there is behind a dot."""

_WHOLE = frozenset((
    "model", "models", "weights", "checkpoint", "checkpoints", "ckpt", "pytorch", "torch", "safetensors", "hf",
    "transformers", "original", "final", "best", "last", "latest", "merged", "full", "ema", "pruned",
    "release", "exported", "main", "module", "fsdp",
))  # fmt: skip
"""Words of names that mean the whole model, whatever it is called."""

_MIN_NAME_CHARS = 6
_MISSING_SHOWN = 3


@dataclass(frozen=True)
class WeightGroup:
    """Weights that are of use only together.

    Attributes:
        folder: Where they are; empty at the top.
        base: What they are called, without shard, variant and suffix.
        format: Their form.
        variant: `fp16`, `Q4_K_M` and the like; empty for the default.
        weights: The files with tensors.
        extras: Files that go with them alone: their index, a graph's external data.
        problems: What is wrong with the group, each the end of the sentence "the weights …".
        named: Whether an index that could be read names exactly these files.
        named_as_model: Whether its name says that it is the whole model: the repository's own name, or `checkpoint`.
    """

    folder: str
    base: str
    format: Format
    variant: str
    weights: tuple[PublishedFile, ...]
    extras: tuple[PublishedFile, ...] = ()
    problems: tuple[str, ...] = ()
    named: bool = False
    named_as_model: bool = False

    @cached_property
    def size(self) -> int:
        """Bytes of its weights and what goes with them."""
        return sum(file.size for file in self.files)

    @property
    def files(self) -> tuple[PublishedFile, ...]:
        """All its files."""
        return (*self.weights, *self.extras)

    @property
    def complete(self) -> bool:
        """Tells whether nothing is missing."""
        return not self.problems

    @property
    def is_sharded(self) -> bool:
        """Tells whether its weights are in several files."""
        return len(self.weights) > 1

    @property
    def is_projector(self) -> bool:
        """Tells whether it is llama.cpp's projector of pictures or sounds."""
        return self.format is Format.GGUF and MMPROJ.search(self.weights[0].path) is not None

    @property
    def is_of_open_clip(self) -> bool:
        """Tells whether its name is one that open_clip alone looks for."""
        return self.base.startswith("open_clip_")

    @property
    def slot(self) -> str:
        """The part of a model that it stands for: groups in one folder with the same slot hold the same weights."""
        if self.base.startswith("consolidated"):
            return "consolidated"
        return MAIN if self.base in _MAIN_STEMS else self.base

    @property
    def label(self) -> str:
        """Its name in messages."""
        first = self.weights[0].path
        return first if len(self.weights) == 1 else f"{first} and {len(self.weights) - 1} more"


def group_weights(files: Sequence[PublishedFile], facts: Facts) -> list[WeightGroup]:
    """Groups the weights among files.

    Args:
        files: The files to look at, without those that are of use for training only.
        facts: What their index files say.
    """
    beside = {file.path: file for file in files}
    sets: dict[_Key, list[tuple[PublishedFile, int | None]]] = defaultdict(list)
    external = {path for paths in facts.external.values() for path in paths}
    for file in files:
        found = facts.boosted.get(file.path) or weights_format(file.path, beside)
        if found is not None and file.path not in external:
            key, number = _key(file, found, beside)
            sets[key].append((file, number))
    if not sets:
        # Grok's `ckpt-0/tensor00000_000` and the like: only their first bytes can tell what they are.
        for file in files:
            if may_be_weights(file.path, file.size):
                sets[_Key(_folder(PurePosixPath(file.path)), "", Format.UNKNOWN)].append((file, None))
    groups = [_group(key, members, facts.model) for key, members in sets.items()]
    groups = [_with_extras(group, beside, facts) for group in groups]
    indexes = [file for file in files if is_index(file.path)]
    return sorted(
        _indexed(_joined(groups, indexes, facts), indexes, facts),
        key=lambda group: (group.folder, group.base, group.variant),
    )


class _Key(NamedTuple):
    """The parts of a file's name by which it is in one group with others."""

    folder: str
    base: str
    format: Format
    variant: str = ""
    shards: int = 0
    suffix: str = ""


def _key(file: PublishedFile, found: Format, beside: Collection[str]) -> tuple[_Key, int | None]:
    pure = PurePosixPath(file.path)
    if root := package_root(file.path):
        place = PurePosixPath(root)
        packed = parse_stem(place.stem)
        form = packed.variant or ("compiled" if place.suffix == ".mlmodelc" else "")
        return _Key(_folder(place), packed.base, found, form), None
    folder, stem = _folder(pure), pure.name.removesuffix(pure.suffix)
    if found is Format.TENSORFLOW and pure.suffix not in (".h5", ".keras", ".hdf5"):
        stem = pure.name.partition(".")[0]
        return _Key(folder, stem, found), None
    if found is Format.TENSORFLOW and pure.suffix != ".keras" and f"{pure.with_suffix('.keras')}" in beside:
        return _Key(folder, stem, found, "h5"), None
    if found is Format.TORCH and pure.name.endswith(".pth.tar"):
        stem = pure.name.removesuffix(".pth.tar")
    if found is Format.GGUF and (piece := GGUF_PIECE.search(pure.name)) is not None:
        stem = pure.name[: piece.start()]
    name = parse_stem(stem, gguf=found in QUANTIZED_BY_LLAMA_CPP)
    if (dotted := _DOTTED_VARIANT.match(name.base)) is not None and found is not Format.GGUF:
        name = replace(name, base=dotted["base"], variant=dotted["variant"])
    if found is Format.TORCH and pure.suffix == ".distcp":
        return _Key(folder, "distributed", found), None
    variant = name.variant if found is Format.GGUF else name.variant.lower()
    suffix = pure.suffix.lower() if found in WHOLE_IN_EACH_SUFFIX else ""
    return _Key(folder, name.base, found, variant, name.count, suffix), name.number


def _folder(pure: PurePosixPath) -> str:
    return "" if str(pure.parent) == "." else str(pure.parent)


def _group(key: _Key, members: Sequence[tuple[PublishedFile, int | None]], model: str) -> WeightGroup:
    folder, base, found, variant, count, _ = key
    weights = tuple(file for file, _ in members)
    problems = [*_spoilt(found, weights), *_gaps({number for _, number in members if number is not None}, count, base)]
    whole = is_model_name(base, model)
    return WeightGroup(folder, base, found, variant, weights, problems=tuple(problems), named_as_model=whole)


def is_model_name(name: str, model: str) -> bool:
    """Tells whether a file's or a folder's name means the whole model: the repository's own name, or a word for it.

    Args:
        name: The name, without shard, variant and suffix.
        model: The model's id on the Hub.
    """
    words = set(filter(None, re.split(r"[-_. ]", name.lower())))
    if words and words <= _WHOLE:
        return True
    plain, own = (re.sub(r"[^a-z0-9]", "", one.lower()) for one in (name, model.rpartition("/")[2]))
    return min(len(plain), len(own)) >= _MIN_NAME_CHARS and (plain.startswith(own) or own.startswith(plain))


def _spoilt(found: Format, weights: Sequence[PublishedFile]) -> Iterator[str]:
    for file in weights:
        if file.size == 0:
            yield f"{file.path} is empty"
        elif file.size in POINTER_BYTES:
            yield f"{file.path} has {file.size} bytes: it is a Git LFS pointer, not the file that it points to"


def _gaps(numbers: set[int], count: int, base: str) -> Iterator[str]:
    """Names the shards that a set's numbering says are missing. Some savers begin at 0, and count to N or to N - 1."""
    if not count:
        return
    first = 0 if 0 in numbers else 1
    last = count - 1 if first == 0 and count not in numbers else count
    missing = sorted(set(range(first, last + 1)) - numbers)
    if missing:
        named = ", ".join(str(number) for number in missing[:_MISSING_SHOWN])
        more = f" and {len(missing) - _MISSING_SHOWN} more" if len(missing) > _MISSING_SHOWN else ""
        yield f"shard {named}{more} of {count} of {base or 'the model'} is missing"


def _with_extras(group: WeightGroup, beside: Mapping[str, PublishedFile], facts: Facts) -> WeightGroup:
    """Adds what an ONNX graph keeps outside: what the graph names or, where it was not read, by exporters' names."""
    if group.format is not Format.ONNX:
        return group
    extras: list[PublishedFile] = []
    problems = list(group.problems)
    for path in (file.path for file in group.weights):
        named = facts.external.get(path, frozenset())
        extras += [beside[name] for name in sorted(named) if name in beside]
        if missing := sorted(named - beside.keys()):
            problems.append(f"{path} keeps its weights in {_shown(missing)} not there")
        stem = path.removesuffix(".onnx")
        extras += [
            file
            for other, file in beside.items()
            if other != path
            and file not in extras
            and (
                other.startswith((f"{path}_data", f"{path}.data", f"{stem}_data"))
                or other in (f"{stem}.data", f"{path}.json")
            )
        ]
    return replace(group, extras=tuple(extras), problems=tuple(problems))


def _indexed(groups: Iterable[WeightGroup], indexes: Sequence[PublishedFile], facts: Facts) -> Iterator[WeightGroup]:
    """Gives each index to the group it is of, and holds the group against what it names."""
    listed = list(groups)
    own: dict[int, list[PublishedFile]] = defaultdict(list)
    for index in indexes:
        for place in _owners(listed, index, facts):
            own[place].append(index)
    there = {file.path for group in listed for file in group.weights}
    for place, group in enumerate(listed):
        for index in own[place]:
            group = _held_against(group, index, facts.shards(index.path), there)
        yield group


def _joined(groups: Iterable[WeightGroup], indexes: Sequence[PublishedFile], facts: Facts) -> list[WeightGroup]:
    """Makes one group of those whose files one index names together, whatever they are called."""
    listed = list(groups)
    for index in indexes:
        named = facts.shards(index.path)
        parts = [group for group in listed if named & {file.path for file in group.weights}]
        if len(parts) < 2 or len({group.format for group in parts}) > 1:
            continue
        first = max(parts, key=lambda group: len(group.weights))
        weights = tuple(file for group in parts for file in group.weights)
        problems = tuple(problem for group in parts for problem in group.problems)
        joined = replace(first, weights=weights, problems=problems)
        listed = [joined, *(group for group in listed if group not in parts)]
    return listed


def _owners(groups: Sequence[WeightGroup], index: PublishedFile, facts: Facts) -> list[int]:
    """Finds the group that an index is of: the one whose files it names, else one with its name."""
    named = facts.shards(index.path)
    by_content = [place for place, group in enumerate(groups) if named & {file.path for file in group.weights}]
    if by_content:
        return [max(by_content, key=lambda place: len(named & {file.path for file in groups[place].weights}))]
    stem, suffix, variant = _index_name(index)
    fitting = [
        place
        for place, group in enumerate(groups)
        if group.folder == _folder(PurePosixPath(index.path))
        and group.weights[0].path.endswith(suffix)
        and group.variant.lower() == variant
        and parse_stem(stem).base == group.base
    ]
    return sorted(fitting, key=lambda place: (not groups[place].is_sharded, not groups[place].complete))[:1]


def _index_name(index: PublishedFile) -> tuple[str, str, str]:
    """Parts `model.safetensors.index.fp32.json` into `model`, `.safetensors` and `fp32`."""
    name = PurePosixPath(index.path).name.removesuffix(".json")
    head, _, variant = name.partition(".index")
    inner = PurePosixPath(head)
    stem, own = parse_stem(inner.stem).base, parse_stem(inner.stem).variant
    return stem, inner.suffix, (variant.lstrip(".") or own).lower()


def _shown(missing: Sequence[str]) -> str:
    """Names what is missing, as the beginning of "…, which are not there"."""
    more = f" and {len(missing) - _MISSING_SHOWN} more" if len(missing) > _MISSING_SHOWN else ""
    return f"{', '.join(missing[:_MISSING_SHOWN])}{more}, which {'is' if len(missing) == 1 else 'are'}"


def _held_against(group: WeightGroup, index: PublishedFile, named: frozenset[str], there: set[str]) -> WeightGroup:
    extras = (*group.extras, index)
    mine = {file.path for file in group.weights}
    if not named or not named & mine:
        return replace(group, extras=extras)
    missing = sorted(named - there)
    # Where the index can be read it knows better than the numbering.
    problems = [problem for problem in group.problems if " of " not in problem or "is missing" not in problem]
    if missing:
        problems.append(f"{index.path} names {_shown(missing)} not there")
    weights = tuple(file for file in group.weights if file.path in named)
    return replace(group, weights=weights, extras=extras, problems=tuple(problems), named=True)
