"""A Hub that lies, breaks and ends links, by schedules drawn from seeds: no wrong byte on a claim or in an image."""

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from modelcar.errors import ModelcarError
from modelcar.hub import read_ahead
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.oci import spec
from tests.parts.hub import Hub
from tests.parts.hub_faults import RangeLie, Refusal
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.steps import download, stream

MODEL = "example/two-shards"
SHARD_BYTES = 3_000_000
WINDOW_BYTES = 1 << 18
"""Small, so that a shard has several windows, each of which may meet a fault of its own."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return tiny_llama(folder, shards=2, bytes_per_shard=SHARD_BYTES, consolidated=False)


@pytest.fixture(scope="module")
def served(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("served") / "hub") as hub:
        hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
        yield hub


@pytest.fixture(scope="module")
def expected(served: Hub, plain_registry: Registry) -> str:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", served.url)
        return stream(MODEL, f"{plain_registry.host}/hub-on-fire/whole:1").image.digest


@pytest.fixture
def burning(served: Hub, expected: str, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Give the Hub, whose files are read in small windows; the fire is out afterwards."""
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    monkeypatch.setattr(read_ahead, "MIN_WINDOW_BYTES", WINDOW_BYTES)
    monkeypatch.setattr(read_ahead, "MAX_WINDOW_BYTES", WINDOW_BYTES)
    yield served
    put_out(served)


def put_out(hub: Hub) -> None:
    hub.faults.clear()
    hub.end_links(0)
    hub.limit_connections(0)


def set_on_fire(hub: Hub, files: Path, chance: random.Random) -> None:
    """Show several faults, whichever they are."""
    shards = sorted(path.name for path in files.glob("*.safetensors"))
    hub.end_links(chance.choice((0, 0, 0.05, 0.3)))
    for _ in range(chance.randint(2, 7)):
        shard, times, skip = chance.choice(shards), chance.choice((1, 2, 3, None)), chance.randrange(12)
        match chance.randrange(6):
            case 0:
                hub.cut(MODEL, shard, chance.randrange(SHARD_BYTES), times=times)
            case 1:
                part, code = chance.choice(("/cdn/", "/resolve/")), chance.choice((401, 403, 404, 408, 429, 500, 503))
                hub.status(part, code, times=times)
            case 2 | 3:
                hub.bend_ranges(MODEL, shard, chance.choice(list(RangeLie)), times=times, skip=skip)
            case 4:
                hub.limit_connections(chance.randint(1, 4), chance.choice((Refusal.STATUS, Refusal.RESET)))
            case 5:
                hub.corrupt(MODEL, shard, times=times, skip=skip)


def digest_of_tag(registry: Registry, repository: str) -> str:
    accept = {"Accept": ", ".join((*spec.INDEXES, *spec.MANIFESTS))}
    found = requests.get(f"{registry.url}/v2/{repository}/manifests/1", headers=accept, timeout=600)
    return spec.digest_of(found.content) if found.ok else ""


@pytest.mark.parametrize("seed", range(12))
def test_download_never_keeps_a_wrong_byte(seed: int, burning: Hub, files: Path, tmp_path: Path) -> None:
    set_on_fire(burning, files, random.Random(seed))

    for _ in range(2):
        with suppress(ModelcarError):
            check(download(MODEL, tmp_path / "claim").directory, files)
        for note in (tmp_path / "claim").rglob(str(DOWNLOAD_NOTE)):
            check(note.parents[1], files)
    put_out(burning)

    check(download(MODEL, tmp_path / "claim").directory, files)


def check(directory: Path, files: Path) -> None:
    """Hold what was downloaded against what was published."""
    for path in directory.glob("*.safetensors"):
        assert path.read_bytes() == (files / path.name).read_bytes(), path.name
    assert len(list(directory.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("seed", range(12))
def test_stream_never_tags_a_wrong_image(
    seed: int, burning: Hub, files: Path, plain_registry: Registry, expected: str
) -> None:
    set_on_fire(burning, files, random.Random(100 + seed))
    repository = f"hub-on-fire/seed-{seed}"
    target = f"{plain_registry.host}/{repository}:1"

    for _ in range(2):
        with suppress(ModelcarError):
            assert stream(MODEL, target).image.digest == expected
        assert digest_of_tag(plain_registry, repository) in ("", expected)
    put_out(burning)

    assert stream(MODEL, target).image.digest == expected
    assert digest_of_tag(plain_registry, repository) == expected


@pytest.mark.parametrize("skip", [1, 4])
def test_other_bytes_from_some_window_on_are_named(
    skip: int, burning: Hub, files: Path, plain_registry: Registry, tmp_path: Path
) -> None:
    """As from a second mirror behind one name, or a file that was changed while it was read."""
    shard = min(path.name for path in files.glob("*.safetensors"))
    burning.corrupt(MODEL, shard, times=None, skip=skip)
    repository = f"hub-on-fire/other-bytes-{skip}"

    with pytest.raises(ModelcarError, match=shard):
        stream(MODEL, f"{plain_registry.host}/{repository}:1")
    with pytest.raises(ModelcarError, match=shard):
        download(MODEL, tmp_path / "claim")

    assert digest_of_tag(plain_registry, repository) == ""
    assert not list((tmp_path / "claim").rglob(str(DOWNLOAD_NOTE)))


@pytest.mark.parametrize("skip", [1, 4])
def test_ranges_of_other_bytes_are_named_or_mended(
    skip: int, burning: Hub, files: Path, plain_registry: Registry, tmp_path: Path
) -> None:
    """Under the labels that were asked for: a download asks once more for the whole, over one connection."""
    shard = min(path.name for path in files.glob("*.safetensors"))
    burning.bend_ranges(MODEL, shard, RangeLie.MISLABELLED, times=None, skip=skip)

    with pytest.raises(ModelcarError, match=shard):
        stream(MODEL, f"{plain_registry.host}/hub-on-fire/mislabelled-{skip}:1")
    check(download(MODEL, tmp_path / "claim").directory, files)

    assert digest_of_tag(plain_registry, f"hub-on-fire/mislabelled-{skip}") == ""
