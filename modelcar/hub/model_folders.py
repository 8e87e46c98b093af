"""The choice among folders with weights: whole models, of which one is taken, or the parts of one model."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from modelcar.hub import variants
from modelcar.hub.families import PAIR, choose_in_families, extends, step_of
from modelcar.hub.formats import Format
from modelcar.hub.picking import (
    DEFAULT,
    OTHER_VARIANT,
    Alternatives,
    Picked,
    folders_of,
    is_equal_size,
    pick_in_slots,
)
from modelcar.hub.weight_groups import MAIN, WeightGroup

_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_SIDECAR = ".onnx.json"
"""Piper's own name of a voice's configuration: https://github.com/rhasspy/piper/blob/master/VOICES.md"""

_SAME_SIZE = 0.02
_MIN_MODEL_BYTES = 1_000_000_000
"""Size from which two files of one size, if they are the largest, are two models rather than two parts of one."""

_MIN_PARTS = 3
_IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

Families = Mapping[str, Sequence[Picked]]
"""Choices made in the folders of each root."""


def pick_in_folder(groups: Sequence[WeightGroup]) -> Picked:
    """Chooses among the groups of one folder: one for each part of a model, and one of each family of files."""
    picked = pick_in_slots(groups)
    choose_in_families(picked)
    return picked


def pick_in_folders(groups: Iterable[WeightGroup], paths: Collection[str] = ()) -> Picked:
    """Chooses in several folders: one of them where each holds a whole model, else something of each.

    Args:
        groups: The groups of all the folders.
        paths: All paths of the repository.
    """
    inside = {folder: pick_in_folder(members) for folder, members in folders_of(groups).items()}
    families = _families(inside)
    for are_alternatives in (_are_variants, _are_voices, _are_runs, lambda one: _are_whole_models(one, paths)):
        if len(families) > 1 and are_alternatives(families):
            return _one_of(families)
    return _one_of_each_form({folder: [one] for folder, one in inside.items()})


def _families(inside: Mapping[str, Picked]) -> Families:
    """Sorts what was picked by folders that stand for themselves: a variant's, or one that no other is in."""
    common = _common_parts(list(inside))
    roots = {folder: _root(folder, common) for folder in inside}
    tops = {root for root in roots.values() if not any(root.startswith(f"{other}/") for other in roots.values())}
    families: dict[str, list[Picked]] = {}
    for folder, root in roots.items():
        top = next(one for one in tops if f"{root}/".startswith(f"{one}/"))
        families.setdefault(top, []).append(inside[folder])
    return families


def _common_parts(folders: Sequence[str]) -> int:
    """Counts the first parts that all the folders' paths share."""
    count = 0
    for parts in zip(*(PurePosixPath(folder).parts for folder in folders), strict=False):
        if len(set(parts)) > 1:
            break
        count += 1
    return count


def _root(folder: str, common: int) -> str:
    """Returns a folder's path up to the last part that names a variant, if one does where folders differ."""
    parts = PurePosixPath(folder).parts
    for count in range(len(parts), common, -1):
        if variants.names_variant(parts[count - 1]):
            return "/".join(parts[:count])
    return folder


def _are_variants(families: Families) -> bool:
    """Tells whether folders hold one model in several variants, as all of their names say but one."""
    common = _common_parts(list(families))
    named = [root for root in families if variants.folder_variant("/".join(PurePosixPath(root).parts[common:]))]
    return len(named) >= len(families) - 1


def _are_voices(families: Families) -> bool:
    """Tells whether each folder holds a voice of Piper, with its own configuration beside it."""
    every = [group for family in families.values() for one in family for group in one.kept]
    return all(any(file.path.endswith(_SIDECAR) for file in group.extras) for group in every)


def _are_runs(families: Families) -> bool:
    """Tells whether folders hold the ends of several trainings, as their files' names say."""
    every = [group for family in families.values() for one in family for group in one.kept]
    return all(step_of(group.base) is not None and not group.is_sharded for group in every)


def _are_whole_models(families: Families, paths: Collection[str]) -> bool:
    """Tells whether each folder holds a model with all that it needs: its configuration and its tokenizer."""
    for root, family in families.items():
        has_main = any(group.slot == MAIN for one in family for group in one.kept)
        tokenizes = any(f"{root}/{name}" in paths for name in _TOKENIZERS)
        if not (has_main and tokenizes and f"{root}/config.json" in paths):
            return False
    return True


