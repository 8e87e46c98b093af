"""Headers of safetensors files: what passes is what the safetensors library itself would load."""

import ctypes
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st

from modelcar.claim.downloads import read_snapshot
from modelcar.claim.folder import Folder
from modelcar.errors import WeightsError
from modelcar.hub.safetensors_header import BITS, MAX_HEADER_BYTES, PassingHeader
from modelcar.image.layout import on_disk, part
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import download, stream

REPO = "org/hostile"
ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
BROKEN: dict[str, tuple[Any, int]] = {
    "a hole": ({"a": ONE, "b": {**ONE, "data_offsets": [12, 20]}}, 20),
    "an overlap": ({"a": ONE, "b": {**ONE, "data_offsets": [4, 12]}}, 12),
    "more bytes than described": ({"a": ONE}, 9),
    "fewer bytes than described": ({"a": ONE}, 7),
    "another size": ({"a": {**ONE, "shape": [3]}}, 8),
    "an unknown type": ({"a": {**ONE, "dtype": "F128"}}, 8),
    "a negative number": ({"a": {**ONE, "shape": [-2]}}, 8),
    "a number with a point": ({"a": {**ONE, "shape": [2.0]}}, 8),
    "a truth in place of a number": ({"a": {**ONE, "shape": [True, 2]}}, 8),
    "three offsets": ({"a": {**ONE, "data_offsets": [0, 8, 8]}}, 8),
    "offsets backwards": ({"a": {**ONE, "data_offsets": [8, 0]}}, 8),
    "a size beyond 64 bits": ({"a": {**ONE, "shape": [2**40, 2**40]}}, 8),
    "no type": ({"a": {"shape": [2], "data_offsets": [0, 8]}}, 8),
    "metadata that are no text": ({"__metadata__": {"format": 1}, "a": ONE}, 8),
    "a list": ([ONE], 8),
    "nothing": (b"", 8),
    "no JSON": (b"{", 8),
    "a name twice": (b'{"a":%b,"a":%b}' % (2 * (json.dumps(ONE).encode(),)), 8),
    "a field twice": (b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8),
    "something behind it": (json.dumps({"a": ONE}).encode() + b"\0", 8),
    "a negative zero": (b'{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}', 0),
    "bytes that are no UTF-8": (b'{"\xff":%b}' % json.dumps(ONE).encode(), 8),
    "half a character": (b'{"\\ud800":%b}' % json.dumps(ONE).encode(), 8),
    "a depth that would end a parser": (b'{"a":' + b"[" * 100_000, 8),
}


def file_of(header: Any, data: int) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def problem(content: bytes, piece: int = 1 << 20) -> str:
    passing = PassingHeader(len(content))
    for start in range(0, len(content), piece):
        passing.take(content[start : start + piece])
    return passing.problem


@pytest.fixture(scope="module")
def loads() -> Callable[[bytes], bool]:
    """Give the judge: whether the library loads a file."""

    def judge(content: bytes) -> bool:
        try:
            safetensors.deserialize(content)
        except safetensors.SafetensorError:
            return False
        return True

    return judge


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_header_is_found(what: str) -> None:
    assert problem(file_of(*BROKEN[what]))


@pytest.mark.parametrize("what", [what for what in BROKEN if what != "a name twice"])
def test_the_library_refuses_it_as_well(what: str, loads: Callable[[bytes], bool]) -> None:
    assert not loads(file_of(*BROKEN[what]))


@pytest.mark.parametrize("dtype", BITS)
def test_the_types_are_the_library_s(dtype: str, loads: Callable[[bytes], bool]) -> None:
    content = file_of({"a": {"dtype": dtype, "shape": [2, 4], "data_offsets": [0, BITS[dtype]]}}, BITS[dtype])
    assert loads(content)
    assert problem(content) == ""


