"""One question to a server, in each of the protocols of KServe's runtimes."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kubernetes import client

from modelcar.errors import ClusterError
from modelcar.steps.serve.question import MAX_ANSWER_CHARS, ask


class Server(ThreadingHTTPServer):
    """Answers by path, as a server of models does; what is not there is 404, in that server's own words."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Any] = {}
        self.asked: dict[str, Any] = {}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.server.asked[self.path] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer()

    def answer(self) -> None:
        status, document = self.server.answers.get(f"{self.command} {self.path}", (404, {"detail": "Not Found"}))
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server that knows no path yet."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def pod_of(server: Server) -> Any:
    ports = [client.V1ContainerPort(container_port=server.server_address[1])]
    spec = client.V1PodSpec(containers=[client.V1Container(name="kserve-container", ports=ports)])
    status = client.V1PodStatus(pod_ip="127.0.0.1")
    return client.V1Pod(metadata=client.V1ObjectMeta(name="tiny-1"), spec=spec, status=status)


@pytest.mark.parametrize("root", ["/v1", "/openai/v1"])
def test_language_model_continues_a_sentence(server: Server, root: str) -> None:
    server.answers[f"GET {root}/models"] = (200, {"data": [{"id": "granite"}]})
    server.answers[f"POST {root}/completions"] = (200, {"choices": [{"text": " Paris,\n\nof course. \x1b[31m"}]})

    answer = ask(pod_of(server), "tiny")

    assert answer.startswith("The capital of France is Paris, of course.")
    assert answer.isprintable()
    assert server.asked[f"{root}/completions"]["model"] == "granite"


def test_embedding_model_embeds(server: Server) -> None:
    server.answers["POST /v1/completions"] = (400, {"message": "The model does not support Completions API"})
    server.answers["POST /v1/embeddings"] = (200, {"data": [{"embedding": [0.1] * 768}]})

    assert ask(pod_of(server), "tiny") == "an embedding of 768 numbers"


def test_any_other_model_is_given_zeros(server: Server) -> None:
    inputs = [
        {"name": "image", "datatype": "FP32", "shape": [-1, 3, 2, 2]},
        {"name": "words", "datatype": "BYTES", "shape": [2]},
    ]
    server.answers["GET /v2/models/tiny"] = (200, {"name": "tiny", "inputs": inputs})
    server.answers["POST /v2/models/tiny/infer"] = (200, {"outputs": [{"name": "probabilities", "shape": [1, 1000]}]})

    assert ask(pod_of(server), "tiny") == "probabilities of shape [1, 1000]"
    first, second = server.asked["/v2/models/tiny/infer"]["inputs"]
    assert (first["shape"], first["data"]) == ([1, 3, 2, 2], [0] * 12)
    assert second["data"] == ["", ""]


def test_server_without_questions_says_whether_it_is_ready(server: Server) -> None:
    server.answers["GET /v1/models/tiny"] = (200, {"name": "tiny", "ready": True})

    assert ask(pod_of(server), "tiny") == '/v1/models/tiny says {"name": "tiny", "ready": true}'


def test_question_is_never_larger_than_a_model_takes(server: Server) -> None:
    inputs = [{"name": "image", "datatype": "FP32", "shape": [1 << 20, 1 << 20]}]
    server.answers["GET /v2/models/tiny"] = (200, {"inputs": inputs})
    server.answers["GET /v2/models/tiny/ready"] = (200, b"")

    assert ask(pod_of(server), "tiny") == "/v2/models/tiny/ready says yes"


def test_answer_is_shortened(server: Server) -> None:
    server.answers["POST /v1/completions"] = (200, {"choices": [{"text": "a" * 5000}]})

    assert len(ask(pod_of(server), "tiny")) == MAX_ANSWER_CHARS + 1


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({}, "takes no question: it knows none of the paths"),
        ({"POST /v1/completions": (500, {"message": "CUDA error"})}, "answered 500: .*CUDA error"),
        ({"POST /v1/completions": (200, b"<html>")}, "gave no answer"),
        ({"POST /v1/completions": (200, {"choices": []})}, "gave no answer"),
        ({"POST /v1/completions": (200, [1])}, "gave no answer"),
        ({"GET /v2/models/tiny": (200, {"inputs": [{"name": "x"}]})}, "gave no answer"),
        (
            {"GET /v2/models/tiny": (200, {"inputs": [{"name": "x", "shape": ["N"], "datatype": "FP32"}]})},
            "gave no answer",
        ),
    ],
)
def test_server_that_gives_no_answer_is_named(server: Server, answers: dict[str, Any], says: str) -> None:
    server.answers |= answers

    with pytest.raises(ClusterError, match=f"^tiny is ready, but .*{says}.*oc logs tiny-1 -c kserve-container"):
        ask(pod_of(server), "tiny")
