"""Registries of other makes than the others' docker-registry: go-containerregistry's, distribution 3 and zot."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from modelcar.oci.reference import Reference
from modelcar.steps.download import Downloaded
from modelcar.steps.mirror import mirror
from tests.parts.crane import crane_program, crane_registry
from tests.parts.distribution import distribution_registry
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.steps import build, download, stream
from tests.parts.zot import zot_registry

MODEL = "example/tiny-llama"
SHARD = "model-00002-of-00002.safetensors"
LARGE_BYTES = 24_000_000
BREAK_AFTER = 16_000_000
"""More than a layer of the base image has."""
MIB = 1 << 20
STARTS: dict[str, Callable[[Path], AbstractContextManager[Registry]]] = {
    "crane": crane_registry,
    "distribution": distribution_registry,
    "zot": zot_registry,
}


@pytest.fixture(scope="module", params=STARTS)
def other_registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with STARTS[request.param](tmp_path_factory.mktemp(request.param)) as registry:
        yield registry


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with distribution_registry(tmp_path_factory.mktemp("resuming")) as registry:
        yield registry


@pytest.fixture
def published(hub: Hub, tmp_path: Path) -> Hub:
    files = tiny_llama(tmp_path / "model", shards=2, consolidated=False)
    hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
    return hub


@pytest.fixture
def image(plain_registry: Registry, downloaded: Downloaded) -> Reference:
    """Give an image in docker-registry."""
    return build(downloaded.directory, f"{plain_registry.host}/other/source:1", builder="direct").image


def tags(registry: Registry, repository: str) -> list[str]:
    answer = requests.get(f"{registry.url}/v2/{repository}/tags/list", timeout=600)
    return list(answer.json().get("tags") or []) if answer.ok else []


def copied(image: str, folder: Path) -> str:
    """The digest of an image that skopeo copied into a layout, byte for byte; it checks every digest."""
    source = ["--src-tls-verify=false", f"docker://{image}"]
    command = ["skopeo", "copy", "-q", "--all", "--preserve-digests", *source, f"oci:{folder}:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return str(json.loads((folder / "index.json").read_text())["manifests"][0]["digest"])


def test_crane_itself_sees_the_image(image: Reference, other_registry: Registry) -> None:
    target = f"{other_registry.host}/other/seen:1"
    mirror(str(image), target)

    done = subprocess.run([str(crane_program()), "digest", target], capture_output=True, text=True, timeout=600)

    assert done.stdout.strip() == image.digest


def test_streamed_image_is_the_one_that_docker_registry_has(
    published: Hub, other_registry: Registry, plain_registry: Registry, tmp_path: Path
) -> None:
    there = stream(MODEL, f"{plain_registry.host}/other/streamed:1").image
    published.requests.clear()

    done = stream(MODEL, f"{other_registry.host}/other/streamed:1")

    assert done.image.digest == there.digest
    assert "1" in tags(other_registry, "other/streamed")
    assert copied(str(done.image), tmp_path / "layout") == done.image.digest


def test_both_registries_are_fed_in_one_pass(
    published: Hub, other_registry: Registry, plain_registry: Registry
) -> None:
    target, copy = f"{plain_registry.host}/other/fan:1", f"{other_registry.host}/other/fan:1"

    done = stream(MODEL, target, mirror=copy)

    assert done.mirrored is not None
    assert done.image.digest == done.mirrored.digest
    assert sum(request.path.startswith(f"/{MODEL}/") for request in published.requests if SHARD in request.path) == 1


def test_second_run_moves_nothing(published: Hub, other_registry: Registry) -> None:
    target = f"{other_registry.host}/other/again:1"
    first = stream(MODEL, target)

    second = stream(MODEL, target)

    assert (second.image, second.read_bytes, second.unchanged) == (first.image, 0, True)


def test_new_commit_sends_only_what_changed(hub: Hub, other_registry: Registry, tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "model", shards=2, consolidated=False)
    hub.publish(MODEL, folder)
    target = f"{other_registry.host}/other/commits:1"
    stream(MODEL, target)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nanew\n")
    hub.publish(MODEL, folder)

    done = stream(MODEL, target)

    assert 0 < done.read_bytes < 100_000


def test_build_goes_there(published: Hub, other_registry: Registry, plain_registry: Registry, tmp_path: Path) -> None:
    directory = download(MODEL, tmp_path / "claim").directory

    done = build(directory, f"{other_registry.host}/other/built:1", builder="direct")

    here = build(directory, f"{plain_registry.host}/other/built:1", builder="direct").image
    assert done.image.digest == here.digest
    assert not done.unchanged
    assert build(directory, f"{other_registry.host}/other/built:1", builder="direct").unchanged
    assert copied(str(done.image), tmp_path / "layout") == done.image.digest


def test_image_is_mirrored_there_and_back(
    image: Reference, other_registry: Registry, plain_registry: Registry, tmp_path: Path
) -> None:
    """Zot finds a blob of another repository by itself, so what was copied says nothing."""
    there = mirror(str(image), f"{other_registry.host}/other/mirrored:1")
    back = mirror(str(there.image), f"{plain_registry.host}/other/back:1")

    assert there.image.digest == back.image.digest == image.digest
    assert copied(f"{other_registry.host}/other/mirrored:1", tmp_path / "there") == image.digest
    assert copied(f"{plain_registry.host}/other/back:1", tmp_path / "back") == image.digest
    assert mirror(str(image), f"{other_registry.host}/other/mirrored:1").copied_bytes == 0


def test_image_of_skopeo_is_mirrored_from_there(
    image: Reference, other_registry: Registry, plain_registry: Registry
) -> None:
    """The registry is read from, whether or not modelcar can write there."""
    source = f"{other_registry.host}/other/by-skopeo:1"
    tls = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    command = ["skopeo", "copy", "-q", "--all", "--preserve-digests", *tls, f"docker://{image}", f"docker://{source}"]
    subprocess.run(command, check=True, timeout=600)

    assert mirror(source, f"{plain_registry.host}/other/from-skopeo:1").image.digest == image.digest


def test_upload_that_broke_is_ended(published: Hub, other_registry: Registry, waits: list[float]) -> None:
    with FaultProxy(other_registry.host) as proxy:
        proxy.reset(after=500_000, method="PATCH", times=2)

        done = stream(MODEL, f"{proxy.host}/other/broken:1")

    assert "1" in tags(other_registry, "other/broken")
    assert done.image.digest == stream(MODEL, f"{other_registry.host}/other/whole:1").image.digest
    assert waits


@pytest.fixture
def large(hub: Hub, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Give a model with one large file; a registry has time to put away what it got before a connection broke."""
    files = tiny_llama(tmp_path / "large", shards=1, bytes_per_shard=LARGE_BYTES, consolidated=False)
    hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setattr("modelcar.oci.transfer.pause_before", lambda *_: 0.5)
    return hub


