"""Where a registry may send us, and with what."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from modelcar.errors import RegistryError
from modelcar.oci import session
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository

BLOB = b"weights"
DIGEST = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"


class Storage(BaseHTTPRequestHandler):
    """Answers everything with the blob and remembers what credentials it was shown."""

    seen: list[str | None]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(BLOB)))
        self.end_headers()
        self.wfile.write(BLOB)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Sender(Storage):
    """A registry with a password that keeps its blobs elsewhere."""

    elsewhere: str

    def do_GET(self) -> None:
        if "Authorization" not in self.headers:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        elif "/blobs/" in self.path:
            self.send_response(307)
            self.send_header("Location", f"{self.elsewhere}/stored")
        else:
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def storage() -> Iterator[tuple[str, list[str | None]]]:
    handler = type("Handler", (Storage,), {"seen": []})
    with serving(handler) as host:
        yield host, handler.seen


@pytest.fixture
def repository(
    storage: tuple[str, list[str | None]], isolated: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repository]:
    from modelcar.oci import credentials

    monkeypatch.setattr(credentials, "find", lambda *_: credentials.Credentials("user", "secret"))
    with (
        serving(type("Handler", (Sender,), {"elsewhere": f"http://{storage[0]}"})) as host,
        Repository(Reference.parse(f"{host}/team/model:1")) as opened,
    ):
        yield opened


def test_a_redirect_to_storage_is_followed_without_the_credentials(
    repository: Repository, storage: tuple[str, list[str | None]]
) -> None:
    assert repository.small_blob(DIGEST) == BLOB
    assert storage[1] == [None]


def test_a_registry_on_the_internet_cannot_send_us_into_this_network(
    repository: Repository, storage: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = repository.reference.registry.partition(":")[0]
    monkeypatch.setattr(session, "_is_within", lambda host: host != registry)
    server = storage[0].replace("127.0.0.1", "localhost")
    monkeypatch.setattr(session.Session, "get_redirect_target", _renamed(server))
    with pytest.raises(RegistryError, match="redirects us to localhost, an address within this network"):
        repository.small_blob(DIGEST)
    assert storage[1] == []


def _renamed(server: str):  # type: ignore[no-untyped-def]
    """The registry's redirect, to another name of this machine: a host of its own."""
    real = session.Session.get_redirect_target

    def target(self: session.Session, resp):  # type: ignore[no-untyped-def]
        if resp.is_redirect:
            resp.headers["location"] = f"http://{server}/stored"
        return real(self, resp)

    return target


@pytest.mark.parametrize(
    ("host", "within"),
    [("127.0.0.1", True), ("10.1.2.3", True), ("169.254.169.254", True), ("::1", True), ("8.8.8.8", False)],
)
def test_addresses_within_are_known(host: str, within: bool) -> None:
    assert session._is_within(host) is within
