"""Files of tensors, cut so that they fit into layers: whole tensors, each once, and an index that is right."""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from modelcar.errors import WrongBytesError
from modelcar.hub.gguf_header import GgufHeader, read_gguf_header
from modelcar.hub.reshard import RESERVED_BYTES, Resharded, reshard
from modelcar.hub.snapshot import PublishedFile, Serving, Snapshot

LIMIT = RESERVED_BYTES + 40_000
Files = Mapping[str, bytes]


class Held:
    def __init__(self, content: bytes, chunk: int = 1000) -> None:
        self.content = content
        self.chunk = chunk

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        wanted = self.content[start:end]
        return (wanted[at : at + self.chunk] for at in range(0, len(wanted), self.chunk))


def snapshot_of(files: Files, path: str = "") -> Snapshot:
    published = tuple(
        PublishedFile(path=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
    )
    serving = Serving(arguments=("--model", f"/mnt/models/{path}"), path=path) if path else None
    return Snapshot(
        model="a/b",
        commit="0" * 40,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        source="",
        files=published,
        serving=serving,
    )


def cut(files: Files, limit: int = LIMIT, chunk: int = 1000, path: str = "") -> tuple[Resharded, Snapshot]:
    snapshot = snapshot_of(files, path)
    resharded = reshard(snapshot, lambda file: Held(files[file.path], chunk), limit)
    resharded.check()
    return resharded, resharded.apply(snapshot)


def content(resharded: Resharded, file: PublishedFile) -> bytes:
    return b"".join(resharded.reader(file).read())


def tensors(sizes: list[int], seed: int = 0) -> dict[str, numpy.ndarray]:
    numbers = numpy.random.default_rng(seed)
    return {f"layers.{n}.weight": numbers.random((size,), dtype=numpy.float32) for n, size in enumerate(sizes)}


SIZES = st.lists(st.integers(0, 5000), max_size=30).map(lambda sizes: [*sizes, *[8000] * 5])


@given(sizes=SIZES, chunk=st.integers(50, 9000), extra=st.integers(0, 30_000))
def test_parts_hold_each_tensor_once_and_are_proved(sizes: list[int], chunk: int, extra: int) -> None:
    whole = tensors(sizes)
    file = save(whole, metadata={"format": "pt"})
    resharded, made = cut({"model.safetensors": file}, LIMIT + extra, chunk)
    proved = {one.path: one for one in resharded.prove(made).files}

    index = json.loads(content(resharded, proved.pop("model.safetensors.index.json")))
    found: dict[str, numpy.ndarray] = {}
    for path, one in proved.items():
        data = content(resharded, one)
        assert len(data) == one.size <= LIMIT + extra
        assert hashlib.sha256(data).hexdigest() == one.sha256
        part = load(data)
        assert not part.keys() & found.keys()
        assert {index["weight_map"][name] for name in part} == {path}
        assert one.origin is not None
        assert dict(one.origin.tensors) == {n: hashlib.sha256(t.tobytes()).hexdigest() for n, t in part.items()}
        assert b'"format":"pt"' in data[:200]
        found |= part
    assert found.keys() == whole.keys() == index["weight_map"].keys()
    assert all((found[name] == whole[name]).all() for name in whole)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())


@given(sizes=SIZES, start=st.integers(0, 200_000))
def test_a_part_is_read_from_anywhere(sizes: list[int], start: int) -> None:
    resharded, made = cut({"model.safetensors": save(tensors(sizes))})

    for file in made.files:
        assert b"".join(resharded.reader(file).read(start)) == content(resharded, file)[start:]
        assert (
            b"".join(resharded.reader(file).read(start, start + 500)) == content(resharded, file)[start : start + 500]
        )


def test_what_fits_stays_as_it_is() -> None:
    files = {"model.safetensors": save(tensors([100])), "config.json": b"{}"}
    snapshot = snapshot_of(files)

    assert reshard(snapshot, lambda file: Held(files[file.path]), LIMIT).apply(snapshot) is snapshot


def test_index_of_a_set_names_the_parts_of_the_shard_that_was_cut() -> None:
    first, second = tensors([20_000, 15_000]), {"head": numpy.ones(10, dtype=numpy.float32)}
    files = {
        "unet/model-00001-of-00002.safetensors": save(first),
        "unet/model-00002-of-00002.safetensors": save(second),
        "unet/model.safetensors.index.json": json.dumps(
            {
                "metadata": {"total_size": 140_040, "x": 1},
                "weight_map": {
                    **dict.fromkeys(first, "model-00001-of-00002.safetensors"),
                    "head": "model-00002-of-00002.safetensors",
                },
            }
        ).encode(),
    }
    resharded, made = cut(files, RESERVED_BYTES + 100_000)

    assert [file.path for file in made.files] == [
        "unet/model-00001-of-00002-00001-of-00002.safetensors",
        "unet/model-00001-of-00002-00002-of-00002.safetensors",
        "unet/model-00002-of-00002.safetensors",
        "unet/model.safetensors.index.json",
    ]
    index = json.loads(content(resharded, made.files[3]))
    assert index["metadata"] == {"total_size": 140_040, "x": 1}
    assert index["weight_map"] == {
        "layers.0.weight": "model-00001-of-00002-00001-of-00002.safetensors",
        "layers.1.weight": "model-00001-of-00002-00002-of-00002.safetensors",
        "head": "model-00002-of-00002.safetensors",
    }


