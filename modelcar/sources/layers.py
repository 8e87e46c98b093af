"""Layers of images as they are in a registry: tar files that are read once, and of which any part can be read then.

The first reading lists and hashes what is in a layer, and holds the whole against its digest. Of one that is compressed
the decoder's state is kept every now and then, so that reading can begin near any place.
"""

import hashlib
import io
import tarfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, cast

from modelcar.errors import SourceError, WrongBytesError
from modelcar.oci import spec
from modelcar.oci.registry import Repository
from modelcar.progress import Count
from modelcar.retries import resume_reading

READ_BYTES = 1 << 20
KEPT_STATES = 256
"""States of a layer's decoder that are kept, some 45 KB each."""

MIN_BYTES_BETWEEN = 32 << 20
MAX_RATIO, MAX_RATIO_FROM = 1000, 1 << 30
"""Growth of a layer beyond which it is made to fill a disk: bytes unpacked for each of its own."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Entry:
    """Member of a layer.

    Attributes:
        path: Its path in the image.
        size: Its size in bytes.
        offset: Where its bytes begin in the unpacked layer.
        link: For a link, where it leads, as the tar says; else empty.
        is_symbolic: Whether it is a symbolic link.
        sha256: Of its bytes, if they were read; else empty.
    """

    path: str
    size: int
    offset: int
    link: str = ""
    is_symbolic: bool = False
    sha256: str = ""


class Layer:
    """A layer in a registry.

    Args:
        repository: Where it is.
        descriptor: Its digest and size.

    Attributes:
        entries: Its files, links and whiteouts, once it was examined.
    """

    def __init__(self, repository: Repository, descriptor: spec.Descriptor) -> None:
        self.entries: list[Entry] = []
        self._repository = repository
        self._digest, self._size = descriptor.digest, descriptor.size
        self._decoder: _Decoder | None = None

    def examine(self, is_wanted: Callable[[str], bool], count: Count) -> None:
        """Reads all of it, and lists what is in it.

        Args:
            is_wanted: Tells of a path whether its bytes may be wanted; those are hashed.
            count: Is told of the bytes that were read.

        Raises:
            SourceError: It is packed in a way that is not read here, or no tar file.
            WrongBytesError: The registry serves other bytes than its digest says.
        """
        start = b"".join(bounded(self._packed(0), len(_ZSTD)))
        if start.startswith(_ZSTD):
            raise SourceError(
                f"the layer {self._digest} is compressed with zstd, which is not read here",
                "Copy the image with another compression: skopeo copy --dest-compress-format gzip",
            )
        whole = spec.Hash(like=self._digest)

        def packed(offset: int) -> Iterator[bytes]:
            for chunk in self._packed(offset):
                whole.update(chunk)
                count(len(chunk))
                yield chunk

        chunks = packed(0)
        try:
            if start.startswith(_GZIP):
                self._decoder = _Decoder(self._packed, self._size)
                self._list(self._decoder.read_all(chunks), is_wanted)
            else:
                self._list(chunks, is_wanted)
        except (tarfile.TarError, zlib.error, EOFError) as error:
            raise SourceError(f"the layer {self._digest} is no whole tar file: {error}") from None
        for _ in chunks:
            pass
        if whole.digest != self._digest:
            raise WrongBytesError(f"the layer {self._digest} came back with other bytes", "The registry is damaged")

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Gives the bytes of the unpacked layer from an offset to before another.

        Raises:
            WrongBytesError: It ends before that.
        """
        chunks = self._decoder.read(start) if self._decoder is not None else self._packed(start)
        for chunk in bounded(chunks, end - start):
            start += len(chunk)
            yield chunk
        if start < end:
            raise WrongBytesError(f"the layer {self._digest} ends early", "The registry is damaged")

    def _packed(self, offset: int) -> Iterator[bytes]:
        return resume_reading(lambda at: self._repository.read_blob(self._digest, at), offset)

    def _list(self, unpacked: Iterator[bytes], is_wanted: Callable[[str], bool]) -> None:
        stream = cast(IO[bytes], _Stream(unpacked))
        with tarfile.open(fileobj=stream, mode="r|", bufsize=READ_BYTES) as tar:
            for member in tar:
                # What was listed is not needed again, and a layer may have any number of members.
                tar.members = []  # type: ignore[attr-defined]
                digest, path = "", in_image(member.name)
                if member.isreg() and is_wanted(path) and (opened := tar.extractfile(member)):
                    digest = hashlib.file_digest(cast(io.BytesIO, opened), "sha256").hexdigest()
                self._add(path, member, digest)
        # What is behind the end belongs to the layer, and to its digest.
        for _ in unpacked:
            pass

    def _add(self, path: str, member: tarfile.TarInfo, sha256: str) -> None:
        if member.issparse():
            raise SourceError(f"/{path} is a sparse file, whose bytes the layer does not hold", "Push it anew")
        if member.isreg():
            self.entries.append(Entry(path, member.size, member.offset_data, sha256=sha256))
        elif member.issym() or member.islnk():
            self.entries.append(Entry(path, 0, 0, member.linkname, member.issym()))


