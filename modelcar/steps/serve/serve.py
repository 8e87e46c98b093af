"""Serves an image by KServe: applies the service, follows it until it is ready, and asks it one question.

What does not become ready is put back as it was: a service that was made is deleted again, and one that was there keeps
its pods, for KServe lets the old ones go only when the new ones are ready.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import urllib3

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster
from modelcar.errors import ClusterError
from modelcar.serving.documents import serving_documents
from modelcar.serving.objects import check_service
from modelcar.serving.platform import choose_platform
from modelcar.serving.runtime import find_runtime
from modelcar.serving.served_model import RegistryEntry, read_served_model
from modelcar.steps.serve.obstacle import Obstacle, obstacle, of_words
from modelcar.steps.serve.question import ask
from modelcar.steps.serve.service import Service
from modelcar.steps.serve.state import SERVER, ServiceState

READY_SECONDS = 7200
"""Time that a service may take until it is ready: 140 GB took 4,600 s in a benchmark of KServe's."""

_PAUSE_SECONDS = 2.0
_AWAY_SECONDS = 300.0
"""Time that the API server may be away while a service is followed."""

_LOG_LINES = 5


@dataclass(frozen=True)
class ServeRequest:
    """A service that is asked for.

    Attributes:
        image: The image, best with its digest.
        name: The service's name.
        serving: What serves it: `auto` for what the cluster has, or one of modelcar.serving.platform.PLATFORMS.
        model_format: The format as KServe calls it; empty for what the build found.
        connection: The connection, or pull Secret, with which the image is pulled; empty for none.
        entry: The image's version in the Model Registry; None if it is in none.
        seconds: How long it may take until it is ready.
    """

    image: str
    name: str
    serving: str = "auto"
    model_format: str = ""
    connection: str = ""
    entry: RegistryEntry | None = None
    seconds: float = READY_SECONDS


@dataclass(frozen=True)
class Served:
    """A service that answered.

    Attributes:
        name: Its name.
        image: The image that it serves, pinned to its digest.
        changed: Whether it was not so before.
        pull_seconds: Seconds that the node took to pull the image; 0 where it was there.
        start_seconds: Seconds from the server's start until it was ready.
        answer: What it answered.
    """

    name: str
    image: str
    changed: bool
    pull_seconds: float
    start_seconds: float
    answer: str


def serve(request: ServeRequest, cluster: Cluster, say: Callable[[str], None] = print) -> Served:
    """Serves an image; a service of that name that is there goes on until the new one is ready.

    Args:
        request: What is asked for.
        cluster: The cluster; the service is in its namespace.
        say: Is told how it goes.

    Raises:
        PlanError: The name is none, or the service was stopped by somebody.
        RegistryError: The image cannot be read.
        ClusterError: The service did not become ready, or gave no answer; names which of pull, disk, memory, GPU and
            runtime it was.
    """
    check_service(None, request.name)
    service = Service(cluster, request.name)
    check_service(service.find(), request.name)
    model = read_served_model(request.image, request.model_format)
    model = replace(model, service=request.name, entry=request.entry)
    platform = choose_platform(request.serving, cluster)
    runtime = find_runtime(model, cluster) if platform.name != "kserve" else None
    documents = serving_documents(model, platform, request.connection, runtime)
    if documents.before and runtime is None:
        what = f"the project has no serving runtime for the format {model.model_format}"
        raise ClusterError(what, f"Create it once: {documents.before}")
    with service.applied(documents.objects) as changed:
        say(f"{request.name} is {'applied' if changed else 'unchanged'}: {model.image}")
        state = _Following(service, cluster, say).to_ready(request.seconds)
        pod = state.ready_pod
        if pod is None:
            raise ClusterError(f"{request.name} is ready, but has no pod", "Is it scaled to zero? Set minReplicas to 1")
        answer = ask(pod, request.name)
    pull, start = (state.pull_seconds, state.start_seconds) if changed else (0.0, 0.0)
    return Served(request.name, model.image, changed, pull, start, answer)


class _Following:
    """Follows a service until it is ready."""

    def __init__(self, service: Service, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._service, self._cluster, self._say = service, cluster, say
        self._said = ""
        self._kind = ""
        self._since = 0.0

    def to_ready(self, seconds: float) -> ServiceState:
        """Waits until it is ready.

        Raises:
            ClusterError: It did not become so.
        """
        began = time.monotonic()
        while True:
            state = self._state()
            if state.is_ready:
                return state
            found, now = obstacle(state), time.monotonic()
            self._tell(f"waiting: {found}" if found else _progress(state))
            if (found.kind if found else "") != self._kind:
                self._kind, self._since = found.kind if found else "", now
            if found and (now - self._since >= found.patience or now - began > seconds):
                raise self._error(state, found)
            if now - began > seconds:
                what = f"{self._service.name} is not ready after {seconds:.0f} s: {self._said}"
                raise ClusterError(what, "Give it more time, or pull ahead: modelcar warm")
            time.sleep(_PAUSE_SECONDS)

    def _state(self) -> ServiceState:
        """Asks how it is, again while the API server is away."""
        asked = time.monotonic()
        while True:
            try:
                there = self._service.find()
                if there is None:
                    what = f"the InferenceService {self._service.name} was deleted while it was followed"
                    raise ClusterError(what, "Run it again")
                return ServiceState.read(self._cluster, there)
            except ClusterError as error:
                if not error.may_pass or time.monotonic() - asked > _AWAY_SECONDS:
                    raise
                self._tell(str(error))
                time.sleep(_PAUSE_SECONDS)

    def _tell(self, words: str) -> None:
        if words != self._said:
            self._said = words
            self._say(words)

    def _error(self, state: ServiceState, found: Obstacle) -> ClusterError:
        lines = _last_lines(state.pods[0], self._cluster) if found.kind == "runtime" and state.pods else []
        for line in lines:
            self._say(f"{SERVER}: {line}")
        if lines:
            found = of_words(state, found, lines)
        what = f"{self._service.name} did not become ready, for {found}"
        if state.deployment is not None and (state.deployment.status.available_replicas or 0) > 0:
            what += " (what was served before goes on)"
        return ClusterError(what, found.remedy)


def _progress(state: ServiceState) -> str:
    """Says how far the newest pod is."""
    if not state.pods:
        return "waiting for KServe to make a pod"
    pod = state.pods[0]
    where = f"{pod.metadata.name} on {pod.spec.node_name}" if pod.spec.node_name else pod.metadata.name
    server = next((one for one in pod.status.container_statuses or () if one.name == SERVER), None)
    if server is not None and server.state.running:
        return f"{where}: the server runs" + (", and is ready" if server.ready else ", and loads the model")
    if any(event.reason == "Pulling" for event in state.events):
        return f"{where}: pulling"
    return f"{where}: being made"


def _last_lines(pod: Any, cluster: Cluster) -> list[str]:
    """Returns the last lines of a server that ended, as far as they may be read."""
    from kubernetes import client

    for previous in (True, False):
        which = {"container": SERVER, "previous": previous, "tail_lines": _LOG_LINES}
        with suppress(client.ApiException, urllib3.exceptions.HTTPError, OSError):
            said: str = cluster.core.read_namespaced_pod_log(
                pod.metadata.name, cluster.namespace, _request_timeout=REQUEST_SECONDS, **which
            )
            # What the kubelet says in the log's place, when a container is gone.
            if said.strip() and not said.startswith("unable to retrieve container logs"):
                return said.splitlines()
    return []
