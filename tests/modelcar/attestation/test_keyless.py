"""Signing without a key, as far as no Sigstore runs: what is configured, which token is shown, and to whom.

Its servers and judges are in tests/kubernetes/test_keyless.py.
"""

import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest

from modelcar import pod
from modelcar.attestation import keyless
from modelcar.attestation.identity_token import VARIABLE, identity_token
from modelcar.attestation.keyless import AUTHORITIES, SIGNING_CONFIG, TRUSTED_ROOT, Identity, Keyless
from modelcar.attestation.keys import SigningError, SigningKey
from modelcar.attestation.signer import find_signer
from tests.parts.certificates import CertificateAuthority
from tests.parts.signing_keys import write_keys

ACCOUNT = "system:serviceaccount:team:modelcar-build"
START = {"start": "2026-01-01T00:00:00Z"}


def settings(folder: Path, url: str = "https://sigstore.example.com") -> Path:
    """Write what a Secret for it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {name: [] for name in ("tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities")}
    root = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", **known}
    one = {"url": url, "majorApiVersion": 1, "validFor": START, "operator": "test"}
    servers = {
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": [one],
        "rekorTlogUrls": [one],
        "rekorTlogConfig": {"selector": "ANY"},
        "tsaConfig": {"selector": "ANY"},
    }
    (folder / TRUSTED_ROOT).write_text(json.dumps(root))
    (folder / SIGNING_CONFIG).write_text(json.dumps(servers))
    return folder


def test_the_mounted_secret_decides_how_images_are_signed(tmp_path: Path) -> None:
    assert find_signer() is None

    mounted = settings(pod.SECRETS / "signing")
    assert isinstance(find_signer(), Keyless)

    key, _ = write_keys(tmp_path)
    (mounted / "cosign.key").write_bytes(key.read_bytes())
    with pytest.raises(SigningError, match=r"two ways to sign.*Leave one out: cosign\.key"):
        find_signer()

    (mounted / TRUSTED_ROOT).unlink()
    (mounted / SIGNING_CONFIG).unlink()
    assert isinstance(find_signer(), SigningKey)


def test_a_folder_of_this_machine_does_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pod.SIGSTORE, str(settings(tmp_path / "own")))

    assert isinstance(find_signer(), Keyless)


@pytest.mark.parametrize("name", [TRUSTED_ROOT, SIGNING_CONFIG])
@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"{}", b"[1]", b'{"mediaType": 1}', b"\xff", b"[" * 9999])
def test_settings_that_cannot_be_used_are_named(
    name: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings(tmp_path) / name
    file.unlink() if content is None else file.write_bytes(content)
    monkeypatch.setenv(pod.SIGSTORE, str(tmp_path))

    with pytest.raises(SigningError) as raised:
        find_signer()

    assert name in str(raised.value)
    assert "cosign" in raised.value.remedy
    assert "\n" not in str(raised.value)


PLAIN = ["http://sigstore.example.com", "http://fulcio.svc.example.com", "ftp://fulcio.team.svc", "fulcio", ""]


@pytest.mark.parametrize("url", PLAIN)
def test_no_token_goes_where_it_could_be_read_on_its_way(url: str, tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="readable on its way"):
        Keyless(settings(tmp_path, url))


@pytest.mark.parametrize("url", ["https://a.example.com", "http://fulcio.sigstore.svc", "http://127.0.0.1:5555"])
def test_tls_and_services_of_the_cluster_are_taken(url: str, tmp_path: Path) -> None:
    Keyless(settings(tmp_path, url))


def test_a_root_that_names_no_log_checks_nothing(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="names no authority and log"):
        Identity.read("somebody", "https://issuer.example.com", settings(tmp_path) / TRUSTED_ROOT)


def a_token(subject: object) -> str:
    parts = [{"alg": "none"}, {"sub": subject}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"


def a_good_token() -> str:
    now = int(time.time())
    claims = {"iss": "https://issuer.example.com", "aud": "sigstore", "sub": ACCOUNT, "iat": now, "exp": now + 600}
    return jwt.encode(claims, "x" * 32, algorithm="HS256")


@dataclass
class ApiServer:
    """An API server that answers as it is told to.

    Attributes:
        asked: What it was asked for: paths, tokens and bodies.
        answer: Its next answer's status and body.
    """

    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answer: tuple[int, bytes] = (201, b'{"status": {"token": "for sigstore"}}')


@pytest.fixture
def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """Give the API server of the pod that this is."""
    told = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.asked.append((self.path, self.headers["Authorization"], body))
            status, content = told.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Location", "https://elsewhere.example.com/")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *_: Any) -> None:
            pass

    authority = CertificateAuthority(tmp_path / "authority")
    issued = authority.issue("api-server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert_file, issued.key_file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pod.SERVICE_ACCOUNT.mkdir(parents=True)
    (pod.SERVICE_ACCOUNT / "token").write_text(a_token(ACCOUNT))
    (pod.SERVICE_ACCOUNT / "ca.crt").write_bytes(authority.cert_file.read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY")
    yield told
    server.shutdown()
    server.server_close()


def test_a_pod_asks_for_a_token_of_its_own_account_for_sigstore_alone(api_server: ApiServer) -> None:
    assert identity_token() == "for sigstore"

    ((path, shown, body),) = api_server.asked
    assert path == "/api/v1/namespaces/team/serviceaccounts/modelcar-build/token"
    assert shown == f"Bearer {a_token(ACCOUNT)}"
    assert body["spec"] == {"audiences": ["sigstore"], "expirationSeconds": 600}


def test_servers_are_known_by_the_authority_in_their_settings_alone(
    api_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HTTPS_PROXY")
    other = CertificateAuthority(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.cert_file))
    folder = settings(tmp_path / "own", f"https://127.0.0.1:{os.environ['KUBERNETES_SERVICE_PORT']}")
    token = a_good_token()

    with pytest.raises(SigningError, match="no certificate for signing"):
        _ = Keyless(folder, lambda: token).public
    assert not api_server.asked

    (folder / AUTHORITIES).write_bytes((pod.SERVICE_ACCOUNT / "ca.crt").read_bytes())
    with pytest.raises(SigningError, match="no certificate for signing") as raised:
        _ = Keyless(folder, lambda: token).public
    ((path, shown, _body),) = api_server.asked
    assert (path, shown) == ("/api/v2/signingCert", f"Bearer {token}")
    assert token not in str(raised.value)


def test_a_mounted_token_comes_first_and_a_given_one_before_it(
    api_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod, "IDENTITY_TOKEN", tmp_path / "oidc-token")
    (tmp_path / "oidc-token").write_text("mounted\n")
    assert identity_token() == "mounted"

    monkeypatch.setenv(VARIABLE, "given")
    assert identity_token() == "given"
    assert not api_server.asked


FORBIDDEN = b'{"kind": "Status", "message": "serviceaccounts \\"modelcar-build\\" is forbidden\\u001b[2J"}'
REFUSALS = [(403, FORBIDDEN), (404, b"not json"), (201, b"{}"), (201, b'{"status": {"token": 7}}'), (302, b"{}")]


@pytest.mark.parametrize("answer", [*REFUSALS, (500, b"[]"), (201, b"[" * 9999)], ids=lambda answer: str(answer)[:40])
def test_an_api_server_that_gives_none_is_named(answer: tuple[int, bytes], api_server: ApiServer) -> None:
    api_server.answer = answer

    with pytest.raises(SigningError, match="the API server gives") as raised:
        identity_token()

    assert "oidc-token" in str(raised.value)
    assert a_token(ACCOUNT) not in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_refusal_says_what_to_apply(api_server: ApiServer) -> None:
    api_server.answer = (403, FORBIDDEN)

    with pytest.raises(SigningError, match=r"is forbidden.*manifests/keyless\.example\.yaml for modelcar-build"):
        identity_token()


@pytest.mark.parametrize("subject", ["somebody", "system:node:a:b", 7, None, "system:serviceaccount:a"])
def test_a_token_of_no_service_account_is_shown_to_nobody(subject: object, api_server: ApiServer) -> None:
    (pod.SERVICE_ACCOUNT / "token").write_text(a_token(subject))

    with pytest.raises(SigningError, match="of no service account"):
        identity_token()
    assert not api_server.asked


def test_an_api_server_with_another_certificate_gets_no_token(api_server: ApiServer, tmp_path: Path) -> None:
    other = CertificateAuthority(tmp_path / "other")
    (pod.SERVICE_ACCOUNT / "ca.crt").write_bytes(other.cert_file.read_bytes())

    with pytest.raises(SigningError, match="gives no token"):
        identity_token()
    assert not api_server.asked


def test_without_a_pod_there_is_a_remedy() -> None:
    with pytest.raises(SigningError, match=r"no token that says who signs\. Mount .* SIGSTORE_ID_TOKEN"):
        identity_token()


def test_a_server_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyless, "DEADLINE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as fulcio:
        signer = Keyless(settings(tmp_path, f"http://127.0.0.1:{fulcio.getsockname()[1]}"), a_good_token)

        with pytest.raises(SigningError, match="took longer"):
            _ = signer.public


SIGN = """
import sys
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from modelcar.attestation.keyless import Keyless
from modelcar.records.termination_message import exit_with_one_line
with exit_with_one_line(), ThreadPoolExecutor(1) as pool:
    pool.submit(lambda: Keyless(Path(sys.argv[1])).public).result()
"""


def test_a_run_is_told_to_end_while_the_authority_drips(tmp_path: Path) -> None:
    env = {**os.environ, VARIABLE: a_good_token()}
    with socket.create_server(("127.0.0.1", 0)) as fulcio:
        fulcio.settimeout(keyless.DEADLINE_SECONDS)
        folder = settings(tmp_path, f"http://127.0.0.1:{fulcio.getsockname()[1]}")
        command = [sys.executable, "-c", SIGN, str(folder)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as run:
            connection, _ = fulcio.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 201 Created\r\nX-Long: ")
                run.send_signal(signal.SIGTERM)
                _, said = run.communicate(timeout=keyless.DEADLINE_SECONDS)

    assert run.returncode == 128 + signal.SIGTERM
    assert said.startswith("error: told to end (SIGTERM)")
    assert said.count("\n") == 1
