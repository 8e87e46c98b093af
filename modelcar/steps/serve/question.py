"""One question to a server, in whichever of the protocols of KServe's runtimes it speaks."""

import json
import math
from typing import Any

import requests

from modelcar.errors import ClusterError, on_one_line
from modelcar.steps.serve.state import SERVER

ANSWER_SECONDS = 120.0
"""Time for one answer. A server's first is its slowest."""

PROMPT, TOKENS = "The capital of France is", 16
MAX_ANSWER_CHARS = 200
MAX_ZEROS = 1 << 22
"""Numbers in a question of zeros: a picture has 150,000."""

_PORT = 8080
_OPENAI = ("/v1", "/openai/v1")
"""Paths at which vLLM answers, and KServe's own server of language models."""


def ask(pod: Any, name: str) -> str:
    """Asks the server of a pod one question.

    A language model continues a sentence, an embedding model embeds it; any other model is given zeros of the shapes
    that it says it takes (Open Inference Protocol), or, where it takes none, only asked whether it is ready.

    Args:
        pod: The pod.
        name: The service's name, which is the model's on the server unless it says otherwise.

    Returns:
        What was answered, shortened.

    Raises:
        ClusterError: It gave no answer.
    """
    see = f"See its log: oc logs {pod.metadata.name} -c {SERVER}"
    with requests.Session() as session:
        # The way to a pod leads through no proxy.
        session.trust_env = False
        asked = _Server(session, f"http://{_host(pod.status.pod_ip)}:{_port(pod)}", name)
        try:
            answer = asked.text() or asked.embedding() or asked.tensors() or asked.readiness()
        except (requests.RequestException, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ClusterError(f"{name} is ready, but gave no answer: {on_one_line(str(error))}", see) from None
    if not answer:
        raise ClusterError(f"{name} is ready, but takes no question: {asked.refused}", see)
    return on_one_line(answer if len(answer) <= MAX_ANSWER_CHARS else f"{answer[:MAX_ANSWER_CHARS]}…")


class _Server:
    """A server, asked in one protocol after the other; each answer is empty where it does not speak that one."""

    def __init__(self, session: requests.Session, address: str, name: str) -> None:
        self._session, self._address, self._name = session, address, name
        self.refused = "it knows none of the paths that were tried"

    def text(self) -> str:
        for root in _OPENAI:
            body = {"model": self._model(root), "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0}
            given = self._post(f"{root}/completions", body)
            if given is not None:
                return PROMPT + str(given["choices"][0]["text"])
        return ""

    def embedding(self) -> str:
        for root in _OPENAI:
            given = self._post(f"{root}/embeddings", {"model": self._model(root), "input": PROMPT})
            if given is not None:
                return f"an embedding of {len(given['data'][0]['embedding'])} numbers"
        return ""

    def tensors(self) -> str:
        path = f"/v2/models/{self._name}"
        said = self._get(path)
        inputs = said.json().get("inputs") if said is not None else None
        if not inputs or sum(math.prod(_shape(one)) for one in inputs) > MAX_ZEROS:
            return ""
        given = self._post(f"{path}/infer", {"inputs": [_zeros(one) for one in inputs]})
        return ", ".join(f"{one['name']} of shape {one['shape']}" for one in given["outputs"]) if given else ""

    def readiness(self) -> str:
        for path in (f"/v2/models/{self._name}/ready", f"/v1/models/{self._name}", "/v2/health/ready", "/health"):
            said = self._get(path)
            if said is not None:
                return f"{path} says {said.text or 'yes'}"
        return ""

    def _model(self, root: str) -> str:
        said = self._get(f"{root}/models")
        try:
            return str(said.json()["data"][0]["id"]) if said is not None else self._name
        except (ValueError, LookupError, TypeError):
            return self._name

    def _get(self, path: str) -> requests.Response | None:
        said = self._session.get(self._address + path, timeout=ANSWER_SECONDS)
        return said if said.ok else None

    def _post(self, path: str, body: dict[str, Any]) -> Any | None:
        headers = {"Content-Type": "application/json"}
        said = self._session.post(self._address + path, data=json.dumps(body), headers=headers, timeout=ANSWER_SECONDS)
        if said.ok:
            return said.json()
        if said.status_code != requests.codes.not_found:
            self.refused = f"{path} answered {said.status_code}: {said.text[:MAX_ANSWER_CHARS]}"
        return None


def _shape(tensor: dict[str, Any]) -> list[int]:
    return [max(int(size), 1) for size in tensor["shape"]]


def _zeros(tensor: dict[str, Any]) -> dict[str, Any]:
    kind, shape = tensor["datatype"], _shape(tensor)
    zero = {"BYTES": "", "BOOL": False}.get(kind, 0)
    return {"name": tensor["name"], "shape": shape, "datatype": kind, "data": [zero] * math.prod(shape)}


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _port(pod: Any) -> int:
    ports = [port.container_port for one in pod.spec.containers if one.name == SERVER for port in one.ports or ()]
    return ports[0] if ports else _PORT
