"""Which files of a model repository to take: the ones that serve it, once.

Repositories often hold the same weights several times, in other formats or for other frameworks. Mistral's have
`consolidated.safetensors` beside the shards; that alone made an 80 GB image of 48 GB of weights.
"""

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import PurePosixPath
from typing import Any

from rich.filesize import decimal

from modelcar.errors import SelectionError, WeightsError
from modelcar.given import value_of
from modelcar.hub.client import DEFAULT_REVISION, Hub
from modelcar.hub.pickles import PICKLE_REMEDY, is_pickle_by_name
from modelcar.hub.snapshot import PublishedFile, Snapshot

_OTHER_FRAMEWORKS = (
    "tf_model*.h5", "*.tflite", "flax_model*.msgpack*", "rust_model.ot", "*.mlmodel", "*.mlpackage", "*.ckpt*"
)  # fmt: skip
_OTHER_RUNTIMES = ("onnx", "openvino", "coreml", "mlx", "gguf", "tflite")
_TORCH = ("*.bin", "*.pt", "*.pth")
_TORCH_AND_INDEXES = (*_TORCH, "*.bin.index.json", "*.pt.index.json")
_ADAPTER = "adapter_"
_BOOKKEEPING = (".gitattributes", ".gitignore")
_OF_TRAINING = (
    "training_args.bin", "optimizer*.pt", "optimizer*.bin", "scheduler.pt", "scheduler.bin", "scaler.pt",
    "rng_state*.pth"
)  # fmt: skip
"""What transformers' Trainer and accelerate leave beside a checkpoint: pickles, with which nothing serves."""

_MOST_NAMED = 5


@dataclass(frozen=True)
class Selection:
    """A model and which of its files are wanted: parameters of the pipelines, by their own names.

    Attributes:
        model: Id of the model on the Hub, `organisation/name`.
        revision: Branch, tag or commit.
        include: Glob patterns over paths (`*` also matches `/`); where there are any, only what they match is taken.
        exclude: Glob patterns of what is not taken, whatever `include` says.
        everything: Take duplicates and other frameworks' weights as well.
        allow_pickle: Take files that run code when they are loaded.
    """

    model: str
    _: KW_ONLY
    revision: str = DEFAULT_REVISION
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    everything: bool = False
    allow_pickle: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Selection":
        """Takes what it needs of a step's parameters."""
        return value_of(cls, given)

    def resolve(self, hub: Hub) -> tuple[Snapshot, "Choice"]:
        """Asks the Hub for the model's files and chooses among them.

        Returns:
            The commit with the files that are taken, and what is taken and what is left out.

        Raises:
            HubError: The Hub refused.
            SelectionError: A pattern matches nothing, or nothing is left to take.
        """
        whole = hub.snapshot(self.model, self.revision)
        choice = choose(whole.files, self.include, self.exclude, everything=self.everything)
        return whole.model_copy(update={"files": choice.taken, "allow_pickle": self.allow_pickle}), choice


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
    """What is taken of a repository and what is left out."""

    taken: tuple[PublishedFile, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def size(self) -> int:
        """Bytes taken."""
        return sum(file.size for file in self.taken)

    @property
    def pickles(self) -> tuple[PublishedFile, ...]:
        """Those of the files taken that run code when they are loaded, as their names say."""
        beside = {file.path for file in self.taken}
        return tuple(file for file in self.taken if is_pickle_by_name(file.path, beside))

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
) -> Choice:
    """Chooses the files to take.

    Args:
        files: The repository's files.
        include: Glob patterns over paths (`*` also matches `/`); where there are any, only what they match is taken.
        exclude: Glob patterns of what is not taken, whatever `include` says.
        everything: Take duplicates and other frameworks' weights as well.

    Raises:
        SelectionError: A pattern matches nothing, or nothing is left to take.
    """
    every = sorted(files, key=lambda file: file.path)
    _check_patterns(every, include, exclude)
    wanted, left_out = [], []
    for file in every:
        reason = _unwanted(file.path, include, exclude)
        if reason:
            left_out.append(LeftOut(file, reason))
        else:
            wanted.append(file)
    reason_of = (lambda _path: "") if everything else _duplicates([file.path for file in wanted])
    taken = []
    for file in wanted:
        reason = reason_of(file.path)
        if reason:
            left_out.append(LeftOut(file, reason))
        else:
            taken.append(file)
    if not taken:
        raise SelectionError("the patterns leave no file to take", "Widen --include or narrow --exclude")
    return Choice(tuple(taken), tuple(left_out))


