"""Reads a model's layer back, and takes nothing but the very bytes that modelcar.oci.tar_writer writes for its files.

So there can be no link, no device, no other mode or owner, and nothing hidden between files.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from modelcar.errors import WrongBytesError
from modelcar.oci.tar_writer import BLOCK, directory_header, file_header

_LARGEST_RECORDS = 64 << 10
"""Bytes. A path has at most some thousand."""

_PATH = re.compile(rb"[0-9]+ path=([^\n]*)\n")
_SIZE = re.compile(rb"[0-9]+ size=([0-9]+)\n")


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
    """The files of a layer, in its order.

    Args:
        chunks: The layer, uncompressed.

    Raises:
        WrongBytesError: It has something that a layer of this project cannot have.
    """
    stream = _Stream(chunks)
    while (block := stream.take(BLOCK)) != bytes(BLOCK):
        header, info, path, size = _read_header(block, stream)
        wanted = directory_header(path) if info.isdir() else file_header(path, size)
        if header != wanted:
            raise WrongBytesError(f"{path} has another kind, mode, owner or time than a file of a model has")
        if info.isdir():
            continue
        yield Member(path, size, stream.pieces(size))
        padding = -size % BLOCK
        if stream.take(padding) != bytes(padding):
            raise WrongBytesError(f"there are bytes behind {path}")
    if stream.take(BLOCK) != bytes(BLOCK) or stream.rest():
        raise WrongBytesError("there are bytes behind the last file")


def _read_header(block: bytes, stream: "_Stream") -> tuple[bytes, tarfile.TarInfo, str, int]:
    info = _parsed(block)
    if info.type != tarfile.XHDTYPE:
        return block, info, info.name, info.size
    if info.size > _LARGEST_RECORDS:
        raise WrongBytesError(f"a header has {info.size} bytes")
    records = stream.take(info.size + -info.size % BLOCK)
    second = stream.take(BLOCK)
    info = _parsed(second)
    path, size = _PATH.search(records), _SIZE.search(records)
    name = path[1].decode(errors="replace").rstrip("/") if path else info.name
    return block + records + second, info, name, int(size[1]) if size else info.size


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError as error:
        raise WrongBytesError(f"it is no tar file: {error}") from None


class _Stream:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""

    def take(self, size: int) -> bytes:
        taken = b"".join(self.pieces(size))
        if len(taken) < size:
            raise WrongBytesError("it ends early")
        return taken

    def pieces(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._held or next(self._chunks, b"")
            if not data:
                return
            piece, self._held = data[:size], data[size:]
            size -= len(piece)
            yield piece

    def rest(self) -> bytes:
        return self._held or next(self._chunks, b"")
