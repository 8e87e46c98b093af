"""A token server after the distribution project's specifications: credentials in, signed bearer tokens out.

A GET takes basic credentials (https://distribution.github.io/distribution/spec/auth/token/), a POST an identity token
(https://distribution.github.io/distribution/spec/auth/oauth/).
"""

import base64
import json
import math
import secrets
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from tests.parts.certificates import Certificate

ISSUER = "test token server"
SERVICE = "test registry"
# docker-registry accepts a token this many seconds after its end.
_LEEWAY = 60


class TokenServer(ThreadingHTTPServer):
    """Grants the one account everything it asks for."""

    daemon_threads = True

    def __init__(self, certificate: Certificate, username: str, password: str, lifetime: float) -> None:
        """Binds a free loopback port.

        Args:
            certificate: Serves TLS and signs the tokens.
            username: The account.
            password: Its password; assign another one to refuse the old one from then on.
            lifetime: Seconds after which the registry refuses a token.
        """
        super().__init__(("127.0.0.1", 0), _TokenRequest)
        self.username = username
        self.password = password
        self.identity_token = secrets.token_urlsafe()
        self.lifetime = lifetime
        self.issued: list[list[str]] = []
        self.forms: list[dict[str, str]] = []
        self._certificate = certificate
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate.cert_file, certificate.key_file)

    @property
    def realm(self) -> str:
        """The address at which clients ask for tokens."""
        return f"https://localhost:{self.server_port}/token"

    def issue(self, scopes: list[str]) -> dict[str, Any]:
        """Issues a token.

        Args:
            scopes: What is granted, each like repository:models/granite:pull,push.

        Returns:
            The token response.
        """
        now = time.time()
        self.issued.append(scopes)
        token = _signed(self._certificate, _claims(self.username, scopes, now, self.lifetime))
        issued_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        return {"token": token, "access_token": token, "expires_in": int(self.lifetime), "issued_at": issued_at}

    def get_request(self) -> tuple[Any, Any]:
        """Accepts a connection; the handshake waits for the request's own thread."""
        connection, address = super().get_request()
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keeps quiet about clients that distrust the certificate or hang up."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(server: TokenServer) -> Iterator[TokenServer]:
    """Serves tokens in a thread until the context is left.

    Args:
        server: The bound server.

    Yields:
        The same server.
    """
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _TokenRequest(BaseHTTPRequestHandler):
    server: TokenServer

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if not self._authorized():
            self._reply(HTTPStatus.UNAUTHORIZED, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong credentials"}]})
        elif query.get("service") != [SERVICE]:
            self._reply(HTTPStatus.BAD_REQUEST, {"errors": [{"code": "UNSUPPORTED", "message": "unknown service"}]})
        else:
            scopes = [scope for value in query.get("scope", []) for scope in value.split()]
            self._reply(HTTPStatus.OK, self.server.issue(scopes))

    def do_POST(self) -> None:
        # skopeo gives several scopes one by one, others as a list.
        form = {name: " ".join(values) for name, values in parse_qs(self._body().decode()).items()}
        self.server.forms.append(form)
        if problem := self._problem(form):
            self._reply(HTTPStatus.BAD_REQUEST, {"error": problem, "error_description": f"{problem} it is"})
        else:
            answer = self.server.issue(form["scope"].split())
            # Only the flow for passwords says `token`.
            del answer["token"]
            self._reply(HTTPStatus.OK, {**answer, "scope": form["scope"]})

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        content = b""
        while length := int(self.rfile.readline(), 16):
            content += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _problem(self, form: dict[str, str]) -> str:
        """What is wrong with a request, in the terms of OAuth2 (RFC 6749, 5.2)."""
        typed = self.headers.get_content_type() == "application/x-www-form-urlencoded"
        if not typed or form.get("service") != SERVICE or not form.get("scope"):
            return "invalid_request"
        if not form.get("client_id"):
            return "invalid_client"
        if form.get("grant_type") != "refresh_token":
            return "unsupported_grant_type"
        given = form.get("refresh_token", "").encode()
        return "" if secrets.compare_digest(given, self.server.identity_token.encode()) else "invalid_grant"

    def _authorized(self) -> bool:
        account = f"{self.server.username}:{self.server.password}".encode()
        expected = f"Basic {base64.b64encode(account).decode()}"
        return secrets.compare_digest(self.headers.get("Authorization", "").encode(), expected.encode())

    def _reply(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _claims(subject: str, scopes: list[str], now: float, lifetime: float) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "sub": subject,
        "aud": SERVICE,
        "exp": math.ceil(now + lifetime) - _LEEWAY,
        "nbf": int(now),
        "iat": int(now),
        "jti": secrets.token_hex(8),
        "access": [_access(scope) for scope in scopes],
    }


def _access(scope: str) -> dict[str, Any]:
    resource, _, actions = scope.rpartition(":")
    kind, _, name = resource.partition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _signed(certificate: Certificate, claims: dict[str, Any]) -> str:
    chain = [base64.b64encode(certificate.x509.public_bytes(serialization.Encoding.DER)).decode()]
    header = {"typ": "JWT", "alg": "ES256", "x5c": chain}
    content = f"{_segment(json.dumps(header).encode())}.{_segment(json.dumps(claims).encode())}"
    r, s = utils.decode_dss_signature(certificate.key.sign(content.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{content}.{_segment(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
