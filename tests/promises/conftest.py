"""A pair of keys, and places of its own, for tests of what strangers can do."""

from pathlib import Path

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from tests.parts.forged import Place, digest_of
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give the files of a private and a public key."""
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def with_key(keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> PublicKey:
    """Sign with the private key, and give the public one."""
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))
    return PublicKey.read(keys[1])


@pytest.fixture
def place(plain_registry: Registry, request: pytest.FixtureRequest) -> Place:
    """Give a repository of the test's own."""
    return Place(plain_registry.host, f"promises/{digest_of(request.node.nodeid.encode())[7:23]}")
