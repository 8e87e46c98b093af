"""Images that others made with digests of SHA-512, or with indexes that name no platform."""

import hashlib
import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.mirror import mirror
from tests.parts.bent_registry import BentRegistry
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.skopeo.program import run_skopeo
from tests.parts.steps import stream

MODEL = "example/tiny-llama"
TLS = ["--src-tls-verify=false", "--dest-tls-verify=false"]


@pytest.fixture
def published(hub: Hub, tmp_path: Path) -> Hub:
    files = tiny_llama(tmp_path / "model", shards=1, consolidated=False)
    hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
    return hub


def descriptor(content: bytes, kind: str, algorithm: str) -> dict[str, object]:
    digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    return {"mediaType": kind, "digest": digest, "size": len(content)}


def put_blob(registry: Registry, repository: str, content: bytes, digest: object) -> None:
    url = f"{registry.url}/v2/{repository}/blobs/uploads/"
    place = urljoin(url, requests.post(url, timeout=60).headers["Location"])
    answer = requests.put(place, params={"digest": str(digest)}, data=content, timeout=60)
    assert answer.status_code == 201, answer.text


def put_manifest(registry: Registry, repository: str, version: str, document: dict[str, object]) -> bytes:
    content = json.dumps(document).encode()
    headers = {"Content-Type": str(document["mediaType"])}
    url = f"{registry.url}/v2/{repository}/manifests/{version or spec.digest_of(content)}"
    answer = requests.put(url, data=content, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    return content


def put_image(registry: Registry, repository: str, *, version: str = "", algorithm: str = "sha256") -> bytes:
    """Write an image with a shell's place in it; return its manifest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("bin/sh")
        entry.size, entry.mode = 3, 0o755
        tar.addfile(entry, io.BytesIO(b"#!\n"))
    layer = packed.getvalue()
    diff = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    rootfs = {"type": "layers", "diff_ids": [diff]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    described = [descriptor(config, spec.CONFIG, algorithm), descriptor(layer, spec.LAYER, algorithm)]
    for content, one in zip((config, layer), described, strict=True):
        put_blob(registry, repository, content, one["digest"])
    document = {"schemaVersion": 2, "mediaType": spec.MANIFEST, "config": described[0], "layers": described[1:]}
    return put_manifest(registry, repository, version, document)


def put_index(registry: Registry, repository: str, *entries: dict[str, object]) -> bytes:
    document = {"schemaVersion": 2, "mediaType": spec.INDEX, "manifests": list(entries)}
    return put_manifest(registry, repository, "1", document)


def read_layers(registry: Registry, repository: str, version: str) -> list[spec.Descriptor]:
    with Repository(Reference.parse(f"{registry.host}/{repository}:1")) as opened:
        top = opened.manifest(version)
        return (opened.manifest(top.index().manifests[0].digest) if top.is_index else top).manifest().layers


class TestSha512:
    """Blobs and manifests that are named by SHA-512."""

    def test_image_is_mirrored(self, plain_registry: Registry) -> None:
        """Debian's skopeo copies none of these."""
        source, ours = (f"{plain_registry.host}/sha512/{name}:1" for name in ("source", "ours"))
        content = put_image(plain_registry, "sha512/source", version="1", algorithm="sha512")

        done = mirror(source, ours)

        assert done.image.digest == spec.digest_of(content)
        assert all(layer.digest.startswith("sha512:") for layer in read_layers(plain_registry, "sha512/ours", "1"))

    def test_other_bytes_are_seen(self, plain_registry: Registry) -> None:
        put_image(plain_registry, "sha512/damaged", version="1", algorithm="sha512")
        (layer,) = read_layers(plain_registry, "sha512/damaged", "1")
        with BentRegistry(plain_registry.host) as bent:
            bent.corrupt_answer(at=700, method="GET", path=layer.digest, times=None)
            done = modelcar("verify", f"{bent.host}/sha512/damaged:1", "--offline")

        assert done.returncode == 1

    def test_image_may_be_named_by_it(self, plain_registry: Registry) -> None:
        """The registry that is written to need not know such names."""
        content = put_image(plain_registry, "sha512/named", version="1")
        digest = f"sha512:{hashlib.sha512(content).hexdigest()}"
        with BentRegistry(plain_registry.host) as bent:
            bent.lead(rf"/manifests/{digest}", f"/v2/sha512/named/manifests/{spec.digest_of(content)}")
            source, ours = f"{bent.host}/sha512/named@{digest}", f"{plain_registry.host}/sha512/from-name:1"
            done = mirror(source, ours)

        assert done.image.digest == spec.digest_of(content)

    def test_base_image(self, published: Hub, plain_registry: Registry) -> None:
        put_image(plain_registry, "sha512/base", version="1", algorithm="sha512")
        base = f"{plain_registry.host}/sha512/base:1"

        done = stream(MODEL, f"{plain_registry.host}/sha512/on-base:1", base_image=base)

        assert done.image.digest
        assert read_layers(plain_registry, "sha512/on-base", "1")[0].digest.startswith("sha512:")
        assert modelcar("verify", f"{plain_registry.host}/sha512/on-base:1").returncode == 0


class TestIndexesWithoutPlatforms:
    """Indexes whose entries name no platform, or only some of them."""

    def image(self, registry: Registry, repository: str) -> dict[str, object]:
        return descriptor(put_image(registry, repository), spec.MANIFEST, "sha256")

    def test_index_is_mirrored(self, plain_registry: Registry) -> None:
        source, ours, bar = (f"{plain_registry.host}/bare/{name}:1" for name in ("source", "ours", "by-skopeo"))
        content = put_index(plain_registry, "bare/source", self.image(plain_registry, "bare/source"))
        images = (f"docker://{source}", f"docker://{bar}")
        assert run_skopeo("copy", "-q", "--all", "--preserve-digests", *TLS, *images).returncode == 0

        assert mirror(source, ours).image.digest == spec.digest_of(content)

    @pytest.mark.parametrize("beside", ["nothing", "attestation"])
    def test_base_image(self, beside: str, published: Hub, plain_registry: Registry) -> None:
        """Buildx writes attestations beside an image, for the platform `unknown`; such an entry tells of no other."""
        repository = f"bare/base-{beside}"
        entries = [self.image(plain_registry, repository)]
        if beside == "attestation":
            unknown = {"architecture": "unknown", "os": "unknown"}
            entries.append({**self.image(plain_registry, repository), "platform": unknown})
        put_index(plain_registry, repository, *entries)

        target = f"{plain_registry.host}/bare/on-{beside}:1"
        stream(MODEL, target, base_image=f"{plain_registry.host}/{repository}:1")

        # The base's one layer, and the model's.
        assert len(read_layers(plain_registry, f"bare/on-{beside}", "1")) > 1
        assert modelcar("verify", target).returncode == 0