def _one_of_each_form(families: Families) -> Picked:
    """Takes what is in all folders, but of those that extend another's name, and are of its size, only that other."""
    picked = Picked()
    rest = dict(families)
    for root in sorted(families, key=len):
        if root not in rest:
            continue
        longer = [one for one in rest if _is_form_of(one, root, families)]
        alike = [one for one in rest if one == root or _is_alike(one, root, families)]
        if _are_several_models(alike):
            longer = alike
        if len(longer) > 1:
            picked.add(_one_of({one: families[one] for one in longer}, key=len))
        else:
            for one in families[root]:
                picked.add(one)
        rest = {one: family for one, family in rest.items() if one not in longer}
    return picked


def _is_form_of(root: str, other: str, families: Families) -> bool:
    if root == other:
        return True
    if PurePosixPath(root).parent != PurePosixPath(other).parent or not extends(root, other):
        return False
    sizes = [sum(group.size for one in families[name] for group in one.kept) for name in (root, other)]
    return is_equal_size(sizes[0], sizes[1], _SAME_SIZE)


def _is_alike(root: str, other: str, families: Families) -> bool:
    """Tells whether two folders hold models of one kind: large files of the same names and sizes, or several parts."""
    files, others = _files(root, families), _files(other, families)
    if files.keys() != others.keys():
        return False
    siblings = PurePosixPath(root).parent == PurePosixPath(other).parent
    if siblings and len(files) >= _MIN_PARTS:
        return True
    sizes = sum(files.values()), sum(others.values())
    # A library gives all its files one name, of whatever part: those say something only of siblings.
    own_names = not any(group.slot == MAIN for one in families[root] for group in one.kept)
    largest = max(sum(group.size for one in family for group in one.kept) for family in families.values())
    are_models = min(sizes) >= _MIN_MODEL_BYTES and all(is_equal_size(one, largest, _SAME_SIZE) for one in sizes)
    return (siblings or own_names) and are_models


def _files(root: str, families: Families) -> dict[str, int]:
    """Returns the sizes of a folder's weights by their names within it, of which an identifier tells nothing."""
    groups = [group for one in families[root] for group in one.kept]
    return {_IDENTIFIER.sub("*", f"{group.folder.removeprefix(root)}/{group.base}"): group.size for group in groups}


def _are_several_models(roots: Sequence[str]) -> bool:
    """Tells whether folders' names are those of models: no pair of parts, and not parts that are counted."""
    pairs = {PAIR.sub("*", root) for root in roots}
    return len(pairs) == len(roots) > 1 and len({re.sub(r"(?<![v\d])\d+", "", root) for root in roots}) > 1


def _one_of(families: Families, key: Callable[[str], object] | None = None) -> Picked:
    """Takes one of several folders. Each brings its own parts and its own dropped groups."""
    picked = Picked()
    named = {root: [group for one in family for group in one.kept] for root, family in families.items()}
    usable = [root for root in families if all(group.complete for group in named[root])] or list(families)
    best = min(usable, key=key or (lambda root: _order(root, named[root])))  # type: ignore[arg-type]
    for root, family in families.items():
        for one in family:
            picked.dropped += one.dropped
            picked.alternatives += one.alternatives
            if root == best:
                picked.kept += one.kept
            else:
                picked.drop(one.kept, OTHER_VARIANT)
    offered = {root or DEFAULT: groups for root, groups in named.items()}
    picked.alternatives.append(Alternatives(offered, best or DEFAULT, must_choose=len(usable) > 1))
    return picked


def _order(root: str, groups: Sequence[WeightGroup]) -> tuple[object, ...]:
    """Prefers what runs on a server's GPU in few bits, then by popularity; of checkpoints the last."""
    words = re.split(r"[-_/]", root.lower())
    device = 0 if {"cuda", "gpu"} & set(words) else 1 if {"cpu"} & set(words) else 2
    if not {"cuda", "gpu", "cpu", "directml", "dml", "mobile", "npu", "qnn"} & set(words):
        device = 0
    bits = 0 if "int4" in words or "q4" in words else 1
    step = re.search(r"(?:checkpoint|global_step|step|epoch|iter|ckpt)[-_]?(\d+)", root)
    trained = int(step[1]) if step else max((step_of(group.base) or 0 for group in groups), default=0)
    is_pickled = any(group.format is Format.TORCH for group in groups)
    usual = 0 if "medium" in words else 1
    return device, bits, -trained, is_pickled, variants.rank(variants.folder_variant(root)), usual, len(root), root