_numbers = st.sampled_from([0, 1, 2, 4, 8, 16, 2**32, 2**63, 2**64, -1, 1.5, True, None, "2"])
_tensors = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*BITS, "F128", "f32", 7]),
        "shape": st.lists(_numbers, max_size=3),
        "data_offsets": st.lists(_numbers, min_size=1, max_size=3),
    }
)
_headers = st.dictionaries(
    st.sampled_from(["a", "b", "__metadata__", ""]), _tensors | st.just({}) | st.just({"a": "b"})
)


@given(_headers, st.integers(0, 40), st.integers(1, 30))
def test_what_passes_the_library_loads(loads: Callable[[bytes], bool], header: Any, data: int, piece: int) -> None:
    content = file_of(header, data)
    assert problem(content, piece) or loads(content)


_NAMES = {"U8": "uint8", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "I64": "int64"}
_good = st.dictionaries(
    st.text(max_size=8), st.tuples(st.sampled_from(sorted(_NAMES)), st.integers(0, 5)), min_size=1, max_size=6
)


@given(_good, st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_what_the_library_writes_passes(
    loads: Callable[[bytes], bool], tensors: dict[str, tuple[str, int]], metadata: dict[str, str]
) -> None:
    data = ctypes.create_string_buffer(64)
    described = {
        name: safetensors.TensorSpec(
            dtype=_NAMES[dtype],
            shape=[count],
            data_ptr=ctypes.addressof(data),
            data_len=count * BITS[dtype] // 8,
        )
        for name, (dtype, count) in tensors.items()
        if name != "__metadata__"
    }
    assert problem(safetensors.serialize(described, metadata=metadata)) == ""


@given(st.binary(max_size=60), st.integers(1, 60))
def test_no_bytes_end_it_badly(content: bytes, piece: int) -> None:
    assert problem(content, piece) or content.startswith(struct.pack("<Q", 2) + b"{}")


def test_a_header_that_is_too_large_is_not_even_kept() -> None:
    passing = PassingHeader(1 << 40)
    passing.take(struct.pack("<Q", MAX_HEADER_BYTES + 1) + bytes(100))
    assert passing.problem == f"says that its header has {MAX_HEADER_BYTES + 1} bytes"


def test_a_published_broken_file_is_named_and_becomes_no_image(
    hub: Hub, plain_registry: Registry, tmp_path: Path
) -> None:
    large = file_of({"a": {"dtype": "U8", "shape": [2_000_000], "data_offsets": [0, 2_000_001]}}, 2_000_001)
    hub.publish(REPO, {"config.json": "{}", "model-00001-of-00001.safetensors": large})
    expected = (
        r"^model-00001-of-00001.safetensors, as its owner published it, has a broken header: type, shape and offsets "
        r"of 'a' do not fit together. Nothing can load it: choose another revision, or --exclude model-00001"
    )

    with pytest.raises(WeightsError, match=expected):
        download(REPO, tmp_path / "claim")
    assert not list(tmp_path.glob("claim/*/*/.modelcar/snapshot.json"))
    target = f"{plain_registry.host}/hostile/broken:1"
    with pytest.raises(WeightsError, match=expected):
        stream(REPO, target)
    with Repository(Reference.parse(target)) as repository:
        assert repository.find_manifest("1") is None


def test_a_small_one_is_named_too(hub: Hub, tmp_path: Path) -> None:
    hub.publish(REPO, {"config.json": "{}", "model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"})
    with pytest.raises(WeightsError, match=r"^model.safetensors, as its owner published it, says that its header has"):
        download(REPO, tmp_path / "claim")


def test_the_layers_of_right_files_are_as_before(hub: Hub, tmp_path: Path) -> None:
    right = file_of({"a": {"dtype": "U8", "shape": [2_000_000], "data_offsets": [0, 2_000_000]}}, 2_000_000)
    hub.publish(REPO, {"model.safetensors": right})
    done = download(REPO, tmp_path / "claim")
    assert [layer.title for layer in part(read_snapshot(done.directory), on_disk(Folder(done.directory)))] == [
        "models/model.safetensors"
    ]
