"""A model with LoRA adapters beside it, each read from where it is, as if all of it were one repository."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from modelcar.errors import SelectionError
from modelcar.hub import lora
from modelcar.hub.choice import choose
from modelcar.hub.model_class import ModelClass
from modelcar.hub.selection import facts_of
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.hub.source import Source
from modelcar.sources.shelf import name_of

_COMMIT_DIGITS = 40


@dataclass(frozen=True)
class _Part:
    """The model, or an adapter.

    Attributes:
        source: Where it is read.
        snapshot: What is in it.
        prefix: Stands before its paths.
    """

    source: Source
    snapshot: Snapshot
    prefix: str = ""

    def own(self, file: PublishedFile) -> PublishedFile:
        """Returns a file as it is called where it is read."""
        return file.model_copy(update={"path": file.path.removeprefix(self.prefix), "folder": ""})


class WithAdapters:
    """A model and its adapters.

    The commit is the hash of all their files' published hashes, for no Hub knows the two together: so what is signed of
    such an image holds the list of them, as of a model of one's own.

    Args:
        base: The source of the model.
        adapters: The source of each adapter, by what somebody wrote for it.
    """

    def __init__(self, base: Source, adapters: dict[str, Source]) -> None:
        self._base = base
        self._adapters = adapters
        self._parts: list[_Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def snapshot(self, model: str, revision: str = "main") -> Snapshot:
        """Resolves the model's revision and each adapter, and lists all that is in them.

        Raises:
            SelectionError: What should be an adapter is none, or two have one name.
        """
        whole = self._base.snapshot(model, revision)
        self._parts = [_Part(self._base, whole)]
        for written, source in self._adapters.items():
            part = _adapter(written, source)
            if any(one.prefix == part.prefix for one in self._parts):
                raise SelectionError(
                    f"two adapters are called {part.prefix.split('/')[1]}", "Put one in an image alone"
                )
            self._parts.append(part)
        files = tuple(
            file.model_copy(update={"path": part.prefix + file.path})
            for part in self._parts
            for file in part.snapshot.files
        )
        places = [f"{part.snapshot.source}@{part.snapshot.commit}" for part in self._parts]
        listed = "".join(f"{file.identity}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
        commit = hashlib.sha256(listed.encode()).hexdigest()[:_COMMIT_DIGITS]
        return whole.model_copy(update={"commit": commit, "source": f"lora:{'+'.join(places)}", "files": files})

    def peek(self, snapshot: Snapshot) -> "_Peek":
        """Returns a reader of small parts of the files."""
        return _Peek(self._part, {id(part): part.source.peek(part.snapshot) for part in self._parts})

    def readers(self, snapshot: Snapshot) -> Callable[[PublishedFile], Any]:
        """Returns what gives, for each file, a reader of its bytes."""
        return lambda file: self.reader(snapshot, file)

    def reader(self, snapshot: Snapshot, file: PublishedFile) -> Any:
        """Returns a reader of a file's bytes, or of any part of them."""
        part = self._part(file)
        return part.source.reader(part.snapshot, part.own(file))

    def branch_of(self, model: str, commit: str) -> str:
        """Finds what the model's own commit is in the history of; empty if it, or an adapter's, is in none."""
        found = [part.source.branch_of(part.snapshot.model, part.snapshot.commit) for part in self._parts]
        return found[0] if found and all(found) else ""

    def branches(self, model: str) -> tuple[str, ...]:
        """Names the model's branches."""
        return self._base.branches(model)

    def check_access(self, snapshot: Snapshot, file: PublishedFile) -> None:
        """Checks that a file may be read, and the first one of each adapter."""
        part = self._part(file)
        part.source.check_access(part.snapshot, part.own(file))
        for adapter in self._parts[1:]:
            adapter.source.check_access(adapter.snapshot, max(adapter.snapshot.files, key=lambda one: one.size))

    def close(self) -> None:
        """Ends all reads."""
        with ExitStack() as stack:
            for source in (self._base, *self._adapters.values()):
                stack.callback(source.close)

    def _part(self, file: PublishedFile) -> _Part:
        return max((part for part in self._parts if file.path.startswith(part.prefix)), key=lambda one: len(one.prefix))


class _Peek:
    """Reader of small parts of the files of several sources."""

    def __init__(self, part_of: Callable[[PublishedFile], _Part], peeks: dict[int, Any]) -> None:
        self._part_of, self._peeks = part_of, peeks

    def read(self, file: PublishedFile) -> bytes | None:
        """Returns all of a small file."""
        part = self._part_of(file)
        found: bytes | None = self._peeks[id(part)].read(part.own(file))
        return found

    def read_part(self, file: PublishedFile, start: int, end: int) -> bytes | None:
        """Returns the bytes from an offset to before another."""
        part = self._part_of(file)
        found: bytes | None = self._peeks[id(part)].read_part(part.own(file), start, end)
        return found

    def reader(self, file: PublishedFile) -> Callable[[int, int], bytes | None]:
        """Returns a function that reads parts of one file."""
        return lambda start, end: self.read_part(file, start, end)


def _adapter(written: str, source: Source) -> _Part:
    whole = source.snapshot(written)
    facts = facts_of(whole, source.peek(whole))
    choice = choose(whole.files, facts=facts)
    if choice.model_class is not ModelClass.ADAPTER:
        raise SelectionError(f"{written} is no LoRA adapter, but {choice.model_class}", "Name a model that PEFT saved")
    for problem in choice.problems:
        raise problem
    name = name_of(whole.model.rpartition("/")[2])
    return _Part(source, whole.model_copy(update={"files": choice.taken}), lora.place_of(name, ""))
