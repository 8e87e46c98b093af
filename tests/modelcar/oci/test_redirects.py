"""Where a registry may send us, and with what."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from modelcar.errors import CredentialsError, RegistryError
from modelcar.oci import addresses, session
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
    with as_if_public(repository, monkeypatch), pytest.raises(RegistryError, match="an address within this network"):
        repository.small_blob(DIGEST)
    assert storage[1] == []


def test_its_storage_may_be_within_the_network_if_somebody_says_so(
    repository: Repository, storage: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELCAR_PRIVATE_STORAGE", f"other.example, {repository.reference.registry}")
    with Repository(repository.reference) as allowed, as_if_public(allowed, monkeypatch):
        assert allowed.small_blob(DIGEST) == BLOB
    assert storage[1] == [None]


EXPIRED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Request has expired</Message><Expires>2026-01-01T00:00:00Z</Expires></Error>"""


class Refusing(Storage):
    """A storage that refuses what it is asked for, as S3 does where a link's time is over."""

    status: int
    headers_sent: dict[str, str]
    refusals: int

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization"))
        if len(self.seen) > self.refusals:
            self.seen.pop()
            return super().do_GET()
        self.send_response(self.status)
        for name, value in {"Content-Length": str(len(EXPIRED)), **self.headers_sent}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(EXPIRED)

    do_HEAD = do_GET


CHALLENGES = ({}, {"WWW-Authenticate": 'Basic realm="storage"'}, {"WWW-Authenticate": 'Bearer realm="{0}/steal"'})


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelcar.oci import credentials

    monkeypatch.setattr(credentials, "find", lambda *_: credentials.Credentials("user", "secret"))


@contextmanager
def refusing(status: int, sent: dict[str, str], refusals: int) -> Iterator[tuple[Repository, list[str | None]]]:
    """Give a registry whose storage, another host, refuses so often."""
    handler = type("Handler", (Refusing,), {"seen": [], "status": status, "refusals": refusals})
    with serving(handler) as host:
        elsewhere = f"http://{host.replace('127.0.0.1', 'localhost')}"
        handler.headers_sent = {
            "Content-Type": "application/xml",
            **{name: value.format(elsewhere) for name, value in sent.items()},
        }
        with (
            serving(type("Handler", (Sender,), {"elsewhere": elsewhere})) as registry,
            Repository(Reference.parse(f"{registry}/team/model:1")) as opened,
        ):
            yield opened, handler.seen


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("sent", CHALLENGES)
def test_refusal_of_a_storage_is_not_one_of_our_login(
    sent: dict[str, str], status: int, logged_in: None, waits: list[float]
) -> None:
    with refusing(status, sent, 1000) as (repository, seen), pytest.raises(RegistryError) as raised:
        repository.small_blob(DIGEST)

    assert not isinstance(raised.value, CredentialsError)
    assert f"where {repository.reference.registry} sent us, answered {status} to GET /stored: Request has expired" in (
        str(raised.value)
    )
    # Also its token service, if it names one, sees no password.
    assert set(seen) == {None}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("sent", CHALLENGES)
def test_link_that_ended_is_asked_for_anew(
    sent: dict[str, str], status: int, logged_in: None, waits: list[float]
) -> None:
    with refusing(status, sent, 2) as (repository, seen):
        assert repository.small_blob(DIGEST) == BLOB

    assert set(seen) == {None}


@contextmanager
def as_if_public(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the first connection, the registry's, seem to be one to the internet."""
    seen: list[str] = []

    def is_within(address: str) -> bool:
        seen.append(address)
        return len(seen) > 1

    monkeypatch.setattr(addresses, "is_within", is_within)
    yield


@pytest.mark.parametrize(
    ("address", "within"),
    [
        *(("127.0.0.1", True), ("10.1.2.3", True), ("169.254.169.254", True), ("::1", True), ("8.8.8.8", False)),
        *(("::ffff:10.0.0.1", True), ("fe80::1%eth0", True), ("100.64.0.1", True), ("2606:4700::1111", False)),
        # Other forms of 169.254.169.254 and 10.0.0.1, and what leads to no single host on the internet.
        *(("64:ff9b::a9fe:a9fe", True), ("2002:a9fe:a9fe::1", True), ("::10.0.0.1", True), ("64:ff9b:1::1", True)),
        *(("64:ff9b::808:808", False), ("2002:808:808::1", False), ("fec0::1", True), ("ff02::1", True)),
        *(("224.0.0.1", True), ("0.0.0.0", True), ("::", True), ("255.255.255.255", True)),
    ],
)
def test_addresses_within_are_known(address: str, within: bool) -> None:
    assert addresses.is_within(address) is within


class TestGuard:
    """Where a registry's connections may lead."""

    def guard(self, *, allowed: bool = False) -> addresses.Guard:
        return addresses.Guard("registry.invalid", "registry.invalid", allowed=allowed)

    def test_what_is_within_may_lead_anywhere(self) -> None:
        guard = self.guard()
        guard.check("registry.invalid", "10.0.0.1")
        guard.check("storage.invalid", "10.0.0.2")
        guard.check("storage.invalid", "8.8.8.8")

    def test_a_name_that_moves_into_the_network_is_not_followed(self) -> None:
        guard = self.guard()
        guard.check("registry.invalid", "8.8.8.8")
        with pytest.raises(RegistryError, match="an address within this network"):
            guard.check("registry.invalid", "10.0.0.1")

    def test_one_address_within_of_several_does_not_count(self) -> None:
        """The name has both; the connection shows which one it was."""
        guard = self.guard()
        guard.check("registry.invalid", "10.0.0.1")
        guard.check("registry.invalid", "8.8.8.8")
        with pytest.raises(RegistryError, match="an address within this network"):
            guard.check("169.254.169.254", "169.254.169.254")

    def test_nothing_is_known_of_a_registry_behind_a_proxy(self) -> None:
        with pytest.raises(RegistryError, match="an address within this network"):
            self.guard().check("storage.invalid", "10.0.0.1")
        with pytest.raises(RegistryError, match="an address within this network"):
            self.guard().check_behind_proxy("127.0.0.1")

    def test_what_was_allowed_is_followed(self) -> None:
        guard = self.guard(allowed=True)
        guard.check("registry.invalid", "8.8.8.8")
        guard.check("storage.invalid", "10.0.0.1")


@pytest.mark.parametrize(
    ("origin", "url", "expected"),
    [
        ("https://r.example/v2/", "http://r.example/x?a=b", "https://r.example/x?a=b"),
        ("https://r.example/v2/", "http://R.example:80/x", "https://r.example/x"),
        ("https://r.example:8443/v2/", "http://r.example/x", "https://r.example:8443/x"),
        ("https://r.example:8443/v2/", "http://r.example:8443/x", "https://r.example:8443/x"),
        ("http://r.example/v2/", "http://other.example/x", "http://other.example/x"),
        ("https://r.example/v2/", "https://other.example/x", "https://other.example/x"),
    ],
)
def test_tls_is_kept_on_the_same_host(origin: str, url: str, expected: str) -> None:
    assert session.with_tls(origin, url) == expected


def test_tls_is_not_left_for_another_host() -> None:
    with pytest.raises(RegistryError, match=r"from TLS to plain HTTP at other\.example; not followed"):
        session.with_tls("https://r.example/v2/", "http://other.example/x")
