"""The header of a GGUF file.

See https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only as much is read as was given: the keys that say what
a model is stand before its vocabulary, which is large.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAGIC = b"GGUF"
VERSIONS = (2, 3)
HEAD_BYTES = 64 << 10
"""Size of that beginning of a file which says what the model is."""

MAX_HEADER_BYTES = 256 << 20
MAX_ENTRIES = 1 << 20
_DEFAULT_ALIGNMENT = 32
_MAX_STRING = 64 << 20
_MAX_DIMENSIONS = 4

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_UINT16, _INT32, _UINT64 = 2, 5, 10

BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)},
    **{16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82)},
    **{23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2)},
    **{34: (256, 54), 35: (256, 66), 39: (32, 17)},
}
"""Elements and bytes of a block of each type of tensor (ggml.h, ggml-common.h)."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a GGUF file.

    Attributes:
        name: Its name.
        shape: Its dimensions, the innermost first.
        type: Its type, as ggml numbers them.
        offset: Where it begins, from the beginning of the data.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def size(self) -> int:
        """Its bytes.

        Raises:
            ValueError: Its type is unknown.
        """
        if self.type not in BLOCKS:
            raise ValueError(f"the tensor {self.name!r} has the type {self.type}, which is unknown")
        elements, block_bytes = BLOCKS[self.type]
        count = 1
        for dimension in self.shape:
            count *= dimension
        return -(-count // elements) * block_bytes


@dataclass(frozen=True)
class GgufHeader:
    """The beginning of a GGUF file, read.

    Attributes:
        metadata: Keys and values, as far as they were read.
        raw: The same, as bytes: keys with type and value as they are written.
        tensors: The tensors; empty where the header was not read to its end.
        data_start: Where the tensors' bytes begin; 0 where the header was not read to its end.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, bytes] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    data_start: int = 0

    @property
    def alignment(self) -> int:
        """Bytes at whose multiples tensors begin."""
        given = self.metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        return given if isinstance(given, int) and given > 0 and given % 8 == 0 else _DEFAULT_ALIGNMENT

    @property
    def architecture(self) -> str:
        """The model's family, as llama.cpp calls it; empty if it is not said."""
        found = self.metadata.get("general.architecture", "")
        return found if isinstance(found, str) else ""

    @property
    def context_length(self) -> int:
        """Tokens that the model was trained to see at once; 0 if it is not said."""
        found = self.metadata.get(f"{self.architecture}.context_length", 0)
        return found if isinstance(found, int) and not isinstance(found, bool) else 0

    @property
    def is_whole(self) -> bool:
        """Tells whether the header was read to its end."""
        return self.data_start > 0


class _ShortError(ValueError):
    """The bytes end before the header does."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or count > MAX_HEADER_BYTES:
            raise ValueError(f"something in it has {count} bytes")
        if self.at + count > len(self.data):
            raise _ShortError("it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, kind: int) -> Any:
        layout = _SCALARS.get(kind)
        if layout is None:
            raise ValueError(f"a value has the type {kind}, which is unknown")
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def count(self) -> int:
        return int(self.number(_UINT64))

    def text(self) -> str:
        length = self.count()
        if length > _MAX_STRING:
            raise ValueError(f"a text in it has {length} bytes")
        return self.take(length).decode(errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(kind)
        inner, count = int(self.number(4)), self.count()
        if depth > 1 or count > MAX_HEADER_BYTES:
            raise ValueError("an array in it has no sensible form")
        if inner in _SCALARS:
            # Long arrays of numbers (token types, scores) are passed over at once.
            self.take(count * struct.calcsize(_SCALARS[inner]))
            return count
        for _ in range(count):
            self.value(inner, depth + 1)
        return count


def read_gguf_header(data: bytes) -> GgufHeader:
    """Reads a header, as far as the bytes go. Of arrays only the length is kept.

    Args:
        data: The file's first bytes.

    Raises:
        ValueError: It is no GGUF file, or a broken one.
    """
    reader = _Reader(data)
    if data[:4] != MAGIC:
        raise ValueError("it does not begin as a GGUF file")
    metadata: dict[str, Any] = {}
    raw: dict[str, bytes] = {}
    try:
        reader.take(4)
        version = int(reader.number(4))
        if version not in VERSIONS:
            raise ValueError(f"it has version {version} of the format")
        tensor_count, entry_count = reader.count(), reader.count()
        if max(tensor_count, entry_count) > MAX_ENTRIES:
            raise ValueError(f"it names {tensor_count} tensors and {entry_count} keys")
        for _ in range(entry_count):
            start = reader.at
            key = reader.text()
            metadata[key] = reader.value(int(reader.number(4)))
            raw[key] = data[start : reader.at]
        tensors = tuple(_tensor(reader) for _ in range(tensor_count))
    except _ShortError:
        return GgufHeader(metadata, raw)
    header = GgufHeader(metadata, raw)
    start = -(-reader.at // header.alignment) * header.alignment
    return GgufHeader(metadata, raw, tensors, start)


def _tensor(reader: _Reader) -> Tensor:
    name = reader.text()
    dimensions = int(reader.number(4))
    if dimensions > _MAX_DIMENSIONS:
        raise ValueError(f"the tensor {name!r} has {dimensions} dimensions")
    shape = tuple(reader.count() for _ in range(dimensions))
    kind = int(reader.number(4))
    return Tensor(name, shape, kind, reader.count())
