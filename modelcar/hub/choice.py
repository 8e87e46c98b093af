"""The choice of a repository's files: the weights that serve it, once, and all that goes with them."""

import fnmatch
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from modelcar.errors import ModelcarError, SelectionError, WeightsError
from modelcar.hub import formats, variants
from modelcar.hub.asked_variant import pick_asked
from modelcar.hub.facts import Facts
from modelcar.hub.formats import Format
from modelcar.hub.layouts import WITHOUT_WEIGHTS, pick
from modelcar.hub.lora import is_of_adapter
from modelcar.hub.model_class import ModelClass, classify
from modelcar.hub.options import Option, must_choose, options_of
from modelcar.hub.picking import Picked
from modelcar.hub.snapshot import PublishedFile
from modelcar.hub.weight_groups import WeightGroup, group_weights

_NOT_INCLUDED = "not included"


@dataclass(frozen=True)
class LeftOut:
    """A file that is not taken.

    Attributes:
        file: The file.
        reason: Why, as the end of the sentence "left out: …".
    """

    file: PublishedFile
    reason: str


@dataclass(frozen=True)
class Choice:
    """A choice among a repository's files: those to take, and those to leave out.

    Attributes:
        taken: The files to take.
        left_out: The others.
        model_class: The layout of what is taken.
        weights: The groups of weights that are taken.
        options: The alternatives that the repository offers.
        problems: Why what is taken cannot be served.
    """

    taken: tuple[PublishedFile, ...]
    left_out: tuple[LeftOut, ...]
    model_class: ModelClass = ModelClass.OTHER
    weights: tuple[WeightGroup, ...] = ()
    options: tuple[Option, ...] = ()
    problems: tuple[ModelcarError, ...] = ()

    @property
    def size(self) -> int:
        """Bytes taken."""
        return sum(file.size for file in self.taken)

    @property
    def saved(self) -> int:
        """Bytes that need not be moved."""
        return sum(left.file.size for left in self.left_out)


def choose(
    files: Iterable[PublishedFile],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    everything: bool = False,
    variant: str = "",
    facts: Facts | None = None,
) -> Choice:
    """Chooses the files to take.

    Args:
        files: The repository's files.
        include: Glob patterns over paths (`*` also matches `/`); where there are any, of the weights only what they
            match is taken, and what is of use only with that. What lies in folders of other weights alone is left out
            with those.
        exclude: Glob patterns of what is not taken, whatever `include` says.
        everything: Take duplicates and other frameworks' weights as well.
        variant: Which of several alternatives to take, by its name; empty for the loaders' own default.
        facts: What the repository's small files say.

    Raises:
        SelectionError: A pattern or the variant matches nothing, or nothing is left to take.
        WeightsError: The repository holds nothing but what git and training programs leave.
    """
    facts = facts or Facts()
    every = sorted(files, key=lambda file: file.path)
    _check_patterns(every, include, exclude)
    left = {file.path: "excluded" for file in every if _any_match(file.path, exclude)}
    # What somebody put beside the model is taken with whatever is taken of that.
    wanted = [file for file in every if file.path not in left and not is_of_adapter(file.path)]
    others = _not_included(group_weights(wanted, facts), include) if include else []
    left |= {file.path: _NOT_INCLUDED for group in others for file in group.files}
    wanted = [file for file in wanted if file.path not in left]
    if everything:
        groups = group_weights(wanted, facts)
        return _finished(every, left, Picked(kept=groups), facts)
    useful = _without_leftovers(wanted, left)
    groups = group_weights(useful, facts)
    paths = {file.path for file in useful}
    picked = pick_asked(groups, variant, paths, facts) if variant else pick(groups, paths, facts)
    picked.drop(others, _NOT_INCLUDED)
    # A tokenizer in whose folder weights lie as well stays.
    picked.folders += [group.folder for group in others if WITHOUT_WEIGHTS.fullmatch(group.folder)]
    _leave_out(picked, useful, left)
    for file in useful:
        if left.get(file.path) == _NOT_INCLUDED and _any_match(file.path, include):
            del left[file.path]
    return _finished(every, left, picked, facts)


def _check_patterns(files: Sequence[PublishedFile], include: Sequence[str], exclude: Sequence[str]) -> None:
    for option, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(file.path, pattern) for file in files):
                names = ", ".join(file.path for file in files[:5])
                raise SelectionError(f"the {option} pattern {pattern!r} matches no file", f"There are: {names} …")


def _not_included(groups: Sequence[WeightGroup], include: Sequence[str]) -> list[WeightGroup]:
    """Finds the weights that no pattern takes; one that matches a file takes all that is of use only with that."""
    found, taken = [], set[PublishedFile]()
    for group in groups:
        if group.is_projector:
            continue
        rest = tuple(file for file in group.weights if not _any_match(file.path, include))
        if rest == group.weights:
            found.append(group)
        elif rest and group.format is Format.UNKNOWN:
            # Nothing says that these belong together.
            found.append(replace(group, weights=rest))
        else:
            taken.update(group.files)
    # Several graphs may keep their weights in one file.
    return [replace(group, extras=tuple(file for file in group.extras if file not in taken)) for group in found]


