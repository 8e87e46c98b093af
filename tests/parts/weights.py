"""Weights in the safetensors format, made up quickly and always the same."""

import functools
import json
import math
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK_BYTES = 1 << 23
BF16_BYTES = 2
# High bytes of bfloat16 numbers of about a hundredth, so that weights are finite and compress as real ones do.
HIGH_BYTES = (0x3B, 0x3C, 0xBB, 0xBC)


@dataclass(frozen=True)
class Tensor:
    """A tensor of bfloat16; tensors of one source hold the same numbers, whatever their names."""

    name: str
    shape: tuple[int, ...]
    source: str = ""

    @property
    def size(self) -> int:
        """The tensor's bytes."""
        return math.prod(self.shape) * BF16_BYTES


def random_chunks(seed: int, source: str, size: int) -> Iterator[memoryview]:
    """Give so many bytes of bfloat16 weights, in pieces."""
    block = _block(seed)
    chosen = random.Random(f"{seed}:{source}")
    while size > 0:
        # Pieces begin anywhere, so that files neither repeat each other nor themselves.
        start = chosen.randrange(BLOCK_BYTES // 4) * 2
        piece = block[start : start + size]
        size -= len(piece)
        yield piece


def write_safetensors(path: Path, tensors: Sequence[Tensor], *, seed: int = 0, sparse: bool = False) -> None:
    """Write tensors to one file.

    Args:
        path: The file.
        tensors: The tensors, in the order of their data.
        seed: What the weights follow from.
        sparse: Leave the weights out as a hole in the file, which reads as zeros.
    """
    header = _header(tensors)
    with path.open("wb") as file:
        file.write(header)
        if sparse:
            file.truncate(len(header) + sum(tensor.size for tensor in tensors))
            return
        for tensor in tensors:
            file.writelines(random_chunks(seed, tensor.source or tensor.name, tensor.size))


def read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Read where a file's data begin, and its header."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return 8 + length, json.loads(file.read(length))


def _header(tensors: Sequence[Tensor]) -> bytes:
    described: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        span = [offset, offset + tensor.size]
        described[tensor.name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": span}
        offset += tensor.size
    text = json.dumps(described, separators=(",", ":")).encode()
    # The format wants the data aligned to eight bytes.
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


@functools.lru_cache(maxsize=2)
def _block(seed: int) -> memoryview:
    drawn = random.Random(seed)
    block = bytearray(drawn.randbytes(BLOCK_BYTES))
    high = bytes(HIGH_BYTES[value % len(HIGH_BYTES)] for value in range(256))
    block[1::2] = block[1::2].translate(high)
    return memoryview(bytes(block))
