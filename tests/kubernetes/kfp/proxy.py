"""The proxy that OpenShift AI puts before a pipeline server: TLS, and only who may use the server gets through.

As kube-rbac-proxy does it, set up by data-science-pipelines-operator (config/internal/apiserver/default/
deployment.yaml.tmpl): the token is reviewed by the cluster, and its account must be allowed to `get` the `api` of the
DataSciencePipelinesApplication.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
from kubernetes import client

from modelcar.cli.server.discovery import DEFAULT_NAME, GROUP, PLURAL, PORT, VERSION
from tests.kubernetes.kfp.backend import Backend
from tests.parts.certificates import Certificate

_NOT_PASSED_ON = {"authorization", "host", "connection", "content-length", "transfer-encoding", "accept-encoding"}


@dataclass
class Proxied:
    """What went through.

    Attributes:
        accounts: Who asked, and the status that they got.
    """

    accounts: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def pipeline_server(backend: Backend, certificate: Certificate) -> Iterator[Proxied]:
    """Runs the proxy at the port that pods ask, on this machine's address as they see it."""
    proxied = Proxied()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            """Answers any method."""
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            account, status = _reviewed(backend, self.headers.get("Authorization", ""))
            answer = b""
            kind = "text/plain"
            if status == 200:
                passed = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
                done = requests.request(self.command, backend.url + self.path, headers=passed, data=body, timeout=600)
                status, answer, kind = done.status_code, done.content, done.headers.get("Content-Type", kind)
            proxied.accounts.append((account, status))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing of requests."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    with ThreadingHTTPServer((backend.cluster.host, PORT), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield proxied
        server.shutdown()


def _reviewed(backend: Backend, authorization: str) -> tuple[str, int]:
    api = backend.cluster.api
    review: Any = {"spec": {"token": authorization.removeprefix("Bearer ")}}
    told = client.AuthenticationV1Api(api).create_token_review(review).status
    if not told.authenticated:
        return "", 401
    asked = {
        "namespace": backend.namespace.name,
        "group": GROUP,
        "version": VERSION,
        "resource": PLURAL,
        "subresource": "api",
        "name": DEFAULT_NAME,
        "verb": "get",
    }
    spec = {"user": told.user.username, "groups": told.user.groups, "resourceAttributes": asked}
    access: Any = {"spec": spec}
    allowed = client.AuthorizationV1Api(api).create_subject_access_review(access).status.allowed
    return str(told.user.username), 200 if allowed else 403
