"""A server that answers as another one was seen to: for what cannot run here, OpenShift's login above all."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.parts.certificates import Certificate


class RecordedApi(ThreadingHTTPServer):
    """Answers requests by their paths, if need be over TLS and only to those who bring a token.

    Attributes:
        answers: Status and JSON, or text or a page as bytes, by path, or a function that gives them; `POST <path>`
            for a POST, and so for PATCH and DELETE, whose function takes what was sent. What is not there is 404 as the
            Kubernetes API says it.
        posted: Paths and JSON of all requests that bring something.
        token: The bearer token that is asked for, in the words of OpenShift's kube-rbac-proxy; empty for none.
        seen: Paths and Authorization headers of all requests.
    """

    daemon_threads = True

    def __init__(self, certificate: Certificate | None = None, token: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.answers: dict[str, Any] = {}
        self.posted: list[tuple[str, Any]] = []
        self.token = token
        self.seen: list[tuple[str, str]] = []
        self.scheme = "http"
        if certificate:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.cert_file, certificate.key_file)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "RecordedApi":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Says nothing of clients that did not trust us."""

    def kubeconfig(self, file: Path, token: str = "", namespace: str = "my-project") -> Path:
        """Writes a kubeconfig with which this is the cluster."""
        user = {"token": token} if token else {}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "now", "context": {"cluster": "here", "user": "me", "namespace": namespace}}],
            "current-context": "now",
        }
        file.write_text(yaml.safe_dump(content))
        return file


class _Request(BaseHTTPRequestHandler):
    server: RecordedApi
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = json.loads(content or "null")
        self.server.posted.append((path, sent))
        known: Any = self.server.answers.get(f"{self.command} {path}", (404, {}))
        status, answer = known(sent) if callable(known) else known
        self._answer(status, json.dumps(answer).encode(), "application/json")

    do_PATCH = do_DELETE = do_POST

    def do_GET(self) -> None:
        path, login = urlsplit(self.path).path, self.headers.get("Authorization", "")
        self.server.seen.append((path, login))
        if self.server.token and login != f"Bearer {self.server.token}":
            self._answer(401, b"Unauthorized\n", "text/plain; charset=utf-8")
            return
        missing = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}
        known: Any = self.server.answers.get(path, (404, missing))
        status, content = known() if callable(known) else known
        if isinstance(content, bytes):
            self._answer(status, content, "text/html" if content.startswith(b"<") else "text/plain")
        else:
            self._answer(status, json.dumps(content).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""
