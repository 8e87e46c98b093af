"""A registry of another make than the others' docker-registry: that of go-containerregistry."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from modelcar.build import build
from modelcar.download import Downloaded, download
from modelcar.mirror import mirror
from modelcar.oci.reference import Reference
from modelcar.stream import stream
from tests.parts.crane import crane_program, crane_registry
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry

MODEL = "example/tiny-llama"
SHARD = "model-00002-of-00002.safetensors"


@pytest.fixture(scope="module")
def other_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with crane_registry(tmp_path_factory.mktemp("crane")) as registry:
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
    answer = requests.get(f"{registry.url}/v2/{repository}/tags/list", timeout=9)
    return list(answer.json().get("tags") or []) if answer.ok else []


def copied(image: str, folder: Path) -> None:
    """All of an image, as skopeo copies it into a layout; it checks every digest."""
    command = ["skopeo", "copy", "-q", "--all", "--src-tls-verify=false", f"docker://{image}", f"oci:{folder}:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_crane_itself_sees_the_registry(other_registry: Registry) -> None:
    command = [str(crane_program()), "catalog", other_registry.host]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def test_streamed_image_is_the_one_that_docker_registry_has(
    published: Hub, other_registry: Registry, plain_registry: Registry, tmp_path: Path
) -> None:
    there = stream(MODEL, f"{plain_registry.host}/other/streamed:1").image
    published.requests.clear()

    done = stream(MODEL, f"{other_registry.host}/other/streamed:1")

    assert done.image.digest == there.digest
    assert "1" in tags(other_registry, "other/streamed")
    copied(str(done.image), tmp_path / "layout")


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
    assert done.sent_bytes > 0
    assert build(directory, f"{other_registry.host}/other/built:1", builder="direct").unchanged
    copied(str(done.image), tmp_path / "layout")


def test_image_is_mirrored_there_and_back(
    image: Reference, other_registry: Registry, plain_registry: Registry, tmp_path: Path
) -> None:
    there = mirror(str(image), f"{other_registry.host}/other/mirrored:1")
    back = mirror(str(there.image), f"{plain_registry.host}/other/back:1")

    assert there.image.digest == back.image.digest == image.digest
    assert there.copied_bytes > 0
    copied(f"{other_registry.host}/other/mirrored:1", tmp_path / "there")
    copied(f"{plain_registry.host}/other/back:1", tmp_path / "back")
    assert mirror(str(image), f"{other_registry.host}/other/mirrored:1").copied_bytes == 0


def test_image_of_skopeo_is_mirrored_from_there(
    image: Reference, other_registry: Registry, plain_registry: Registry
) -> None:
    """The registry is read from, whether or not modelcar can write there."""
    source = f"{other_registry.host}/other/by-skopeo:1"
    tls = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    command = ["skopeo", "copy", "-q", "--all", "--preserve-digests", *tls, f"docker://{image}", f"docker://{source}"]
    subprocess.run(command, check=True, timeout=60)

    assert mirror(source, f"{plain_registry.host}/other/from-skopeo:1").image.digest == image.digest


def test_upload_that_broke_is_begun_anew(published: Hub, other_registry: Registry, waits: list[float]) -> None:
    """This registry cannot be asked where an upload is."""
    with FaultProxy(other_registry.host) as proxy:
        proxy.reset(after=500_000, method="PATCH", times=2)

        stream(MODEL, f"{proxy.host}/other/anew:1")

    assert "1" in tags(other_registry, "other/anew")
    assert waits
