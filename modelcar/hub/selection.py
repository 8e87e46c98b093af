"""Selection of a model's files, as somebody asked for it, and what came of the asking."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from rich.filesize import decimal

from modelcar.errors import ModelcarError, SelectionError, WeightsError
from modelcar.given import value_of
from modelcar.hub import gguf_header, pickles
from modelcar.hub.boosted import find_boosted
from modelcar.hub.choice import Choice, choose
from modelcar.hub.client import DEFAULT_REVISION
from modelcar.hub.description import describe_files
from modelcar.hub.facts import Facts, read_facts
from modelcar.hub.formats import MIN_UNKNOWN_BYTES, MMPROJ
from modelcar.hub.gguf_header import read_gguf_header
from modelcar.hub.model_class import ModelClass
from modelcar.hub.nameless_adapters import is_nameless_adapter
from modelcar.hub.onnx_graphs import read_external_data
from modelcar.hub.peek import Peek
from modelcar.hub.snapshot import ALL_FILES, PublishedFile, Snapshot
from modelcar.hub.source import Source

MAX_LOOKED_AT = 64
"""Files whose first bytes are read, because their names do not say whether they are pickles."""

LAYOUTS = {"flat": "", "versioned": "1"}
"""The folder of the image's /models that the files lie in."""

_MAX_NAMED = 5
_MAX_BRANCHES = 10
_READERS = 8


@dataclass(frozen=True)
class Selected:
    """The outcome of a selection.

    Attributes:
        snapshot: The files that are taken, with all that is said of them.
        choice: Which those are, which are left out, and why.
        pickles: Those of the files taken that run code when they are loaded, or may.
        problems: Why an image of these files could not be served.
    """

    snapshot: Snapshot
    choice: Choice
    pickles: tuple[PublishedFile, ...]
    problems: tuple[ModelcarError, ...]

    def check(self) -> None:
        """Raises the first of the problems, if there are any."""
        for problem in self.problems:
            raise problem


@dataclass(frozen=True)
class Selection:
    """A model and which of its files are wanted: parameters of the pipelines, by their own names.

    Attributes:
        model: Id of the model on the Hub, `organisation/name`; or a source of one's own (modelcar.hub.source).
        revision: Branch, tag or commit.
        include: Glob patterns over paths (`*` also matches `/`); where there are any, of the weights only what they
            match is taken.
        exclude: Glob patterns of what is not taken, whatever `include` says.
        everything: Take duplicates and other frameworks' weights as well.
        allow_pickle: Glob patterns of the files that may run code when they are loaded; `*`, or True, for all.
        variant: Which of several alternatives to take, such as `Q4_K_M`, `fp16`, `onnx` or a folder.
        transport: What brings the files' bytes: `http`, `xet` or `auto` (modelcar.hub.xet).
        model_layout: `flat`: the files lie in the image's /models; `versioned`: in /models/1, as servers of versions
            want it.
        adapters: LoRA adapters to put beside the model, each written as a model is.
    """

    model: str
    _: KW_ONLY
    revision: str = DEFAULT_REVISION
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    everything: bool = False
    allow_pickle: Sequence[str] | bool = ()
    variant: str = ""
    transport: str = "http"
    model_layout: str = "flat"
    adapters: Sequence[str] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Selection":
        """Takes what it needs of a step's parameters."""
        return value_of(cls, given)

    def resolve(self, hub: Source) -> Selected:
        """Finds the commit, reads what says how the model is put together, and chooses.

        Args:
            hub: The source to ask.

        Raises:
            HubError: The Hub refused.
            SelectionError: The patterns or the variant match nothing, or leave nothing.
        """
        if self.model_layout not in LAYOUTS:
            raise SelectionError(
                f"there is no model_layout {self.model_layout!r}", f"Choose one of {', '.join(LAYOUTS)}"
            )
        whole = hub.snapshot(self.model, self.revision).placed(LAYOUTS[self.model_layout])
        peek = hub.peek(whole)
        facts = facts_of(whole, peek)
        choice = choose(
            whole.files, self.include, self.exclude, everything=self.everything, variant=self.variant, facts=facts
        )
        snapshot = describe_files(whole, choice.taken, facts).model_copy(update={"allow_pickle": self._allowed})
        found = find_pickles(choice.taken, peek, {path for paths in facts.external.values() for path in paths})
        problems = [*self._problems_of_choice(choice, hub, whole), *_refused_pickles(found, snapshot)]
        return Selected(snapshot, choice, tuple(found), tuple(problems))

    @property
    def _allowed(self) -> tuple[str, ...]:
        if isinstance(self.allow_pickle, bool):
            return (ALL_FILES,) if self.allow_pickle else ()
        return tuple(self.allow_pickle)

    def _problems_of_choice(self, choice: Choice, hub: Source, whole: Snapshot) -> Iterable[ModelcarError]:
        for pattern in self._allowed:
            _check_pattern(pattern, whole)
        for problem in choice.problems:
            yield _with_branches(problem, hub, whole) if choice.model_class is ModelClass.NONE else problem


