"""Whom TLS trusts: the authorities are read once, and anew where the environment says something else."""

import os
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from modelcar import tls
from modelcar.errors import CredentialsError, PlanError, RegistryError
from modelcar.hub.reader import Session
from modelcar.oci import trust
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.oci.session import Session as OciSession
from tests.parts.certificates import CertificateAuthority
from tests.parts.registries import TokenAuthRegistry

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def reaches(registry: TokenAuthRegistry) -> bool:
    """Tell whether a registry's certificate is trusted; without a login it answers no more than that."""
    try:
        Repository(Reference.parse(f"{registry.host}/any/model:1")).find_manifest("1")
    except CredentialsError:
        return True
    except RegistryError as error:
        if "no trusted TLS connection" in str(error):
            return False
        raise
    return True


def test_hub_and_registries_share_what_is_trusted_everywhere() -> None:
    assert trust.tls_context("quay.io") is trust.tls_context("registry.example:5000") is tls.shared_context()
    adapter = Session().get_adapter("https://huggingface.co")
    assert isinstance(adapter, tls.TlsAdapter)
    assert adapter.poolmanager.connection_pool_kw["ssl_context"] is tls.shared_context()


def test_what_is_of_one_registry_is_trusted_there_alone(token_registry: TokenAuthRegistry, isolated: Path) -> None:
    assert token_registry.ca_file
    named = isolated / "certs.d" / token_registry.host
    named.mkdir(parents=True)
    (named / "ca.crt").write_bytes(token_registry.ca_file.read_bytes())

    assert trust.tls_context(token_registry.host) is not tls.shared_context()
    assert reaches(token_registry)

    named.rename(named.with_name("registry.example"))
    assert not reaches(token_registry)


def test_a_registry_that_nobody_checks_leaves_the_others_checked() -> None:
    assert trust.tls_context("registry.example", checked=False).verify_mode is ssl.CERT_NONE
    assert trust.tls_context("registry.example").verify_mode is ssl.CERT_REQUIRED
    assert trust.tls_context("registry.example").check_hostname


@pytest.mark.parametrize("variable", BUNDLES)
def test_environment_names_authorities(
    variable: str, token_registry: TokenAuthRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not reaches(token_registry)

    monkeypatch.setenv(variable, str(token_registry.ca_file))
    assert reaches(token_registry)

    # Somebody else's authority comes in its place, in a file of the same name.
    bundle = tmp_path / "bundle.crt"
    assert token_registry.ca_file
    bundle.write_bytes(token_registry.ca_file.read_bytes())
    monkeypatch.setenv(variable, str(bundle))
    assert reaches(token_registry)
    bundle.write_bytes(CertificateAuthority(tmp_path / "other").cert_file.read_bytes())
    os.utime(bundle, (0, 0))
    assert not reaches(token_registry)

    monkeypatch.delenv(variable)
    assert not reaches(token_registry)


@pytest.mark.parametrize("variable", BUNDLES[:2])
@pytest.mark.parametrize("content", ["not PEM", ""])
def test_environment_names_what_is_no_authority(
    content: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.crt"
    if content:
        bundle.write_text(content)
    monkeypatch.setenv(variable, str(bundle))

    with pytest.raises(PlanError, match=rf"{bundle}, which .* names, cannot be used") as raised:
        tls.shared_context()
    assert "unset the variable" in raised.value.remedy
    with pytest.raises(PlanError):
        Session()


class Led(BaseHTTPRequestHandler):
    """Gives a cookie with each answer, sends each request on, and remembers what it was shown."""

    elsewhere: str
    seen: list[tuple[str, str | None, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization"), self.headers.get("Cookie")))
        there = {"/": "/there", "/there": f"{self.elsewhere}/stored"}.get(self.path)
        self.send_response(307 if there else 200)
        self.send_header("Set-Cookie", "sid=1; Path=/; HttpOnly")
        if there:
            self.send_header("Location", there)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def led() -> Iterator[type[Led]]:
    handler: type[Led] = type("Handler", (Led,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        # The other name of this machine is another host.
        handler.elsewhere = f"http://localhost:{server.server_port}"
        yield handler
        server.shutdown()


SESSIONS = {"Hub": Session, "registry": lambda: OciSession("registry.example", private_storage=True)}


@pytest.mark.parametrize("made", SESSIONS)
def test_only_what_is_asked_with_is_sent(made: str, led: type[Led], isolated: Path) -> None:
    """As Harbor has it: a write that brings back its cookie is taken for a browser's, and refused."""
    netrc = isolated / ".netrc"
    netrc.write_text("default login somebody password of-netrc\n")
    netrc.chmod(0o600)
    url = led.elsewhere.replace("localhost", "127.0.0.1")
    with SESSIONS[made]() as session:
        session.get(f"{url}/", headers={"Authorization": "Bearer ours"})
        session.get(f"{url}/there", headers={"Authorization": "Bearer ours"})
        session.get(f"{url}/more")

    assert led.seen == [
        *(("/", "Bearer ours", None), ("/there", "Bearer ours", None), ("/stored", None, None)),
        *(("/there", "Bearer ours", None), ("/stored", None, None)),
        ("/more", None, None),
    ]
