"""Large files of tensors, cut into files that fit into a layer: tensor by tensor, with a right index.

Of each such file the parts are known from its header alone, so the image that they make is known before any tensor is
read. What is in them is proved before it is sent: the published file is read once from end to end, and only if its hash
is the published one do the hashes count that the same pass gives of each part and of each tensor.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modelcar.errors import BuildError, WrongBytesError
from modelcar.hub.file_check import Hasher, RangeReader, matches
from modelcar.hub.formats import is_index
from modelcar.hub.moved_files import renamed
from modelcar.hub.snapshot import Origin, PublishedFile, Snapshot
from modelcar.hub.tensor_files import Gguf, Safetensors, Span, TensorFile
from modelcar.hub.variants import parse_stem
from modelcar.progress import Progress

RESERVED_BYTES = 64 << 10
"""Bytes of a layer that are kept for what an archive adds to a file."""

_ADDED_BYTES = 4096
"""Bytes that a part's header may have more than the file's: a GGUF's three keys, and padding."""

_READ: dict[str, Callable[[RangeReader, int], TensorFile]] = {".safetensors": Safetensors.read, ".gguf": Gguf.read}
_RAISE = "Raise max_layer_size if your registry takes more (Quay: MAXIMUM_LAYER_SIZE)"

ReaderOf = Callable[[PublishedFile], RangeReader]
Json = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """A part of a published file, a file of its own.

    Attributes:
        path: Its path in the repository, if it were there.
        header: The bytes before its tensors.
        spans: Its tensors, in the published file.
    """

    path: str
    header: bytes
    spans: tuple[Span, ...]

    @property
    def start(self) -> int:
        """Its first byte in the published file."""
        return self.spans[0].start

    @property
    def end(self) -> int:
        """The byte after its last one in the published file."""
        return self.spans[-1].end

    @property
    def size(self) -> int:
        """Bytes of the part, with its header."""
        return len(self.header) + self.end - self.start


@dataclass(frozen=True)
class Split:
    """A published file and the parts that it is cut into.

    Attributes:
        file: The file.
        head: Its bytes before the first tensor.
        shards: The parts, in the order of their bytes.
    """

    file: PublishedFile
    head: bytes
    shards: tuple[Shard, ...]

    def files(self) -> list[PublishedFile]:
        """Returns the parts as files, of which no hash is known yet."""
        return [self._file(shard) for shard in self.shards]

    def prove(self, reader: RangeReader, count: Callable[[int], None]) -> list[PublishedFile]:
        """Reads the published file once, and returns the parts with the hashes of their bytes and of their tensors.

        Args:
            reader: Gives the published file's bytes.
            count: Is told how many bytes were read.

        Raises:
            WrongBytesError: They are not what was published.
        """
        whole, head = hashlib.sha256(), hashlib.sha256()
        parts = [hashlib.sha256(shard.header) for shard in self.shards]
        tensors = [[hashlib.sha256() for _ in shard.spans] for shard in self.shards]
        sections: list[tuple[int, tuple[Hasher, ...]]] = [(len(self.head), (whole, head))]
        for shard, part, own in zip(self.shards, parts, tensors, strict=True):
            sections += [(span.end, (whole, part, tensor)) for span, tensor in zip(shard.spans, own, strict=True)]
        _hash_sections(reader.read(), sections, count)
        if whole.hexdigest() != self.file.sha256 or head.digest() != hashlib.sha256(self.head).digest():
            raise WrongBytesError(
                f"{self.file.path} is not what the Hub published ({self.file.identity})", "Run the pipeline again"
            )
        return [
            self._file(
                shard, part.hexdigest(), [(s.name, t.hexdigest()) for s, t in zip(shard.spans, own, strict=True)]
            )
            for shard, part, own in zip(self.shards, parts, tensors, strict=True)
        ]

    def _file(self, shard: Shard, sha256: str = "", tensors: Sequence[tuple[str, str]] = ()) -> PublishedFile:
        part = f"{hashlib.sha256(shard.header).hexdigest()}+{shard.start}-{shard.end}"
        origin = Origin(path=self.file.path, identity=self.file.identity, part=part, tensors=tuple(tensors))
        folder = self.file.folder
        return PublishedFile(path=shard.path, size=shard.size, sha256=sha256, folder=folder, origin=origin)