def continued(proxy: FaultProxy) -> dict[int, int]:
    """Bytes of uploads that went on, by the offset where they did."""
    parts = [request for request in proxy.requests if request.method == "PATCH" and request.content_range]
    return {int(part.content_range.partition("-")[0]): part.received for part in parts}


def begun(proxy: FaultProxy) -> int:
    """Requests that announced the large layer from its first byte on."""
    return sum(request.length >= LARGE_BYTES for request in proxy.requests if request.method != "GET")


@pytest.mark.parametrize("way", ["stream", "build"])
def test_upload_that_broke_goes_on_at_its_offset(way: str, large: Hub, distribution: Registry, tmp_path: Path) -> None:
    directory = download(MODEL, tmp_path / "claim").directory

    def make_image(target: str) -> Reference:
        for note in directory.rglob("*digests*"):
            note.unlink()
        made = stream(MODEL, target) if way == "stream" else build(directory, target, builder="direct")
        return made.image

    with FaultProxy(distribution.host) as proxy:
        proxy.reset(after=BREAK_AFTER, method="PATCH", least=LARGE_BYTES)

        image = make_image(f"{proxy.host}/resumed/broken-{way}:1")

        assert continued(proxy)[BREAK_AFTER] < LARGE_BYTES - BREAK_AFTER + MIB
        assert begun(proxy) == 1
    broken = f"{distribution.host}/resumed/broken-{way}:1"
    assert copied(broken, tmp_path / "layout") == image.digest


