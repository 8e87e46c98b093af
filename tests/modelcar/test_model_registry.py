"""Where the token for the Model Registry goes, and where it does not."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from modelcar import pod
from modelcar.errors import ModelRegistryError
from modelcar.model_registry import check_write

POD_TOKEN, GIVEN_TOKEN = "of-the-pod", "given-on-purpose"


@dataclass
class Listener:
    """A server that refuses everybody, and keeps what it was shown."""

    port: int
    hosts: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Give such a server, which every name leads to."""
    found = Listener(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.hosts.append(self.headers.get("Host", ""))
            found.tokens.append(self.headers.get("Authorization", ""))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *_: Any) -> None:
            pass

    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "MODEL_REGISTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def in_pod() -> None:
    """Give this process a service account's token, as a pod has one."""
    pod.SERVICE_ACCOUNT.mkdir(parents=True)
    (pod.SERVICE_ACCOUNT / "token").write_text(POD_TOKEN)


WITHIN = [
    "localhost",
    "127.0.0.1",
    "model-registry",
    "model-registry.team.svc",
    "model-registry.team.svc.cluster.local",
    "model-registry.team.svc.cluster.local.",
]
OUTSIDE = [
    "registry.example",
    "model-registry.team",
    "model-registry.team.svc.evil.example",
    "svc",
    "team.svc",
    "a.b.model-registry.team.svc",
    "model-registry.team.svc.cluster.local.evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
]


@pytest.mark.usefixtures("in_pod")
@pytest.mark.parametrize("host", WITHIN)
def test_the_pods_token_goes_in_the_clear_to_a_named_service_alone(host: str, listener: Listener) -> None:
    with pytest.raises(ModelRegistryError, match="refused the token"):
        check_write(f"http://{host}:{listener.port}")

    assert set(listener.tokens) == {f"Bearer {POD_TOKEN}"}


@pytest.mark.usefixtures("in_pod")
@pytest.mark.parametrize("host", [host for host in OUTSIDE if host != "svc"])
def test_the_pods_token_goes_nowhere_else_in_the_clear(host: str, listener: Listener) -> None:
    with pytest.raises(ModelRegistryError, match=r"none is sent there without TLS\. Write https://"):
        check_write(f"http://{host}:{listener.port}")

    assert POD_TOKEN not in "".join(listener.tokens)


@pytest.mark.usefixtures("in_pod")
@pytest.mark.parametrize("host", ["model-registry.team.svc", "registry.example"])
def test_a_proxy_does_not_see_the_pods_token(host: str, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listener.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.port}")

    with pytest.raises(ModelRegistryError, match="none is sent there without TLS"):
        check_write(f"http://{host}:8080")

    assert listener.hosts
    assert POD_TOKEN not in "".join(listener.tokens)


@pytest.mark.parametrize("host", OUTSIDE)
def test_a_token_that_was_given_is_not_sent_in_the_clear(
    host: str, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_TOKEN", GIVEN_TOKEN)

    with pytest.raises(ModelRegistryError, match=r"would be readable on its way.*https://"):
        check_write(f"http://{host}:{listener.port}")

    assert listener.tokens == []


def test_who_has_no_token_needs_none(listener: Listener) -> None:
    with pytest.raises(ModelRegistryError):
        check_write(f"http://registry.example:{listener.port}")

    assert listener.hosts