def facts_of(whole: Snapshot, peek: Peek) -> Facts:
    """Reads what a commit's small files, and the headers of some weights, say of how the model is put together."""
    facts = read_facts(whole.model, whole.files, whole.card, peek.read)
    facts = replace(facts, external=read_external_data(whole.files, peek.read))
    if not facts.card.is_adapter and is_nameless_adapter(whole.files, peek.read_part):
        return replace(facts, card=facts.card.model_copy(update={"is_adapter": True}))
    if boosted := find_boosted(whole.files, peek.read_part):
        return replace(facts, boosted=boosted)
    ggufs = [file for file in whole.files if file.path.endswith(".gguf") and not MMPROJ.search(file.path)]
    if facts.card.gguf or not ggufs:
        return facts
    first = min(ggufs, key=lambda file: file.path)
    try:
        header = read_gguf_header(peek.read_part(first, 0, min(first.size, gguf_header.HEAD_BYTES)) or b"")
    except ValueError:
        return facts
    said = {"architecture": header.architecture, "context_length": header.context_length}
    return replace(facts, card=facts.card.model_copy(update={"gguf": said}))


def find_pickles(
    files: Sequence[PublishedFile], peek: Peek, external: Collection[str] = ()
) -> dict[PublishedFile, bool]:
    """Finds the files that hold pickles: by their names, or by their bytes where those do not decide.

    Args:
        files: The files that are taken.
        peek: Reads their first bytes.
        external: Paths of ONNX graphs' weights, which may be called as pickles are.

    Returns:
        Those that hold one or may, each with whether its bytes were seen to be a pickle's.
    """
    beside = {file.path for file in files}
    named = {file.path: pickles.by_name(file.path, beside) for file in files}
    named |= dict.fromkeys(beside & set(external), pickles.ByName.PERHAPS)
    doubtful = [file for file in files if _is_doubtful(file, named[file.path])]
    doubtful.sort(key=lambda file: (named[file.path] is not pickles.ByName.MAYBE, -file.size))
    with ThreadPoolExecutor(_READERS) as pool:
        looked = doubtful[:MAX_LOOKED_AT]
        answers = pool.map(lambda file: _look(file, peek, named[file.path]), looked)
        seen = dict(zip((file.path for file in looked), answers, strict=True))

    def holds(file: PublishedFile) -> bool:
        said, answer = named[file.path], seen.get(file.path)
        if said in (pickles.ByName.YES, pickles.ByName.NO):
            return said is pickles.ByName.YES
        return answer if answer is not None else said is pickles.ByName.MAYBE

    return {file: seen.get(file.path) is True for file in files if holds(file)}


def _is_doubtful(file: PublishedFile, said: pickles.ByName) -> bool:
    if said is pickles.ByName.PERHAPS:
        # Texts such as LICENSE have no suffix either.
        return file.size >= MIN_UNKNOWN_BYTES or PurePosixPath(file.path).suffix != ""
    return said is pickles.ByName.MAYBE


def _look(file: PublishedFile, peek: Peek, said: pickles.ByName) -> bool | None:
    return pickles.look(file.size, peek.reader(file), is_suspect=said is pickles.ByName.MAYBE)


def tell(snapshot: Snapshot, choice: Choice) -> None:
    """Prints what is taken, what is left out and why, and how many bytes that saves."""
    print(f"{snapshot.model} at commit {snapshot.commit}: {len(choice.taken)} files, {decimal(choice.size)}")
    for left in choice.left_out:
        print(f"  left out: {left.file.path} ({decimal(left.file.size)}), {left.reason}")
    if choice.saved:
        print(f"  which saves {decimal(choice.saved)}", flush=True)


def _check_pattern(pattern: str, whole: Snapshot) -> None:
    allowing = whole.model_copy(update={"allow_pickle": (pattern,)})
    if not any(allowing.allows_pickle(file.path) for file in whole.files):
        raise SelectionError(
            f"--allow-pickle {pattern!r} matches no file of {whole.model}", "Name files as the repository does"
        )


def _refused_pickles(found: Mapping[PublishedFile, bool], snapshot: Snapshot) -> Iterable[WeightsError]:
    refused = {file.path: seen for file, seen in found.items() if not snapshot.allows_pickle(file.path)}
    if any(refused.values()):
        path = next(path for path, seen in refused.items() if seen)
        yield WeightsError(pickles.is_one(path), pickles.PICKLE_REMEDY)
    doubtful = [path for path, seen in refused.items() if not seen]
    if doubtful:
        names = ", ".join(doubtful[:_MAX_NAMED])
        more = f" and {len(doubtful) - _MAX_NAMED} more" if len(doubtful) > _MAX_NAMED else ""
        yield WeightsError(
            f"{names}{more} may hold Python pickles, which run code when they are loaded", pickles.PICKLE_REMEDY
        )


def _with_branches(problem: ModelcarError, hub: Source, whole: Snapshot) -> ModelcarError:
    """Adds, where a repository's main branch holds no weights, the branches that may: EXL2 models are published so."""
    branches = [name for name in hub.branches(whole.model) if name != DEFAULT_REVISION][:_MAX_BRANCHES]
    if not branches:
        return problem
    return WeightsError(problem.what, f"Its branches may hold them (--revision): {', '.join(branches)}")