def in_image(name: str) -> str:
    """Returns a member's path as it is in the image, without a slash before or behind it."""
    return name.removeprefix("./").strip("/")


def bounded(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Gives the first bytes of a stream."""
    while count > 0 and (chunk := next(chunks, b"")):
        yield chunk[:count]
        count -= len(chunk)


class _Decoder:
    """A gzip stream that can be read from any offset, once it was read to its end.

    Args:
        packed: Gives the compressed bytes from an offset on.
        size: How many there are.
    """

    def __init__(self, packed: Callable[[int], Iterator[bytes]], size: int) -> None:
        self._packed = packed
        self._between = max(MIN_BYTES_BETWEEN, 4 * size // KEPT_STATES)
        self._offsets: list[int] = [0]
        self._states: list[tuple[int, zlib._Decompress]] = [(0, zlib.decompressobj(wbits=31))]

    def read_all(self, packed: Iterator[bytes]) -> Iterator[bytes]:
        """Gives all of the unpacked bytes, and keeps the decoder's state on the way."""
        return self._unpack(0, packed, keep=True)

    def read(self, offset: int) -> Iterator[bytes]:
        """Gives the unpacked bytes from an offset on."""
        nearest = bisect_right(self._offsets, offset) - 1
        skipped = offset - self._offsets[nearest]
        for chunk in self._unpack(nearest, self._packed(self._states[nearest][0]), keep=False):
            if len(chunk) > skipped:
                yield chunk[skipped:]
            skipped -= min(skipped, len(chunk))

    def _unpack(self, number: int, chunks: Iterator[bytes], *, keep: bool) -> Iterator[bytes]:
        unpacked, (packed, kept) = self._offsets[number], self._states[number]
        decoder = kept.copy()
        for chunk in chunks:
            data = chunk
            while data:
                piece = decoder.decompress(data, READ_BYTES)
                unpacked += len(piece)
                if piece:
                    yield piece
                data = decoder.unconsumed_tail
                if decoder.eof:
                    # gzip files may follow one another.
                    data, decoder = decoder.unused_data.lstrip(b"\0"), zlib.decompressobj(wbits=31)
            packed += len(chunk)
            if unpacked > MAX_RATIO_FROM and unpacked > MAX_RATIO * packed:
                raise SourceError(f"a layer unpacks to more than {MAX_RATIO} times its size")
            if keep and unpacked - self._offsets[-1] >= self._between:
                self._offsets.append(unpacked)
                self._states.append((packed, decoder.copy()))


class _Stream:
    """An iterator of bytes as tarfile's stream mode reads it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""

    def read(self, size: int) -> bytes:
        """Returns so many bytes, fewer only at the end."""
        taken: list[bytes] = []
        while size and (data := self._held or next(self._chunks, b"")):
            taken.append(data[:size])
            self._held = data[size:]
            size -= len(taken[-1])
        return b"".join(taken)