@pytest.mark.parametrize(
    ("path", "first", "index"),
    [
        ("model.fp16.safetensors", "model.fp16-00001-of-00004.safetensors", "model.safetensors.index.fp16.json"),
        (
            "transformer/diffusion_pytorch_model.safetensors",
            "transformer/diffusion_pytorch_model-00001-of-00004.safetensors",
            "transformer/diffusion_pytorch_model.safetensors.index.json",
        ),
        ("consolidated.safetensors", "consolidated-00001-of-00004.safetensors", "consolidated.safetensors.index.json"),
    ],
)
def test_parts_and_index_are_called_as_loaders_look_for_them(path: str, first: str, index: str) -> None:
    _, made = cut({path: save(tensors([7000] * 4))})

    assert {first, index} <= {file.path for file in made.files}


def test_other_bytes_than_those_published_prove_nothing() -> None:
    file = save(tensors([7000] * 4))
    snapshot = snapshot_of({"model.safetensors": file})
    altered = bytearray(file)
    altered[-1] ^= 1
    resharded = reshard(snapshot, lambda _file: Held(bytes(altered)), LIMIT)

    with pytest.raises(WrongBytesError, match=r"model\.safetensors is not what the Hub published"):
        resharded.prove(resharded.apply(snapshot))


def test_a_header_that_changes_between_two_reads_proves_nothing() -> None:
    file = save(tensors([7000] * 4))
    renamed = file.replace(b"layers.1.weight", b"layers.7.weight")
    snapshot = snapshot_of({"model.safetensors": file})
    given = [Held(renamed), Held(file)]
    resharded = reshard(snapshot, lambda _file: given.pop(0), LIMIT)

    with pytest.raises(WrongBytesError):
        resharded.prove(resharded.apply(snapshot))


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"model.safetensors": save(tensors([30_000]))}, "its tensor layers.0.weight alone has 120000 bytes"),
        ({"model.safetensors": b"\xff" * 200_000}, "says that its header has"),
        ({"model-00001-of-00002.safetensors": save(tensors([7000] * 4))}, "no index names them"),
        ({"model.gguf": b"GGUF" + bytes(200_000)}, "version 0"),
        (
            {
                "model.safetensors": save(tensors([7000] * 4)),
                "model-00001-of-00004.safetensors": b"x",
            },
            "would replace a file of that name",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(files: Files, problem: str) -> None:
    snapshot = snapshot_of(files)

    (found, *_) = reshard(snapshot, lambda file: Held(files[file.path]), LIMIT).problems

    assert problem in found.what


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(sizes: list[int], alignment: int = 32, more: bytes = b"", keys: int = 0) -> bytes:
    """Write a GGUF of F32 tensors."""
    entries = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    entries += text("general.alignment") + struct.pack("<II", 4, alignment)
    entries += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2000) + text("token") * 2000 + more
    described, data = b"", b""
    for number, size in enumerate(sizes):
        described += text(f"blk.{number}") + struct.pack("<IQIQ", 1, size, 0, len(data))
        data += bytes([number % 250 + 1]) * (4 * size)
        data += bytes(-len(data) % alignment)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(sizes), 3 + keys) + entries + described
    return head + bytes(-len(head) % alignment) + data


def gguf_tensors(data: bytes) -> tuple[GgufHeader, dict[str, bytes]]:
    header = read_gguf_header(data)
    starts = [header.data_start + tensor.offset for tensor in header.tensors]
    assert all(start % header.alignment == 0 for start in starts)
    return header, {
        tensor.name: data[start : start + tensor.size] for tensor, start in zip(header.tensors, starts, strict=True)
    }


@given(
    sizes=st.lists(st.integers(1, 3000), max_size=30).map(lambda sizes: [*sizes, *[4000] * 10]),
    alignment=st.sampled_from([32, 64, 4096]),
)
def test_parts_of_a_gguf_are_those_of_llama_gguf_split(sizes: list[int], alignment: int) -> None:
    whole = gguf(sizes, alignment)
    limit = RESERVED_BYTES + 90_000
    resharded, made = cut({"q/tiny-Q8_0.gguf": whole}, limit, path="q/tiny-Q8_0.gguf")
    header, expected = gguf_tensors(whole)

    count = len(made.files)
    found: dict[str, bytes] = {}
    for number, file in enumerate(made.files):
        assert file.path == f"q/tiny-Q8_0-{number + 1:05d}-of-{count:05d}.gguf"
        assert file.size <= limit
        part, held = gguf_tensors(content(resharded, file))
        split = {key: part.metadata[f"split.{key}"] for key in ("no", "count", "tensors.count")}
        assert split == {"no": number, "count": count, "tensors.count": len(sizes)}
        assert part.alignment == alignment
        found |= held
        if not number:
            assert {key: part.raw[key] for key in header.raw} == header.raw
    assert list(found) == list(expected)
    assert found == expected
    assert made.serving is not None
    assert made.serving.path == made.files[0].path
    assert made.serving.arguments == ("--model", f"/mnt/models/{made.files[0].path}")
    assert all(file.sha256 for file in resharded.prove(made).files)


def test_part_of_a_set_of_ggufs_is_not_cut_again() -> None:
    more = text("split.count") + struct.pack("<IH", 2, 3)
    snapshot = snapshot_of(files := {"tiny.gguf": gguf([9000] * 9, more=more, keys=1)})

    (problem,) = reshard(snapshot, lambda file: Held(files[file.path]), LIMIT).problems

    assert "llama-gguf-split --merge" in problem.what
