"""What other clients make of what we pushed: oras, crane, cosign and skopeo, at registries with and without a list of
referrers.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelcar.oci.reference import Reference
from modelcar.steps.mirror import mirror
from tests.parts.cosign import cosign
from tests.parts.crane import crane_program
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.oras import oras
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.skopeo.program import skopeo
from tests.parts.steps import stream
from tests.parts.zot import zot_registry

MODEL = "example/tiny-llama"
HTTP = "--plain-http"


@pytest.fixture(scope="module")
def zot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with zot_registry(tmp_path_factory.mktemp("zot")) as registry:
        yield registry


@pytest.fixture(params=["docker-registry", "zot"])
def registry(request: pytest.FixtureRequest, plain_registry: Registry, zot: Registry) -> Registry:
    return zot if request.param == "zot" else plain_registry


@pytest.fixture
def image(hub: Hub, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reference:
    """Give an image that is signed."""
    private, _ = write_keys(tmp_path)
    monkeypatch.setenv("MODELCAR_SIGNING_KEY", str(private))
    files = tiny_llama(tmp_path / "model", shards=1, consolidated=False)
    hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
    return stream(MODEL, f"{registry.host}/clients/model:1").image


def attached(folder: Path, image: object) -> dict[str, str]:
    """Return the types of what oras finds attached to an image, by the digests."""
    found = json.loads(oras(folder, "discover", HTTP, "--format", "json", str(image)))
    return {one["digest"]: one["artifactType"] for one in found.get("referrers") or found.get("manifests") or []}


def test_oras_finds_what_is_attached(image: Reference, registry: Registry, zot: Registry, tmp_path: Path) -> None:
    found = attached(tmp_path, image)

    assert len(found) > 1
    # This zot is older than the field for an artifact's type, and lists the config's instead.
    assert registry is zot or "application/vnd.in-toto+json" in found.values()


def test_oras_copies_all_of_it(image: Reference, plain_registry: Registry, tmp_path: Path) -> None:
    """And what oras copied is mirrored on by us."""
    there = f"{plain_registry.host}/clients/by-oras:1"
    oras(tmp_path, "copy", "--recursive", "--from-plain-http", "--to-plain-http", str(image), there)

    onward = mirror(there, f"{plain_registry.host}/clients/onward:1").image

    assert onward.digest == image.digest
    # This zot's own list leaves some out, which are in the list that we keep there under a tag.
    assert attached(tmp_path, onward).keys() >= attached(tmp_path, image).keys()
    assert len(attached(tmp_path, onward)) > 4


def test_crane_pulls_it_whole(image: Reference, tmp_path: Path) -> None:
    """It reads every layer, and holds each against its digest."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [crane_program(), "pull", "--insecure", "--format", "oci", str(image), tmp_path / "layout"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "layout" / "blobs" / image.digest.replace(":", "/")).exists()


@pytest.mark.parametrize("key", ["signing", "other"])
def test_cosign_verifies_the_signature(key: str, image: Reference, tmp_path: Path) -> None:
    write_keys(tmp_path, "other")
    options = ["--insecure-ignore-tlog=true", "--allow-http-registry", "--private-infrastructure=true"]
    done = cosign(tmp_path, "verify", "--key", str(tmp_path / f"{key}.pub"), *options, str(image))

    assert (done.returncode == 0) is (key == "signing"), done.stderr


def test_skopeo_lists_the_tag(image: Reference) -> None:
    listed = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{image.registry}/{image.repository}"))

    assert "1" in listed["Tags"]
    assert not [tag for tag in listed["Tags"] if tag.endswith(".partial")]
