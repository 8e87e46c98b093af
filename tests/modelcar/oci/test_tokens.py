"""Bearer tokens of a registry: bought with a password or an identity token, renewed while a long step runs."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.errors import CredentialsError
from modelcar.oci import spec
from modelcar.oci.body import CHUNK_BYTES
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.download import Downloaded
from tests.conftest import LogIn
from tests.parts.fault_proxy import FaultProxy
from tests.parts.registries import (
    BasicAuthRegistry,
    TokenAuthRegistry,
    registry_with_basic_auth,
    registry_with_token_auth,
)
from tests.parts.steps import build

CHUNK = b"weights!" * (CHUNK_BYTES // 8)


@pytest.fixture
def by_identity(token_registry: TokenAuthRegistry) -> TokenAuthRegistry:
    """Give the registry with tokens to somebody who has an identity token for it and no password."""
    return replace(token_registry, by_identity_token=True, password=None)


def upload(host: str, parts: list[Callable[[], object]], repository: str = "tokens/blob") -> str:
    """Send a blob in several requests, with something done before each of them; gives its digest."""
    with Repository(Reference.parse(f"{host}/{repository}:1"), push=True) as there:
        started = there.start_upload()
        for before in parts:
            before()
            started.send([CHUNK], len(CHUNK))
        digest = spec.digest_of(CHUNK * len(parts))
        started.finish(digest)
        assert there.has_blob(digest)
    return digest


def nothing() -> None:
    pass


def test_identity_token_buys_bearer_tokens(
    by_identity: TokenAuthRegistry, downloaded: Downloaded, log_in: LogIn
) -> None:
    log_in(by_identity)
    assert by_identity.token_server
    by_identity.token_server.forms.clear()

    built = build(downloaded.directory, f"{by_identity.host}/tokens/identity:1", builder="direct")

    assert built.sent_bytes > 0
    form = by_identity.token_server.forms[0]
    assert form == {
        "grant_type": "refresh_token",
        "service": "test registry",
        "client_id": "modelcar",
        "scope": "repository:tokens/identity:pull,push",
        "refresh_token": by_identity.token_server.identity_token,
    }


def test_identity_token_that_is_refused_is_named_and_not_shown(
    by_identity: TokenAuthRegistry, log_in: LogIn, waits: list[float]
) -> None:
    assert by_identity.token_server
    authfile = log_in(by_identity)
    old = by_identity.token_server.identity_token
    authfile.write_text(authfile.read_text().replace(old, "ended"))

    with pytest.raises(CredentialsError, match="refused the identity token from") as raised:
        upload(by_identity.host, [nothing])

    assert str(authfile) in str(raised.value)
    assert "podman login" in str(raised.value)
    assert "ended" not in str(raised.value)
    assert waits == []


@pytest.mark.parametrize("by_identity_token", [False, True])
def test_tokens_of_seconds_are_renewed_in_the_middle(by_identity_token: bool, log_in: LogIn, tmp_path: Path) -> None:
    """A token that is about to end is not sent; each request of this upload takes a new one."""
    with registry_with_token_auth(tmp_path / "registry", token_lifetime=2) as registry:
        log_in(replace(registry, by_identity_token=by_identity_token))
        pause = threading.Event()

        upload(registry.host, [nothing, lambda: pause.wait(2.5), lambda: pause.wait(2.5)])

        assert registry.tokens_issued >= 3
        assert 401 not in [request.status for request in registry.requests() if "/blobs/" in request.path]


@pytest.mark.parametrize("by_identity_token", [False, True])
def test_auth_file_that_rotates_in_the_middle_is_read_again(
    by_identity_token: bool, log_in: LogIn, tmp_path: Path
) -> None:
    with registry_with_token_auth(tmp_path / "registry", token_lifetime=2) as registry:
        pause = threading.Event()

        def rotated() -> None:
            registry.rotate()
            log_in(replace(registry, by_identity_token=by_identity_token))
            pause.wait(2.5)

        log_in(replace(registry, by_identity_token=by_identity_token))

        upload(registry.host, [nothing, rotated, nothing])


def test_password_that_rotates_in_the_middle_is_read_again(log_in: LogIn, tmp_path: Path) -> None:
    with registry_with_basic_auth(tmp_path / "registry") as registry:

        def rotated() -> None:
            registry.rotate()
            log_in(registry)

        log_in(registry)

        upload(registry.host, [nothing, rotated, rotated])


def test_service_account_token_that_rotates_in_the_middle_is_read_again(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenShift's registry takes the pod's token as a password; the kubelet replaces the file while the pod runs."""
    with registry_with_basic_auth(tmp_path / "registry") as registry:
        account = isolated / "serviceaccount"
        account.mkdir()
        monkeypatch.setattr(pod, "OPENSHIFT_REGISTRY", "127.0.0.1")
        monkeypatch.setattr("tests.parts.registries.USERNAME", "serviceaccount")

        def rotated() -> None:
            registry.rotate()
            (account / "token").write_text(f"{registry.password}\n")

        rotated()

        upload(registry.host, [nothing, rotated, rotated])


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "HEAD"])
def test_login_that_ends_in_the_middle_is_renewed(
    method: str, basic_registry: BasicAuthRegistry, downloaded: Downloaded, log_in: LogIn, waits: list[float]
) -> None:
    with FaultProxy(basic_registry.host) as proxy:
        log_in(replace(basic_registry, host=proxy.host))
        proxy.status(401, method=method, path="/blobs/", skip=1)

        name = f"tokens/ended-{method.lower()}"
        assert build(downloaded.directory, f"{proxy.host}/{name}:1", builder="direct").image.digest


def test_a_blob_of_another_repository_is_mounted_with_a_token_for_both(
    token_registry: TokenAuthRegistry, by_identity: TokenAuthRegistry, log_in: LogIn
) -> None:
    for login, name in ((token_registry, "by-password"), (by_identity, "by-identity")):
        log_in(login)
        digest = upload(login.host, [nothing], "mounted/source")
        with Repository(Reference.parse(f"{login.host}/mounted/{name}:1"), push=True) as target:
            assert target.mount_blob(digest, "mounted/source")
            assert target.has_blob(digest)


def test_a_registry_that_does_not_mount_is_no_error(token_registry: TokenAuthRegistry, log_in: LogIn) -> None:
    log_in(token_registry)
    with Repository(Reference.parse(f"{token_registry.host}/mounted/nothing:1"), push=True) as target:
        assert not target.mount_blob(f"sha256:{'0' * 64}", "mounted/empty")
        assert not target.mount_blob("sha256:no-digest", "mounted/empty")