def test_source_is_read_again_only_from_the_offset(
    large: Hub, distribution: Registry, plain_registry: Registry
) -> None:
    """One of two targets breaks off: the other is sent nothing again."""
    with FaultProxy(distribution.host) as broken, FaultProxy(plain_registry.host) as whole:
        broken.reset(after=BREAK_AFTER, method="PATCH", least=LARGE_BYTES)

        done = stream(MODEL, f"{whole.host}/resumed/target:1", mirror=f"{broken.host}/resumed/mirror:1")

        assert done.mirrored is not None
        assert done.image.digest == done.mirrored.digest
        assert BREAK_AFTER in continued(broken)
        assert begun(broken) == begun(whole) == 1
        assert not continued(whole)
    ranges = [request.range for request in large.requests if request.path.endswith(".safetensors") and request.range]
    assert max(int(asked.removeprefix("bytes=").partition("-")[0]) for asked in ranges) > BREAK_AFTER - MIB


def test_copy_that_broke_on_either_side_goes_on_at_its_offset(
    large: Hub, distribution: Registry, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcar.retries.pause_before", lambda *_: 0.0)
    image = stream(MODEL, f"{plain_registry.host}/resumed/source:1").image
    path = f"/{image.repository}/blobs/sha256:"
    with FaultProxy(plain_registry.host) as source, FaultProxy(distribution.host) as target:
        source.reset_answer(after=BREAK_AFTER // 2, method="GET", path=path, times=3)
        target.reset(after=BREAK_AFTER, method="PATCH", least=LARGE_BYTES)

        done = mirror(f"{source.host}/resumed/source@{image.digest}", f"{target.host}/resumed/copy:1")

        assert done.image.digest == image.digest
        assert BREAK_AFTER in continued(target)
        assert begun(target) == 1
        asked = [int(request.range.removeprefix("bytes=")[:-1]) for request in source.requests if request.range]
        assert any(offset > MIB for offset in asked)


def test_upload_whose_last_answer_was_lost_is_complete(large: Hub, distribution: Registry) -> None:
    with FaultProxy(distribution.host) as proxy:
        proxy.reset(after=1 << 30, method="PATCH", least=LARGE_BYTES)

        stream(MODEL, f"{proxy.host}/resumed/unheard:1")

        # All of it is there, or its end is sent again where the registry is asked while it still writes.
        assert sum(continued(proxy).values()) < LARGE_BYTES
        assert begun(proxy) == 1


def test_registry_that_still_writes_is_asked_again(large: Hub, distribution: Registry) -> None:
    with FaultProxy(distribution.host) as proxy:
        proxy.reset(after=BREAK_AFTER, method="PATCH", least=LARGE_BYTES)
        proxy.understate_range(5 * MIB)

        stream(MODEL, f"{proxy.host}/resumed/still-writing:1")

        assert min(continued(proxy)) > BREAK_AFTER - 5 * MIB


def test_quays_range_is_understood(large: Hub, distribution: Registry) -> None:
    with FaultProxy(distribution.host) as proxy:
        proxy.reset(after=BREAK_AFTER, method="PATCH", least=LARGE_BYTES)
        proxy.overstate_range(unit="bytes=")

        stream(MODEL, f"{proxy.host}/resumed/as-quay:1")

        assert list(continued(proxy)) == [BREAK_AFTER]


def test_upload_that_does_not_go_on_where_it_is_said_to_is_begun_anew(large: Hub, distribution: Registry) -> None:
    with FaultProxy(distribution.host) as proxy:
        proxy.reset(after=BREAK_AFTER, method="PATCH", least=LARGE_BYTES)
        proxy.overstate_range()

        stream(MODEL, f"{proxy.host}/resumed/overstated:1")

        # A registry that is asked while it still writes names less than was sent, one byte too many all the same.
        assert continued(proxy)
        assert begun(proxy) == 2