class Resharded:
    """A commit's files, of which those that no layer holds are cut. Safe to use from several threads.

    Args:
        splits: The files that are cut.
        indexes: Indexes of weights by their paths, as published, read.
        reader_of: Gives readers of published files.
        limit: The largest layer, in bytes.
        problems: Why others cannot be cut.
    """

    def __init__(
        self,
        splits: Sequence[Split],
        indexes: Mapping[str, Json],
        reader_of: ReaderOf,
        limit: int,
        problems: Sequence[BuildError] = (),
    ) -> None:
        self.splits = tuple(splits)
        self.problems = tuple(problems)
        self._indexes = indexes
        self._reader_of = reader_of
        self._limit = limit
        self._made: dict[str, bytes] = {}
        self._proved: dict[str, PublishedFile] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises the first of the problems, if there are any."""
        for problem in self.problems:
            raise problem

    def apply(self, snapshot: Snapshot) -> Snapshot:
        """Returns a snapshot with the parts, and an index of them, in the place of the files that are cut."""
        cut = {split.file.path: split for split in self.splits if split.file in snapshot.files}
        if not cut:
            return snapshot
        made = [file for split in cut.values() for file in self.proved(split)]
        indexes = list(self._new_indexes(snapshot, cut))
        gone = {*cut, *(file.path for file in (*made, *indexes))}
        files = [file for file in snapshot.files if file.path not in gone]
        names = {split.file.place: split.files()[0].place for split in cut.values()}
        serving = renamed(snapshot.serving, names) if snapshot.serving else None
        files = sorted([*files, *made, *indexes], key=lambda file: file.path)
        return snapshot.model_copy(update={"files": tuple(files), "serving": serving, "max_shard_layer": self._limit})

    def sources(self, files: Iterable[PublishedFile], whole: Snapshot) -> tuple[PublishedFile, ...]:
        """Returns the published files that files, some of them made here, stand for."""
        published = {file.path: file for file in whole.files}
        paths = {file.origin.path if file.origin else file.path for file in files}
        return tuple(published[path] for path in sorted(paths) if path in published)

    def reader(self, file: PublishedFile) -> RangeReader:
        """Returns a reader of a file, be it published or made here."""
        for split in self.splits:
            for shard in split.shards:
                if shard.path == file.path and file.origin:
                    return _OfShard(shard, self._reader_of(split.file))
        return _Constant(self._made[file.path]) if file.origin else self._reader_of(file)

    def prove(self, snapshot: Snapshot) -> Snapshot:
        """Returns a snapshot that `apply` made with the hashes of all parts: each file that is cut is read once.

        Raises:
            WrongBytesError: A file is not what the Hub published.
        """
        wanted = {file.path for file in snapshot.files if file.origin and not file.sha256}
        with self._lock:
            self._prove([one for one in self.splits if one.shards[0].path in wanted - self._proved.keys()])
        files = tuple(self._proved.get(file.path, file) if file.origin else file for file in snapshot.files)
        return snapshot.model_copy(update={"files": files})

    def proved(self, split: Split) -> list[PublishedFile]:
        """Returns the parts of a file, with their hashes as far as they are known."""
        return [self._proved.get(file.path, file) for file in split.files()]

    def take(self, proved: Iterable[PublishedFile]) -> None:
        """Takes over parts that were proved from other bytes than those of the readers."""
        self._proved.update({file.path: file for file in proved})

    def _prove(self, splits: Sequence[Split]) -> None:
        if not splits:
            return
        with Progress("check", sum(split.file.size for split in splits)) as progress:
            for split in splits:
                self.take(split.prove(self._reader_of(split.file), progress.advance))

    def _new_indexes(self, snapshot: Snapshot, cut: Mapping[str, Split]) -> Iterator[PublishedFile]:
        """Yields the indexes that name the parts: those that named the files before, changed, or new ones."""
        left = {path: split for path, split in cut.items() if path.endswith(".safetensors")}
        for file in snapshot.files:
            document = self._indexes.get(file.path, {})
            folder = PurePosixPath(file.path).parent
            names = {name: str(folder / name) for name in document.get("weight_map", {}).values()}
            mine = {path: left.pop(path) for path in names.values() if path in left}
            if mine:
                kept = {key: name for key, name in document["weight_map"].items() if names[name] not in mine}
                yield self._index(file, {**document, "weight_map": {**kept, **_weight_map(mine.values())}})
        for path, split in left.items():
            size = split.file.size - len(split.head)
            document = {"metadata": {"total_size": size}, "weight_map": _weight_map([split])}
            yield self._index(split.file, document, _index_path(path))

    def _index(self, source: PublishedFile, document: Json, path: str = "") -> PublishedFile:
        content = json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"
        path = path or source.path
        self._made[path] = content
        digest = hashlib.sha256(content).hexdigest()
        origin = Origin(path=source.path, identity=source.identity, part=digest)
        return PublishedFile(path=path, size=len(content), sha256=digest, folder=source.folder, origin=origin)


def reshard(snapshot: Snapshot, reader_of: ReaderOf, limit: int) -> Resharded:
    """Cuts a commit's files of tensors that no layer holds.

    Args:
        snapshot: The commit's files.
        reader_of: Gives readers of their bytes; only headers and indexes are read.
        limit: The largest layer, in bytes.
    """
    large = [file for file in snapshot.files if _is_large(file, limit)]
    indexes = {}
    if large:
        listed = [file for file in snapshot.files if is_index(file.path) and not _is_large(file, limit)]
        indexes = dict(_read_indexes(snapshot, listed, reader_of))
    splits, problems = [], []
    for file in large:
        try:
            splits.append(_split(file, reader_of(file), indexes, limit))
        except ValueError as error:
            problems.append(BuildError(f"{file.path} cannot be cut into smaller files: {error}", _RAISE))
    there = {file.path for file in snapshot.files}
    for path in sorted(shard.path for split in splits for shard in split.shards if shard.path in there):
        problems.append(
            BuildError(f"{path}, a part of a larger file, would replace a file of that name", "Leave one out")
        )
    return Resharded(splits, indexes, reader_of, limit, problems)


def _is_large(file: PublishedFile, limit: int) -> bool:
    return PurePosixPath(file.path).suffix in _READ and bool(file.sha256) and file.size + RESERVED_BYTES > limit


def _read_indexes(
    snapshot: Snapshot, files: Iterable[PublishedFile], reader_of: ReaderOf
) -> Iterator[tuple[str, Json]]:
    for file in files:
        content = b"".join(reader_of(file).read(0, file.size))
        if not matches(file, _Constant(content), allow_pickle=True):
            raise WrongBytesError(f"{snapshot.model}/{file.path} is not what the Hub published ({file.identity})")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            continue
        names = document.get("weight_map") if isinstance(document, dict) else None
        if isinstance(names, dict) and all(isinstance(name, str) and name for name in names.values()):
            yield file.path, document


def _split(file: PublishedFile, reader: RangeReader, indexes: Mapping[str, Json], limit: int) -> Split:
    pure = PurePosixPath(file.path)
    name = parse_stem(pure.stem, gguf=pure.suffix == ".gguf")
    if name.count and not any(pure.name in document["weight_map"].values() for document in indexes.values()):
        raise ValueError("it is one of several parts, and no index names them")
    tensors = _READ[pure.suffix](reader, file.size)
    room = limit - RESERVED_BYTES - len(tensors.head) - _ADDED_BYTES
    parts = list(_cut(tensors.spans, room))
    shards = tuple(
        Shard(
            f"{file.path.removesuffix(pure.suffix)}-{number + 1:05d}-of-{len(parts):05d}{pure.suffix}",
            tensors.header(spans, number, len(parts)),
            spans,
        )
        for number, spans in enumerate(parts)
    )
    return Split(file, tensors.head, shards)


def _cut(spans: Sequence[Span], room: int) -> Iterator[tuple[Span, ...]]:
    if not spans:
        raise ValueError("it has no tensors")
    part: list[Span] = []
    for span in spans:
        if span.end - span.start > room:
            raise ValueError(f"its tensor {span.name} alone has {span.end - span.start} bytes")
        if part and span.end - part[0].start > room:
            yield tuple(part)
            part = []
        part.append(span)
    yield tuple(part)


def _weight_map(splits: Iterable[Split]) -> dict[str, str]:
    return {
        span.name: PurePosixPath(shard.path).name for split in splits for shard in split.shards for span in shard.spans
    }


def _index_path(path: str) -> str:
    """Returns where loaders look for the index: `model.safetensors.index.json`, `model.safetensors.index.fp16.json`."""
    pure = PurePosixPath(path)
    stem, _, variant = pure.stem.partition(".")
    name = f"{stem}{pure.suffix}.index.{variant}.json" if variant else f"{stem}{pure.suffix}.index.json"
    return str(pure.with_name(name))


def _hash_sections(
    chunks: Iterable[bytes], sections: Sequence[tuple[int, tuple[Hasher, ...]]], count: Callable[[int], None]
) -> None:
    """Hashes sections of a file, each with hashes of its own.

    Args:
        chunks: The file's bytes.
        sections: Where each section ends, and its hashes; the first begins with the file. What follows the last one
            goes to its hashes as well.
        count: Is told how many bytes were read.
    """
    at, place = 0, 0
    for data in chunks:
        left = memoryview(data)
        while left:
            while at >= sections[place][0] and place < len(sections) - 1:
                place += 1
            end, hashes = sections[place]
            piece = left[: end - at] if at < end else left
            for one in hashes:
                one.update(piece)
            at += len(piece)
            left = left[len(piece) :]
        count(len(data))


@dataclass(frozen=True)
class _Constant:
    content: bytes

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        yield self.content[start:end]


@dataclass(frozen=True)
class _OfShard:
    """A part's bytes: its header, then a range of the published file."""

    shard: Shard
    published: RangeReader

    def __str__(self) -> str:
        return self.shard.path

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        last = self.shard.size if end is None else min(end, self.shard.size)
        head = len(self.shard.header)
        if start < min(head, last):
            yield self.shard.header[start:last]
        first = max(start - head, 0) + self.shard.start
        if head < last:
            yield from self.published.read(first, last - head + self.shard.start)
