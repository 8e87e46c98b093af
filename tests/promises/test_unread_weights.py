"""A model is signed by what was published: no byte of its weights is read for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar.attestation import bundle, model_signing
from modelcar.attestation.keys import PublicKey, SigningKey
from modelcar.attestation.signing import is_signed
from modelcar.oci import referrers
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from tests.parts.hub import Hub
from tests.parts.huge_model import SHARD_BYTES, SHARDS, SMALL, HugeImage, publish
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys

MODEL = "example/huge"


@pytest.fixture
def repository(plain_registry: Registry) -> Iterator[Repository]:
    with Repository(Reference.parse(f"{plain_registry.host}/unread/huge:1"), push=True) as opened:
        yield opened


def test_80_gb_are_signed_and_no_weight_is_read(
    hub: Hub, plain_registry: Registry, repository: Repository, tmp_path: Path
) -> None:
    private, public = write_keys(tmp_path)
    publish(hub, MODEL)
    huge = HugeImage.of(MODEL, repository)
    assert huge.image.snapshot.size > 80_000_000_000
    hub.requests.clear()
    before = len(plain_registry.requests())

    digest = huge.sign(repository, SigningKey.read(private, b""))

    assert not list(hub.requests)
    later = plain_registry.requests()[before:]
    read = [one for one in later if one.method == "GET" and "/blobs/" in one.path]
    weights = {name for name in huge.digests.values() if not repository.has_blob(name)}
    assert len(weights) == SHARDS
    assert not [one for one in later if one.path.rpartition("/")[2] in weights]
    assert sum(one.size for one in read) < 100_000
    assert is_signed(repository, digest, PublicKey.read(public))
    assert signed_files(repository, digest, PublicKey.read(public)).keys() == {
        *SMALL,
        *(file.path for file in huge.image.snapshot.files if file.size == SHARD_BYTES),
    }


def signed_files(repository: Repository, digest: str, key: PublicKey) -> dict[str, str]:
    """Gives what the signature of the model's files names."""
    (attached,) = referrers.of_type(repository, digest, model_signing.MEDIA_TYPE)
    (layer,) = attached.manifest().layers
    opened = bundle.opened(repository.small_blob(layer.digest), key)
    assert opened is not None
    assert opened.by_us
    return model_signing.signed_files(opened.payload) or {}


def test_signing_again_reads_nothing(
    hub: Hub, plain_registry: Registry, repository: Repository, tmp_path: Path
) -> None:
    private, _ = write_keys(tmp_path)
    publish(hub, MODEL)
    huge, key = HugeImage.of(MODEL, repository), SigningKey.read(private, b"")
    huge.sign(repository, key)
    before = len(plain_registry.requests())

    huge.sign(repository, key)

    later = plain_registry.requests()[before:]
    layers = set(huge.digests.values())
    assert not [one for one in later if one.path.rpartition("/")[2] in layers]
    assert not [one for one in later if one.method in ("PUT", "POST", "PATCH")]
