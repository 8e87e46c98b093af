"""Layers of files as a deterministic, uncompressed tar stream: the same files give the same bytes, everywhere.

The bytes are those that buildah writes for the same tree with `--timestamp 0` (Go's archive/tar asked for PAX: a USTAR
header where the name and size fit one, PAX records before it where not). So the digest of a layer is known before
buildah has written it, buildah's own can be held against it, and a layer is the same whoever built it.
"""

import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import Protocol

from modelcar.errors import WrongBytesError

BLOCK = 512
READ_BYTES = 1 << 20
DIRECTORY_MODE = 0o775
FILE_MODE = 0o664
"""Group 0 may do what the owner may, and anyone may read: OpenShift runs containers as a random UID in group 0."""

MAX_USTAR_SIZE = 8**11 - 1
_NAME, _PREFIX = 100, 155


def tar_order(path: str) -> list[bytes]:
    """Returns what members of a layer are sorted by: depth first, each directory's names in the order of their bytes.

    It is not the order of the paths as texts: there `a-b.json` comes before `a/x.json`, and in a tar of a directory
    tree behind it.
    """
    return [part.encode() for part in path.split("/")]


class Reader(Protocol):
    """Source of a file's bytes."""

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Gives the bytes from an offset to the end, in chunks of at most about 1 MiB."""


@dataclass(frozen=True)
class Entry:
    """A file in a layer.

    Attributes:
        path: Where it is in the image, without a leading slash.
        source: Where its bytes come from.
        size: Its size in bytes.
    """

    path: str
    source: Reader
    size: int


@dataclass(frozen=True)
class Piece:
    """A piece of a layer's stream.

    Attributes:
        position: Where in the stream it begins.
        data: The bytes.
        entry: The file whose bytes they are; None for headers and padding.
    """

    position: int
    data: bytes
    entry: Entry | None


@dataclass(frozen=True)
class _Segment:
    """A header, a file or its padding."""

    size: int
    read: Callable[[int], Iterable[bytes]]
    entry: Entry | None = None

    def wrong_size(self, found: str) -> WrongBytesError:
        source = self.entry.source if self.entry else "a header"
        return WrongBytesError(f"{source} has {found} bytes", "Run the pipeline again")


@dataclass(frozen=True)
class Layer:
    """The files of one layer, as one tar stream."""

    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """The file's path, or how many files there are."""
        return self.entries[0].path if len(self.entries) == 1 else f"{len(self.entries)} small files"

    @cached_property
    def size(self) -> int:
        """Bytes in the stream."""
        return sum(segment.size for segment in self._segments())

    def chunks(self) -> Iterator[bytes]:
        """The stream, in chunks of at most about 1 MiB."""
        return (piece.data for piece in self.pieces())

    def pieces(self, start: int = 0) -> Iterator[Piece]:
        """The stream from a position to the end, and whose bytes they are.

        Raises:
            WrongBytesError: A file's size is not what the entry says.
        """
        position = 0
        for segment in self._segments():
            end = position + segment.size
            if end > start:
                at = max(position, start)
                for data in segment.read(at - position):
                    if at + len(data) > end:
                        raise segment.wrong_size(f"more than {segment.size}")
                    yield Piece(at, data, segment.entry)
                    at += len(data)
                if at < end:
                    raise segment.wrong_size(f"{at - position}, not {segment.size}")
            position = end

    def _segments(self) -> Iterator[_Segment]:
        for member in self._walk():
            if isinstance(member, str):
                yield _constant(directory_header(member))
                continue
            yield _constant(file_header(member.path, member.size))
            yield _Segment(member.size, member.source.read, member)
            yield _constant(bytes(_padded(member.size) - member.size))
        yield _constant(bytes(2 * BLOCK))

    def _walk(self) -> Iterator[str | Entry]:
        """Directories and files, depth first, each directory's names in the order of their bytes."""
        parents = {str(parent) for entry in self.entries for parent in PurePosixPath(entry.path).parents}
        members: dict[str, str | Entry] = {path: path for path in parents - {"."}}
        members.update({entry.path: entry for entry in self.entries})
        for path in sorted(members, key=tar_order):
            yield members[path]


def _constant(content: bytes) -> _Segment:
    return _Segment(len(content), lambda offset: (content[offset:],) if content else ())


@lru_cache(maxsize=1024)
def directory_header(path: str) -> bytes:
    """The tar header of a directory."""
    return _header(f"{path}/", 0, stat.S_IFDIR | DIRECTORY_MODE, b"5")


def file_header(path: str, size: int) -> bytes:
    """The tar header, or headers, of a file."""
    return _header(path, size, stat.S_IFREG | FILE_MODE, b"0")


def _header(name: str, size: int, mode: int, kind: bytes) -> bytes:
    records = dict(_pax_records(name, size))
    split = _split(name)
    if not records or (list(records) == ["path"] and split):
        prefix, rest = split or ("", name)
        return _block(rest.encode(), size, mode, kind, prefix.encode())
    parent, _, file = name.rpartition("/")
    extended = b"".join(_pax_record(key, value) for key, value in sorted(records.items()))
    label = "/".join(filter(None, (parent, "PaxHeaders.0", file)))
    return (
        _block(_ascii(label)[:_NAME].rstrip(b"/"), len(extended), 0, b"x")
        + _pad(extended)
        + _block(_ascii(name)[:_NAME], size if size <= MAX_USTAR_SIZE else 0, mode, kind)
    )


def _pax_records(name: str, size: int) -> Iterable[tuple[str, str]]:
    if not name.isascii() or len(name) > _NAME:
        yield "path", name
    if size > MAX_USTAR_SIZE:
        yield "size", str(size)


def _split(name: str) -> tuple[str, str] | None:
    """A long name as USTAR keeps it, prefix and rest, where it can be parted at a slash."""
    if len(name) <= _NAME or not name.isascii():
        return None
    cut = name[: min(len(name.rstrip("/")), _PREFIX + 1)].rfind("/")
    rest = name[cut + 1 :]
    return (name[:cut], rest) if 0 < cut <= _PREFIX and 0 < len(rest) <= _NAME else None


def _pax_record(key: str, value: str) -> bytes:
    """A PAX record: its own length in decimal, which counts itself, then `key=value`."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _ascii(text: str) -> bytes:
    return bytes(byte for byte in text.encode() if 0 < byte < 0x80)


def _block(name: bytes, size: int, mode: int, kind: bytes, prefix: bytes = b"") -> bytes:
    fields = (
        name.ljust(_NAME, b"\0")
        + b"%07o\0" % mode
        + b"0000000\0" * 2
        + b"%011o\0" % size
        + b"00000000000\0"
        + b" " * 8
        + kind
        + bytes(100)
        + b"ustar\00000"
        + bytes(64)
        + (bytes(16) if kind == b"x" else b"0000000\0" * 2)
        + prefix.ljust(_PREFIX, b"\0")
        + bytes(12)
    )
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def _pad(content: bytes) -> bytes:
    return content.ljust(_padded(len(content)), b"\0")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