def refuse_pickles(snapshot: Snapshot, choice: Choice) -> None:
    """Refuses files that run code when they are loaded, unless they are allowed, before any of them is fetched.

    Raises:
        WeightsError: There are such files; names them.
    """
    if not snapshot.allow_pickle and (pickles := choice.pickles):
        names = ", ".join(file.path for file in pickles[:_MOST_NAMED])
        more = f" and {len(pickles) - _MOST_NAMED} more" if len(pickles) > _MOST_NAMED else ""
        raise WeightsError(f"{names}{more} may hold Python pickles, which run code when they are loaded", PICKLE_REMEDY)


def tell(snapshot: Snapshot, choice: Choice) -> None:
    """Prints what is taken, what is left out and why, and how many bytes that saves."""
    print(f"{snapshot.model} at commit {snapshot.commit}: {len(choice.taken)} files, {decimal(choice.size)}")
    for left in choice.left_out:
        print(f"  left out: {left.file.path} ({decimal(left.file.size)}), {left.reason}")
    if choice.saved:
        print(f"  which saves {decimal(choice.saved)}", flush=True)


def _check_patterns(files: Sequence[PublishedFile], include: Sequence[str], exclude: Sequence[str]) -> None:
    for option, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(file.path, pattern) for file in files):
                names = ", ".join(file.path for file in files[:5])
                raise SelectionError(f"the {option} pattern {pattern!r} matches no file", f"There are: {names} …")


def _unwanted(path: str, include: Sequence[str], exclude: Sequence[str]) -> str:
    if include and not _any_match(path, include):
        return "not included"
    return "excluded" if _any_match(path, exclude) else ""


def _duplicates(paths: Sequence[str]) -> Callable[[str], str]:
    """Gives, for a path, the reason to leave it out by default; empty to take it.

    A file is only left out where the file that stands for it is among the paths, so that a repository that has weights
    in one form alone keeps them.
    """
    safetensors = {PurePosixPath(path) for path in paths if path.endswith(".safetensors")}
    adapters = {path.parent for path in safetensors if path.name.startswith(_ADAPTER)}
    folders = {path.parent for path in safetensors if not path.name.startswith(_ADAPTER)}
    standard = {path.parent for path in safetensors if not path.name.startswith(("consolidated", _ADAPTER))}
    torch = {PurePosixPath(path).parent for path in paths if _any_match(PurePosixPath(path).name, _TORCH)}
    top = PurePosixPath(".")

    def reason(path: str) -> str:
        pure = PurePosixPath(path)
        if pure.name in _BOOKKEEPING:
            return "git's own bookkeeping"
        if _any_match(pure.name, _OF_TRAINING):
            return "of use for training only"
        if pure.name.startswith("consolidated") and pure.parent in standard:
            return "the same weights as the other safetensors beside it"
        twins = adapters if pure.name.startswith(_ADAPTER) else folders
        if _any_match(pure.name, _TORCH_AND_INDEXES) and pure.parent in twins:
            return "the same weights as the safetensors beside it"
        if pure.parts[0] == "original" and len(pure.parts) > 1 and top in folders | torch:
            return "the original form of the weights"
        if top not in folders | torch:
            return ""
        if _any_match(pure.name, _OTHER_FRAMEWORKS):
            return "weights for another framework"
        if len(pure.parts) > 1 and pure.parts[0] in _OTHER_RUNTIMES:
            return "weights for another runtime"
        return "weights for another runtime" if top in folders and pure.suffix in (".gguf", ".onnx") else ""

    return reason


def _any_match(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