def _any_match(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _without_leftovers(files: Sequence[PublishedFile], left: dict[str, str]) -> list[PublishedFile]:
    """Leaves out what training programs, git and data sets leave; checkpoints count where there is nothing else."""
    rest = []
    for file in files:
        if reason := formats.other_reason(file.path) or formats.training_reason(file.path):
            left[file.path] = reason
        else:
            rest.append(file)
    beside = {file.path for file in files}
    if any(formats.weights_format(file.path, beside) for file in rest):
        return rest
    checkpoints = [file for file in files if left.get(file.path) == formats.TRAINING and _is_of_checkpoint(file.path)]
    for file in checkpoints:
        del left[file.path]
    return sorted([*rest, *checkpoints], key=lambda file: file.path)


def _is_of_checkpoint(path: str) -> bool:
    return variants.is_checkpoint(path) and not formats.is_training_file(path)


def _leave_out(picked: Picked, files: Sequence[PublishedFile], left: dict[str, str]) -> None:
    """Leaves out the files of dropped groups, and what lies beside those alone."""
    kept_paths = {file.path for group in picked.kept for file in group.files}
    kept_folders = _with_parents([*picked.folders, *(group.folder for group in picked.kept)])
    reasons: dict[str, str] = {}
    for group, reason in picked.dropped:
        reasons.setdefault(group.folder, reason)
        left.update({file.path: reason for file in group.files if file.path not in kept_paths})
    beside = {file.path for file in files}
    for file in files:
        if file.path in kept_paths or file.path in left:
            continue
        if formats.is_index(file.path):
            left[file.path] = "the index of weights that are not taken"
        elif formats.weights_format(file.path, beside):
            left[file.path] = "not in the index of the weights"
        elif reason := _folder_reason(file.path, reasons, kept_folders):
            left[file.path] = reason
    _leave_out_mistral_parameters(picked, left, beside)


def _leave_out_mistral_parameters(picked: Picked, left: dict[str, str], paths: Collection[str]) -> None:
    """Leaves out params.json without the weights that it is of: vLLM 0.12 to 0.14 choose Mistral's form by it alone."""
    dropped = [group for group, _ in picked.dropped if group.slot == "consolidated" and not group.folder]
    if dropped and "config.json" in paths and "params.json" in paths and "params.json" not in left:
        left["params.json"] = "it is of consolidated.safetensors, which is not taken"


def _with_parents(folders: Iterable[str]) -> set[str]:
    found = {""}
    for folder in folders:
        found.add(folder)
        found.update(str(parent) for parent in PurePosixPath(folder).parents)
    return found


def _folder_reason(path: str, reasons: dict[str, str], kept: Collection[str]) -> str:
    """Says why a file that is no weights is left out: what lies in its folder, or in one above it, is left out."""
    for parent in PurePosixPath(path).parents:
        folder = "" if str(parent) == "." else str(parent)
        if folder in kept:
            return ""
        if folder in reasons:
            return reasons[folder]
    return ""


def _finished(every: Sequence[PublishedFile], left: dict[str, str], picked: Picked, facts: Facts) -> Choice:
    taken = tuple(file for file in every if file.path not in left)
    if not taken and not any(reason in ("excluded", _NOT_INCLUDED) for reason in left.values()):
        raise no_weights(every)
    if not taken:
        raise SelectionError("the patterns leave no file to take", "Widen --include or narrow --exclude")
    kept = tuple(picked.kept)
    paths = {file.path for file in taken if not is_of_adapter(file.path)}
    model_class = classify(kept, paths, facts)
    return Choice(
        taken,
        tuple(LeftOut(file, left[file.path]) for file in every if file.path in left),
        model_class,
        kept,
        options_of(picked),
        tuple(_problems(every, kept, picked)),
    )


def _problems(every: Sequence[PublishedFile], kept: Sequence[WeightGroup], picked: Picked) -> Iterator[ModelcarError]:
    if not kept:
        yield no_weights(every)
    for group in kept:
        for problem in group.problems:
            yield WeightsError(
                f"the weights are not complete: {problem}",
                "Choose another revision, or ask the model's owner to upload the file again",
            )
    if any(one.must_choose for one in picked.offered()):
        yield must_choose(options_of(picked))


def no_weights(files: Iterable[PublishedFile] = ()) -> WeightsError:
    """Returns the refusal of a repository without weights.

    Args:
        files: What is there instead.
    """
    sharded = next((file.path for file in files if file.path.endswith(".distcp")), "")
    if sharded:
        folder = shlex.quote(str(PurePosixPath(sharded).parent))
        return WeightsError(
            f"there are no weights here that a server loads, only the shards of a training program in {folder}",
            f"Put them together first: accelerate merge-weights {folder} merged",
        )
    return WeightsError(
        "there are no weights here: no file of the repository is of a format that models are served from",
        "Look at its page on the Hub: weights may be in a branch (--revision), or in another repository",
    )
