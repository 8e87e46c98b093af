"""The header of a safetensors file, checked while the file's bytes pass: they are read once, and no tensor is.

What passes here the `safetensors` library loads (https://github.com/huggingface/safetensors). It is stricter than the
library where one header could be read in two ways: names that stand twice, and fields that the format does not have.
Entries are read one by one, so that a hostile header takes little more memory than its own length.
"""

import json
import math
import re
import threading
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]

SUFFIX = ".safetensors"
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 16 << 20
"""Bytes. The library takes 100 MB; were all 94,000 tensors of DeepSeek-V3 in one file, they would need 11 MB."""

BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64},
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64},
    **dict.fromkeys(("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
}
"""Size of an element of each type that the library (0.8) knows."""

_METADATA = "__metadata__"
_FIELDS = {"dtype", "shape", "data_offsets"}
_MAX_NUMBER = 2**64 - 1
_MAX_ENTRY_CHARS = 4096
"""Characters that describe a tensor; its name is not among them."""

_SHOWN = 60
_SPACES = re.compile(r"[ \t\n\r]*")
_one_at_a_time = threading.Lock()


class PassingHeader:
    """Takes in a file's bytes from the beginning, and keeps those of the header until all of it is there.

    Args:
        size: The file's size in bytes.

    Attributes:
        problem: What is wrong with it, as the end of the sentence "the file …"; empty while nothing is.
    """

    def __init__(self, size: int) -> None:
        self.problem = "" if size >= LENGTH_BYTES else f"has {size} bytes, which is no header"
        self._size = size
        self._kept = bytearray()
        self._awaited = LENGTH_BYTES
        self._length = 0

    def take(self, data: bytes) -> None:
        """Takes in the next bytes of the file."""
        while data and self._awaited and not self.problem:
            part, data = data[: self._awaited], data[self._awaited :]
            self._kept += part
            self._awaited -= len(part)
            if not self._awaited:
                kept, self._kept = bytes(self._kept), bytearray()
                if self._length:
                    self._read(kept)
                else:
                    self._await_header(int.from_bytes(kept, "little"))

    def _await_header(self, length: int) -> None:
        if not 0 < length <= min(self._size - LENGTH_BYTES, MAX_HEADER_BYTES):
            self.problem = f"says that its header has {length} bytes"
        self._length = self._awaited = length

    def _read(self, header: bytes) -> None:
        try:
            # Several files may be under way at once, and a header that is read takes more room than its bytes.
            with _one_at_a_time:
                _check(_Text(header.decode()), self._size - LENGTH_BYTES - self._length)
        except UnicodeError:
            self.problem = "has a header that is no UTF-8"
        except ValueError as error:
            self.problem = f"has a broken header: {error}"


class _Text:
    """JSON, read from the beginning to the end.

    Args:
        text: The JSON.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def members(self) -> Iterator[str]:
        """The names of an object's members; whoever gets one reads its value before the next."""
        seen = set()
        self.symbol("{")
        if self.symbol('"}') == "}":
            return
        while True:
            name = self._string()
            if name in seen:
                raise ValueError(f"{_shown(name)} is there twice")
            seen.add(name)
            self.symbol(":")
            yield name
            if self.symbol(",}") == "}":
                return
            self.symbol('"')

    def symbol(self, allowed: str) -> str:
        """The next character but for spaces."""
        self._pass_over_spaces()
        found = self._text[self._at : self._at + 1]
        if not found or found not in allowed:
            raise ValueError(f"{found!r} is in the place of {' or '.join(allowed)}")
        self._at += 1
        return found

    def string(self) -> str:
        """The next value, which is a string."""
        self.symbol('"')
        return self._string()

    def flat_object(self) -> str:
        """The next value, an object without objects in it, as it is written."""
        self.symbol("{")
        end = self._text.find("}", self._at, self._at + _MAX_ENTRY_CHARS) + 1
        if not end:
            raise ValueError("a tensor's description does not end")
        start, self._at = self._at - 1, end
        return self._text[start:end]

    def end(self) -> None:
        """Sees that nothing follows."""
        self._pass_over_spaces()
        if self._at < len(self._text):
            raise ValueError("something stands behind it")

    def _pass_over_spaces(self) -> None:
        spaces = _SPACES.match(self._text, self._at)
        self._at = spaces.end() if spaces else self._at

    def _string(self) -> str:
        value, self._at = scanstring(self._text, self._at, True)
        # Half of a pair of code units is no text, though JSON can write it.
        value.encode()
        return str(value)


def _check(header: _Text, data_bytes: int) -> None:
    """Raises ValueError unless the header describes each byte behind it once."""
    spans = []
    for name in header.members():
        if name == _METADATA:
            for _ in header.members():
                header.string()
        else:
            spans.append((*_span(name, header.flat_object()), name))
    header.end()
    reached = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            raise ValueError(f"the bytes of {_shown(name)} begin at {begin}, not at {reached}")
        reached = end
    if reached != data_bytes:
        raise ValueError(f"it describes {reached} bytes, and {data_bytes} follow it")


def _span(name: str, described: str) -> tuple[int, int]:
    """Returns where a tensor's bytes begin and end.

    Raises:
        ValueError: They are not as many as its type and shape say, or that is not said.
    """
    # Neither deep nesting nor a negative zero, which is a number to Python.
    pairs = json.loads(described, object_pairs_hook=list) if described.count("[") <= 2 and "-" not in described else []
    fields = dict(pairs)
    if len(pairs) != len(_FIELDS) or fields.keys() != _FIELDS:
        raise ValueError(f"{_shown(name)} is not described by {', '.join(sorted(_FIELDS))}, each once")
    bits, shape, offsets = BITS.get(str(fields["dtype"])), fields["shape"], fields["data_offsets"]
    if bits is None:
        raise ValueError(f"{_shown(name)} has the type {_shown(str(fields['dtype']))}, which is unknown")
    if not _are_numbers(shape) or not _are_numbers(offsets) or len(offsets) != 2:
        raise ValueError(f"shape and offsets of {_shown(name)} are no lists of whole numbers")
    begin, end = offsets
    if (
        math.prod(filter(None, shape)) * bits > _MAX_NUMBER
        or begin > end
        or math.prod(shape) * bits != 8 * (end - begin)
    ):
        raise ValueError(f"type, shape and offsets of {_shown(name)} do not fit together")
    return begin, end


def _are_numbers(values: object) -> bool:
    # True is an int to Python.
    return isinstance(values, list) and all(type(value) is int and value <= _MAX_NUMBER for value in values)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
