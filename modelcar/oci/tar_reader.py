"""Reads a model's layer back, and takes nothing but the very bytes that modelcar.oci.tar_writer writes for its files.

Every header must be the writer's own, members must come in the writer's order, and each directory must be one that a
file behind it needs. So there can be no link, no device, no other mode or owner, no empty directory, no second member
of a name, and nothing hidden between files or behind them: a layer that is read to its end without an error is, to the
byte, the one that the writer makes of the files that were found. Memory does not grow with their number.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from modelcar.errors import WrongBytesError
from modelcar.oci.tar_writer import BLOCK, directory_header, file_header, tar_order

MAX_RECORDS_BYTES = 64 << 10
"""Size of a member's PAX records. A path has at most some thousand."""

MAX_SIZE_DIGITS = 18
_PATH = re.compile(rb"[0-9]{1,5} path=([^\n]*)\n")
_SIZE = re.compile(rb"[0-9]{1,5} size=([0-9]{1,%d})\n" % MAX_SIZE_DIGITS)


@dataclass(frozen=True)
class Member:
    """A file in a layer.

    Attributes:
        path: Where it is in the image, without a leading slash.
        size: Its size in bytes.
        data: Its bytes. They must be read before the next member is asked for.
    """

    path: str
    size: int
    data: Iterator[bytes]


def members(chunks: Iterator[bytes]) -> Iterator[Member]:
    """Yields the files of a layer, in its order.

    Args:
        chunks: The layer, uncompressed.

    Raises:
        WrongBytesError: It has something that a layer of this project cannot have.
    """
    stream, walk = _Stream(chunks), _Walk()
    while (block := stream.take(BLOCK)) != bytes(BLOCK):
        header, is_directory, path, size = _read_header(block, stream)
        wanted = directory_header(path) if is_directory else file_header(path, size)
        if header != wanted:
            raise WrongBytesError(f"{path} has another kind, mode, owner or time than a file of a model has")
        walk.enter(path, is_directory=is_directory)
        if is_directory:
            continue
        yield Member(path, size, stream.pieces(size))
        padding = -size % BLOCK
        if stream.take(padding) != bytes(padding):
            raise WrongBytesError(f"there are bytes behind {path}")
    walk.end()
    if stream.take(BLOCK) != bytes(BLOCK) or stream.rest():
        raise WrongBytesError("there are bytes behind the last file")


class _Walk:
    """The writer's walk through a tree of files, of which it knows the directories above the last member alone."""

    def __init__(self) -> None:
        self._last: list[bytes] = []
        self._above: list[str] = []
        self._empty = ""

    def enter(self, path: str, *, is_directory: bool) -> None:
        """Takes the next member.

        Raises:
            WrongBytesError: The writer would not write it here.
        """
        place = tar_order(path)
        if place == self._last:
            raise WrongBytesError(f"{path} is there twice")
        if place < self._last:
            raise WrongBytesError(f"{path} is not where it belongs in the order of the files, or is there twice")
        parent = path.rpartition("/")[0]
        if self._empty and parent != self._empty:
            raise WrongBytesError(f"there is a directory {self._empty}, and no file in it")
        while self._above and self._above[-1] != parent:
            self._above.pop()
        if parent and not self._above:
            raise WrongBytesError(f"{path} is in no directory of its layer")
        self._last, self._empty = place, path if is_directory else ""
        if is_directory:
            self._above.append(path)

    def end(self) -> None:
        """Ends the walk.

        Raises:
            WrongBytesError: The last member is a directory.
        """
        if self._empty:
            raise WrongBytesError(f"there is a directory {self._empty}, and no file in it")


def _read_header(block: bytes, stream: "_Stream") -> tuple[bytes, bool, str, int]:
    info = _parsed(block)
    if info.type != tarfile.XHDTYPE:
        return block, info.isdir(), info.name, info.size
    if info.size > MAX_RECORDS_BYTES:
        raise WrongBytesError(f"a header has {info.size} bytes")
    records = stream.take(info.size + -info.size % BLOCK)
    second = stream.take(BLOCK)
    info = _parsed(second)
    path, size = _PATH.search(records), _SIZE.search(records)
    name = path[1].decode(errors="replace").rstrip("/") if path else info.name
    return block + records + second, info.isdir(), name, int(size[1]) if size else info.size


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError as error:
        raise WrongBytesError(f"it is no tar file: {error}") from None
    if info.size < 0:
        raise WrongBytesError(f"it is no tar file: a member has {info.size} bytes")
    return info


class _Stream:
    """Chunks as one stream. Of a chunk of small members, views are taken: a copy of its rest for each would add up."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = memoryview(b"")

    def take(self, size: int) -> bytes:
        taken = b"".join(self._views(size))
        if len(taken) < size:
            raise WrongBytesError("it ends early")
        return taken

    def pieces(self, size: int) -> Iterator[bytes]:
        return (bytes(view) for view in self._views(size))

    def _views(self, size: int) -> Iterator[memoryview]:
        while size:
            data = self._held or memoryview(next(self._chunks, b""))
            if not data:
                return
            piece, self._held = data[:size], data[size:]
            size -= len(piece)
            yield piece

    def rest(self) -> bool:
        """Tells whether anything is left."""
        return bool(self._held or next(self._chunks, b""))
