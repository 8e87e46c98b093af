"""Files parted into layers."""

import hashlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.claim.files import OnDisk
from modelcar.claim.folder import Folder
from modelcar.errors import BuildError, WrongBytesError
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.image import layout
from modelcar.image.layout import MAX_LAYER_SIZE, MAX_LAYERS, OWN_LAYER_SIZE, on_disk, part
from modelcar.image.proof import digest
from modelcar.image.recipe import recipe

BASE = "sha256:" + "0" * 64
PLACED = on_disk(Folder(Path("nowhere")))
GIGABYTE = 10**9


def snapshot(sizes: dict[str, int]) -> Snapshot:
    files = [
        PublishedFile(path=path, size=size, sha256=hashlib.sha256(path.encode()).hexdigest())
        for path, size in sizes.items()
    ]
    return Snapshot(
        model="org/tiny", commit="0" * 40, created=datetime(2024, 5, 6, tzinfo=UTC), source="", files=tuple(files)
    )


def paths(parts: list[layout.Layer]) -> list[list[str]]:
    return [[entry.path for entry in layer.entries] for layer in parts]


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Allow so many seconds of processor, which are the same on a busy machine."""

    def too_late(*_: object) -> None:
        raise TimeoutError(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGPROF, too_late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def test_large_files_are_layers_of_their_own_and_small_ones_are_together() -> None:
    parts = part(
        snapshot({"z.safetensors": OWN_LAYER_SIZE, "b.json": 5, "a.safetensors": 5 * GIGABYTE, "sub/c.json": 0}), PLACED
    )

    assert paths(parts) == [["models/a.safetensors"], ["models/z.safetensors"], ["models/b.json", "models/sub/c.json"]]
    assert parts[0].entries[0].source == OnDisk(Folder(Path("nowhere")), "a.safetensors")


@pytest.mark.parametrize("count", [1, 99, 100, 101, 400, 10_000])
@pytest.mark.parametrize("size", [100, OWN_LAYER_SIZE, 4_300_000])
def test_layers_are_never_too_many(count: int, size: int) -> None:
    model = snapshot({f"f-{number:05}": size for number in range(count)})

    with within(60):
        parts = part(model, PLACED)

    assert 0 < len(parts) <= MAX_LAYERS
    assert all(layer.size <= MAX_LAYER_SIZE for layer in parts)
    assert sorted(path for group in paths(parts) for path in group) == sorted(f"models/{f.path}" for f in model.files)


def test_large_shards_go_together_where_they_would_be_too_many() -> None:
    """So it is with DeepSeek-V3, which has 163 shards of 4.3 GB."""
    parts = part(snapshot({f"model-{number:05}": 4_300_000_000 for number in range(163)}), PLACED)

    assert len(parts) <= MAX_LAYERS
    assert all(layer.size <= MAX_LAYER_SIZE for layer in parts)


def test_commit_of_readme_and_configuration_resends_little() -> None:
    """DeepSeek-R1: 163 shards, and a README.md and a config.json that change more often."""
    shards = {f"model-{number:05}-of-00163.safetensors": 4_300_000_000 for number in range(1, 164)}
    small = {"README.md": 18_000, "config.json": 1700, "LICENSE": 1000, "figures/benchmark.jpg": 777_000}
    medium = {"tokenizer.json": 8_000_000, "model.safetensors.index.json": 9_000_000}
    parts = part(snapshot(shards | small | medium), PLACED)

    changed = [layer for layer in parts if {"models/README.md", "models/config.json"} & {e.path for e in layer.entries}]

    assert len(parts) <= MAX_LAYERS
    assert sum(layer.size for layer in changed) < 50_000_000
    assert max(layer.size for layer in parts) < 9 * GIGABYTE


def test_too_many_layers_for_the_registry_are_refused() -> None:
    with within(5), pytest.raises(BuildError, match="max_layer_size"):
        part(snapshot({f"model-{number:05}": 4_300_000_000 for number in range(163)}), PLACED, 5 * GIGABYTE)


@given(
    st.lists(st.integers(0, 3_000_000), min_size=1, max_size=60),
    st.integers(3_100_000, 12_000_000),
)
def test_no_layer_is_larger_than_allowed(sizes: list[int], largest: int) -> None:
    model = snapshot({f"{number % 3}/f-{number}": size for number, size in enumerate(sizes)})

    parts = part(model, PLACED, largest)

    assert all(layer.size <= largest for layer in parts)
    assert sorted(path for group in paths(parts) for path in group) == sorted(f"models/{f.path}" for f in model.files)
    assert paths(parts) == paths(part(model.model_copy(update={"files": model.files[::-1]}), PLACED, largest))


@pytest.mark.parametrize("largest", [10_000_000, 10_001_000])
def test_file_that_fits_no_layer_is_named(largest: int) -> None:
    model = snapshot({"config.json": 5, "sub/large.safetensors": 10_000_000})

    with pytest.raises(BuildError, match=r"^sub/large.safetensors makes a layer of 10.0 MB.*max_shard_size") as raised:
        part(model, PLACED, largest)

    assert "raise max_layer_size" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("consolidated.safetensors", "tensor by tensor: reshard=true; or raise max_layer_size"),
        ("m-Q8_0.gguf", "llama-gguf-split --split"),
        ("model.onnx", "Leave the file out with --exclude, or raise max_layer_size"),
    ],
)
def test_remedy_for_a_file_that_fits_no_layer_is_of_its_format(name: str, remedy: str) -> None:
    with pytest.raises(BuildError) as raised:
        part(snapshot({name: 10_000_000}), PLACED, 5_000_000)

    assert remedy in str(raised.value)


def test_file_that_just_fits_is_taken() -> None:
    model = snapshot({"large.safetensors": 10_000_000})
    needed = part(model, PLACED)[0].size

    assert len(part(model, PLACED, needed)) == 1
    with pytest.raises(BuildError):
        part(model, PLACED, needed - 1)


def test_recipe_is_the_same_for_the_same_image() -> None:
    model = snapshot({"a": 5, "b": 3_000_000})
    later = model.model_copy(update={"files": model.files[::-1], "licence": "mit"})

    assert recipe(part(model, PLACED), BASE, model) == recipe(
        part(later, on_disk(Folder(Path("elsewhere")))), BASE, later
    )


@pytest.mark.parametrize("changed", ["base", "bytes", "name", "parts", "kind", "more"])
def test_recipe_changes_with_what_is_in_the_image(changed: str) -> None:
    model = snapshot({"a": 2_000_000, "b": 1000, "c": 1000})
    one = recipe(part(model, PLACED), BASE, model)
    first = model.files[0]
    other = {
        "bytes": first.model_copy(update={"sha256": "1" * 64}),
        "name": first.model_copy(update={"path": "other"}),
        "kind": first.model_copy(update={"sha256": "", "git_blob": first.sha256}),
    }.get(changed, first)
    more = (PublishedFile(path="d", size=0, git_blob="2" * 40),) if changed == "more" else ()
    changed_model = model.model_copy(update={"files": (other, *model.files[1:], *more)})
    parts = part(changed_model, PLACED)
    if changed == "parts":
        parts = [*parts[:1], *(layout.Layer((entry,)) for entry in parts[1].entries)]

    assert recipe(parts, BASE.replace("0", "1") if changed == "base" else BASE, changed_model) != one


def write(folder: Path, contents: dict[str, bytes]) -> Snapshot:
    files = []
    for path, content in contents.items():
        (folder / path).write_bytes(content)
        large = {"sha256": hashlib.sha256(content).hexdigest()}
        small = {"git_blob": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
        hashes = large if path.endswith(".safetensors") else small
        files.append(PublishedFile(path=path, size=len(content), **hashes))
    return snapshot({}).model_copy(update={"files": tuple(files)})


def test_digest_is_that_of_the_stream(tmp_path: Path) -> None:
    model = write(tmp_path, {"a.gguf": b"x" * 2_000_000, "b.json": b"{}", "c.json": b""})

    for layer in part(model, on_disk(Folder(tmp_path))):
        assert digest(layer, model) == "sha256:" + hashlib.sha256(b"".join(layer.chunks())).hexdigest()


@pytest.mark.parametrize("altered", ["a.gguf", "c.json"])
def test_altered_file_has_no_digest(altered: str, tmp_path: Path) -> None:
    contents = {"a.gguf": b"x" * 2_000_000, "b.json": b"{}", "c.json": b"[1]"}
    model = write(tmp_path, contents)
    (tmp_path / altered).write_bytes(contents[altered][:-1] + b"!")
    parts = part(model, on_disk(Folder(tmp_path)))

    with pytest.raises(WrongBytesError, match=f"{altered} is not what the Hub published.*Run the pipeline again"):
        [digest(layer, model) for layer in parts]
