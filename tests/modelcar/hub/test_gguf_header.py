"""Headers of GGUF files, as far as they are read."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.hub.gguf_header import GgufHeader, read_gguf_header


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def header(entries: bytes, count: int, tensors: bytes = b"", tensor_count: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensor_count, count) + entries + tensors


ENTRIES = (
    text("general.architecture") + struct.pack("<I", 8) + text("llama")
    + text("llama.context_length") + struct.pack("<II", 4, 8192)
    + text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("b") + text("c")
    + text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 3) + struct.pack("<3f", 1, 2, 3)
)  # fmt: skip
TENSOR = text("token_embd.weight") + struct.pack("<IQQIQ", 2, 256, 4, 12, 0)
WHOLE = header(ENTRIES, 4, TENSOR, 1)


def test_whole_header_is_read() -> None:
    found = read_gguf_header(WHOLE + bytes(5000))

    assert (found.architecture, found.context_length) == ("llama", 8192)
    assert found.metadata["tokenizer.ggml.tokens"] == 3
    (tensor,) = found.tensors
    assert (tensor.name, tensor.shape, tensor.size) == ("token_embd.weight", (256, 4), 4 * 144)
    assert found.is_whole
    assert found.data_start % 32 == 0
    assert found.data_start - len(WHOLE) < 32
    assert b"".join(found.raw.values()) == ENTRIES


@given(st.integers(4, len(WHOLE) - 1))
def test_header_that_is_cut_off_says_what_came_before(end: int) -> None:
    found = read_gguf_header(WHOLE[:end])

    assert not found.is_whole
    assert found.tensors == ()
    assert set(found.metadata) <= set(read_gguf_header(WHOLE).metadata)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "does not begin"),
        (b"GGML" + bytes(100), "does not begin"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0), "tensors"),
        (header(text("k") + struct.pack("<I", 77), 1), "type 77"),
        (header(struct.pack("<Q", 1 << 60), 1), "bytes"),
        (header(b"", 0, text("t") + struct.pack("<I", 9), 1), "9 dimensions"),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_gguf_header(data)


@given(st.binary(max_size=400), st.integers(0, len(WHOLE)))
def test_hostile_bytes_end_in_a_header_or_a_value_error(junk: bytes, at: int) -> None:
    try:
        found = read_gguf_header(WHOLE[:at] + junk + WHOLE[at + len(junk) :])
    except ValueError:
        return
    assert isinstance(found, GgufHeader)
