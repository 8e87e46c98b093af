"""A file's bytes held against the hash that the Hub published, while they pass."""

import hashlib
import shlex
from collections.abc import Iterator
from typing import Protocol

from modelcar.errors import WeightsError
from modelcar.hub.pickles import HEAD_BYTES, PICKLE_REMEDY, is_one, is_pickle
from modelcar.hub.safetensors_header import SUFFIX, PassingHeader
from modelcar.hub.snapshot import PublishedFile


class Hasher(Protocol):
    """The part of hashlib's objects that is used here."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Takes in more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


class FileCheck:
    """A file's bytes held against what was published, while they pass.

    Args:
        file: The file; its bytes are taken in from the beginning.
        allow_pickle: Whether it may begin as a pickle does.
    """

    def __init__(self, file: "PublishedFile", *, allow_pickle: bool) -> None:
        self._file = file
        self._allow_pickle = allow_pickle
        self._head = b""
        # Git's object id: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        self._hash: Hasher = (
            hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        )
        self._header = PassingHeader(file.size) if file.path.endswith(SUFFIX) else None

    def take(self, data: bytes) -> None:
        """Takes in the next bytes."""
        self._hash.update(data)
        self._head += data[: HEAD_BYTES - len(self._head)]
        if self._header is not None:
            self._header.take(data)

    @property
    def found(self) -> str:
        """The hash of the bytes so far, of the kind that was published."""
        return self._hash.hexdigest()

    def is_right(self) -> bool:
        """Tells whether all the bytes were the published ones.

        Raises:
            WeightsError: They were, but they are a pickle, or no safetensors file though they are called one.
        """
        if self._hash.hexdigest() != (self._file.sha256 or self._file.git_blob):
            return False
        if self._header is not None and self._header.problem:
            raise WeightsError(
                f"{self._file.path}, as its owner published it, {self._header.problem}",
                f"Nothing can load it: choose another revision, or --exclude {shlex.quote(self._file.path)}",
            )
        if not self._allow_pickle and is_pickle(self._head):
            raise WeightsError(is_one(self._file.path), PICKLE_REMEDY)
        return True


class RangeReader(Protocol):
    """Gives parts of a file's bytes."""

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Gives the bytes from one offset to before another, or to the end."""


class Reader(Protocol):
    """Gives a file's bytes."""

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Gives the bytes from an offset to the end."""


def matches(file: PublishedFile, reader: Reader, *, allow_pickle: bool = False) -> bool:
    """Tells whether a file's bytes are exactly the published ones.

    Args:
        file: What was published.
        reader: Gives the bytes.
        allow_pickle: Whether it may be a pickle.

    Raises:
        WeightsError: It has them, but is a broken safetensors file, or a pickle.
    """
    check = FileCheck(file, allow_pickle=allow_pickle)
    for chunk in reader.read():
        check.take(chunk)
    return check.is_right()
