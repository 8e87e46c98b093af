"""Models of one's own: files that no Hub publishes, in a folder, a claim, a bucket or a registry.

Nobody published their hashes. The first reading makes the list of them; the model's commit is the hash of that list, so
the same files are the same commit wherever they lie, and whoever reads them later reads these bytes or is told. What
is signed of an image holds this list, and is from then on the root of the chain.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import yaml

from modelcar.errors import SelectionError
from modelcar.hub.card import described_by_card
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.progress import Progress
from modelcar.sources.shelf import Shelf

MAX_FILES = 100_000
_READERS = 4
_COMMIT_DIGITS = 40
_CREATED = datetime.fromtimestamp(0, UTC)
"""The files' own times say when somebody copied them: content decides, not time."""

_MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True)
class OwnFile:
    """File of a shelf.

    Attributes:
        shelf: Where it is.
        path: Its path there.
        size: Its size in bytes.
    """

    shelf: Shelf
    path: str
    size: int

    def read(self, start: int = 0, end: int | None = None, *, unbroken: bool = False) -> Iterator[bytes]:
        """Gives the bytes from an offset, to the end or to before another."""
        yield from self.shelf.read(self.path, start, self.size if end is None else min(end, self.size))


class OwnPeek:
    """Reader of small parts of a shelf's files.

    Args:
        shelf: Where they are.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def read(self, file: PublishedFile) -> bytes | None:
        """Returns all of a small file."""
        return self.read_part(file, 0, file.size)

    def read_part(self, file: PublishedFile, start: int, end: int) -> bytes | None:
        """Returns the bytes from an offset to before another."""
        return b"".join(self._shelf.read(file.path, start, min(end, file.size)))

    def reader(self, file: PublishedFile) -> Callable[[int, int], bytes | None]:
        """Returns a function that reads parts of one file."""
        return lambda start, end: self.read_part(file, start, end)


class OwnSource:
    """A model of one's own.

    Args:
        shelf: Where its files are.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __enter__(self) -> "OwnSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def snapshot(self, model: str, revision: str = "main") -> Snapshot:
        """Reads all files once, and makes the list of their hashes.

        Args:
            model: What was asked for.
            revision: The commit that the files must be, or the beginning of it; `main` for whatever is there.

        Raises:
            SelectionError: There are none, or they are another commit.
        """
        sizes = {path: size for path, size in sorted(self._shelf.sizes().items()) if not _is_hidden(path)}
        if not sizes:
            raise SelectionError(f"there are no files in {self._shelf.uri}", "Name the folder that holds the model's")
        if len(sizes) > MAX_FILES:
            raise SelectionError(f"{self._shelf.uri} holds more than {MAX_FILES} files", "Name the model's own folder")
        hashes = self._hashes(sizes)
        files = tuple(PublishedFile(path=path, size=size, sha256=hashes[path]) for path, size in sizes.items())
        commit = commit_of(files)
        if revision != "main" and not commit.startswith(revision):
            raise SelectionError(
                f"{self._shelf.uri} is at commit {commit} and not {revision}", "Leave --revision out, or restore it"
            )
        return Snapshot(
            model=self._shelf.model,
            commit=commit,
            created=_CREATED,
            source=self._shelf.uri,
            files=files,
            **self._described(sizes),
        )

    def _hashes(self, sizes: Mapping[str, int]) -> Mapping[str, str]:
        known = self._shelf.hashes()
        unknown = [path for path in sizes if path not in known]
        if not unknown:
            return known
        total = sum(sizes[path] for path in unknown)
        with Progress("hash", total) as progress, ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(lambda path: self._hash(path, sizes[path], progress), unknown))
        return {**known, **dict(zip(unknown, found, strict=True))}

    def _hash(self, path: str, size: int, progress: Progress) -> str:
        digest = hashlib.sha256()
        for chunk in self._shelf.read(path, 0, size):
            digest.update(chunk)
            progress.advance(len(chunk))
        return digest.hexdigest()

    def _described(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        card, config = self._text("README.md", sizes), self._text("config.json", sizes)
        front = card.split("---", 2)[1] if card.startswith("---") and card.count("---") > 1 else ""
        said = _mapping(front, yaml.safe_load)
        info = SimpleNamespace(
            card_data=SimpleNamespace(to_dict=lambda: said),
            tags=(),
            library_name=None,
            pipeline_tag=None,
            config=_mapping(config, json.loads),
        )
        return described_by_card(info)  # type: ignore[arg-type]

    def _text(self, path: str, sizes: Mapping[str, int]) -> str:
        if not 0 < sizes.get(path, 0) <= _MAX_CARD_BYTES:
            return ""
        return b"".join(self._shelf.read(path, 0, sizes[path])).decode(errors="replace")

    def peek(self, snapshot: Snapshot) -> OwnPeek:
        """Returns a reader of small parts of the files."""
        return OwnPeek(self._shelf)

    def readers(self, snapshot: Snapshot) -> Callable[[PublishedFile], OwnFile]:
        """Returns what gives, for each file, a reader of its bytes."""
        return lambda file: self.reader(snapshot, file)

    def reader(self, snapshot: Snapshot, file: PublishedFile) -> OwnFile:
        """Returns a reader of a file's bytes, or of any part of them."""
        return OwnFile(self._shelf, file.path, file.size)

    def branch_of(self, model: str, commit: str) -> str:
        """Returns where the files are: nobody else could have put them there."""
        return self._shelf.uri

    def branches(self, model: str) -> tuple[str, ...]:
        """Names no branches: there are none."""
        return ()

    def check_access(self, snapshot: Snapshot, file: PublishedFile) -> None:
        """Checks nothing: every file was read."""

    def close(self) -> None:
        """Ends all reads."""
        self._shelf.close()


def commit_of(files: tuple[PublishedFile, ...]) -> str:
    """Returns the hash of a list of files, as `sha256sum` would write it, in as many digits as a commit has."""
    listed = "".join(f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256(listed.encode()).hexdigest()[:_COMMIT_DIGITS]


def _is_hidden(path: str) -> bool:
    """Tells whether a file is none of the model's, such as those of .git and .cache."""
    return any(part.startswith(".") for part in path.split("/"))


def _mapping(text: str, read: Callable[[str], Any]) -> dict[str, Any]:
    with suppress(ValueError, yaml.YAMLError, RecursionError):
        if isinstance(found := read(text), dict):
            return found
    return {}
