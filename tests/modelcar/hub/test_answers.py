"""The Hub's answers about models: too slow, or on their way to plain HTTP."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from modelcar.errors import HubError
from modelcar.hub import answers
from modelcar.hub.client import Hub
from tests.parts.recorded_api import RecordedApi


@pytest.fixture
def dripping() -> Iterator[str]:
    """Give the address of a server whose headers never end, a byte now and then."""
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not ended.wait(0.05):
                connection.sendall(b"x")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.usefixtures("waits")
def test_answer_that_drips_is_given_up(dripping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", dripping)
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 0.5)
    begun = time.monotonic()

    with pytest.raises(HubError, match="does not answer within"):
        Hub().snapshot("org/model")

    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("target", ["http://hub.example/other", "HTTP://storage.example/x"])
def test_redirect_from_tls_to_plain_http_is_refused(target: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(302, headers={"location": target})

    hooks = {"response": [answers.check_redirect]}
    client = httpx2.Client(transport=httpx2.MockTransport(answer), follow_redirects=True, event_hooks=hooks)
    with client, pytest.raises(HubError, match="from TLS to plain HTTP"):
        client.get("https://hub.example/api", headers={"Authorization": "Bearer secret"})


def test_the_clients_own_session_refuses_it_too() -> None:
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    answers.refuse_plain_redirects()
    answers.refuse_plain_redirects()

    assert get_session().event_hooks["response"].count(answers.check_redirect) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"<html>Log in to the network</html>", "sends no JSON for example/tiny"),
        ({}, "describes example/tiny in a form that is not the Hub's"),
        ([], "describes example/tiny in a form that is not the Hub's"),
    ],
)
def test_what_is_no_hub_is_told_with_the_variable_that_names_it(
    answer: object, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordedApi() as page:
        page.answers["/api/models/example/tiny/revision/main"] = (200, answer)
        monkeypatch.setenv("HF_ENDPOINT", page.url)
        with Hub() as hub, pytest.raises(HubError, match=f"^{page.url} {says}.*Check HF_ENDPOINT"):
            hub.snapshot("example/tiny")
