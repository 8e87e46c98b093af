"""Files of tensors that can be cut between two tensors: safetensors and GGUF.

In both the tensors' bytes follow a header, one after the other. So a part of such a file is a header of its own and one
unbroken range of the file's bytes, in which no byte is changed.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from modelcar.hub.file_check import RangeReader
from modelcar.hub.gguf_header import MAGIC, MAX_HEADER_BYTES, GgufHeader, Tensor, read_gguf_header
from modelcar.hub.safetensors_header import LENGTH_BYTES, PassingHeader

_METADATA = "__metadata__"
_FIRST_READ = 1 << 20
_GGUF_UINT16, _GGUF_INT32 = 2, 5


@dataclass(frozen=True)
class Span:
    """Place of a tensor in a file.

    Attributes:
        name: The tensor's name.
        start: Its first byte, from the beginning of the file.
        end: The byte after its last one, with what is between it and the next.
    """

    name: str
    start: int
    end: int


class TensorFile(Protocol):
    """A file of tensors, of which the header was read.

    Attributes:
        head: The bytes before the first tensor.
        spans: Its tensors, in the order of their bytes, with nothing between them.
    """

    head: bytes
    spans: tuple[Span, ...]

    def header(self, spans: Sequence[Span], number: int, count: int) -> bytes:
        """Writes the header of a part.

        Args:
            spans: The part's tensors, which follow each other in the file.
            number: Which part it is; the first is 0.
            count: How many parts there are.
        """


class Safetensors:
    """A safetensors file, https://github.com/huggingface/safetensors.

    Args:
        head: Its header, with the length before it.
        size: Bytes of the file.

    Raises:
        ValueError: It is no such file, or a broken one.
    """

    def __init__(self, head: bytes, size: int) -> None:
        check = PassingHeader(size)
        check.take(head)
        if check.problem:
            raise ValueError(f"it {check.problem}")
        self.head = head
        self._entries = json.loads(head[LENGTH_BYTES:])
        self._metadata = self._entries.pop(_METADATA, None)
        spans = []
        for name, entry in self._entries.items():
            start, end = entry["data_offsets"]
            spans.append(Span(name, len(head) + start, len(head) + end))
        self.spans = tuple(sorted(spans, key=lambda span: (span.start, span.end, span.name)))

    @classmethod
    def read(cls, reader: RangeReader, size: int) -> "Safetensors":
        """Reads the header of a file."""
        length = int.from_bytes(_part(reader, 0, min(LENGTH_BYTES, size)), "little")
        return cls(_part(reader, 0, min(LENGTH_BYTES + min(length, MAX_HEADER_BYTES), size)), size)

    def header(self, spans: Sequence[Span], number: int, count: int) -> bytes:
        """Writes the header of a part: its tensors, and what the file says of itself."""
        written = {} if self._metadata is None else {_METADATA: self._metadata}
        first = spans[0].start
        for span in spans:
            written[span.name] = {
                **self._entries[span.name],
                "data_offsets": [span.start - first, span.end - first],
            }
        text = json.dumps(written, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(LENGTH_BYTES, "little") + text


class Gguf:
    """A GGUF file, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

    The parts are those that llama-gguf-split writes: the first has all that the file says of itself.

    Args:
        header: Its header, read to its end.
        head: The same as bytes.
        size: Bytes of the file.

    Raises:
        ValueError: It is a part of a set already, or its tensors do not follow each other.
    """

    def __init__(self, header: GgufHeader, head: bytes, size: int) -> None:
        if header.metadata.get("split.count", 0) not in (0, 1):
            raise ValueError("it is one of several parts already: join them (llama-gguf-split --merge)")
        if len(header.raw) != struct.unpack("<Q", head[16:24])[0]:
            raise ValueError("a key stands twice in its header")
        starts = [header.data_start + tensor.offset for tensor in header.tensors]
        if not starts or starts[0] != header.data_start or starts != sorted(set(starts)) or starts[-1] > size:
            raise ValueError("its tensors do not follow each other")
        if any(tensor.offset % header.alignment for tensor in header.tensors):
            raise ValueError(f"its tensors do not begin at multiples of {header.alignment} bytes")
        self.head = head
        self._header = header
        self._tensors = dict(zip(starts, header.tensors, strict=True))
        ends = [*starts[1:], size]
        names = [tensor.name for tensor in header.tensors]
        self.spans = tuple(Span(*one) for one in zip(names, starts, ends, strict=True))
        if len(set(names)) != len(names):
            raise ValueError("a tensor stands twice in its header")

    @classmethod
    def read(cls, reader: RangeReader, size: int) -> "Gguf":
        """Reads the header of a file, however long it is."""
        wanted = _FIRST_READ
        while True:
            data = _part(reader, 0, min(wanted, size))
            header = read_gguf_header(data)
            if header.is_whole and header.data_start <= size:
                head = data[: header.data_start]
                return cls(header, head + _part(reader, len(head), header.data_start), size)
            if wanted >= min(size, MAX_HEADER_BYTES):
                raise ValueError("its header does not end")
            wanted *= 4

    def header(self, spans: Sequence[Span], number: int, count: int) -> bytes:
        """Writes the header of a part, padded so that its tensors begin where GGUF wants it."""
        raw = {key: value for key, value in self._header.raw.items() if not key.startswith("split.")}
        if number:
            raw = {key: value for key, value in raw.items() if key == "general.alignment"}
        raw["split.no"] = _entry("split.no", _GGUF_UINT16, struct.pack("<H", number))
        raw["split.count"] = _entry("split.count", _GGUF_UINT16, struct.pack("<H", count))
        total = struct.pack("<i", len(self.spans))
        raw["split.tensors.count"] = _entry("split.tensors.count", _GGUF_INT32, total)
        described = b"".join(_described(self._tensors[span.start], span.start - spans[0].start) for span in spans)
        counts = struct.pack("<QQ", len(spans), len(raw))
        written = MAGIC + self.head[4:8] + counts + b"".join(raw.values()) + described
        return written + bytes(-len(written) % self._header.alignment)


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _described(tensor: Tensor, offset: int) -> bytes:
    shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
    return _text(tensor.name) + shape + struct.pack("<IQ", tensor.type, offset)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _part(reader: RangeReader, start: int, end: int) -> bytes:
    return b"".join(reader.read(start, end)) if start < end else b""
