"""Obstacles to a service: which of pull, disk, memory, GPU and runtime it is, and how long it may last."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from modelcar.errors import on_one_line
from modelcar.steps.serve.state import SERVER, ServiceState, condition

Kind = Literal["pull", "disk", "memory", "GPU", "runtime", "cluster"]
"""Kind of what is in the way; `cluster` is what none of the others is, such as a quota or a policy."""

PULL_PATIENCE_SECONDS = 180.0
"""Time that a pull may fail, or a container not be made: the kubelet tries again."""

ROOM_PATIENCE_SECONDS = 900.0
"""Time that pods may wait for a node: one that is made for them (autoscaling) takes minutes, with GPUs ten."""

SILENCE_PATIENCE_SECONDS = 180.0
"""Time that KServe may make nothing of a service, and a Deployment no pod."""

MAX_RESTARTS = 3
"""Times that a server may end and be started again, and its pods be evicted. A first end is common: it looked before
the model was linked."""

_PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_NOT_MADE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError")
_NO_RUNTIME = (
    "NoSupportingRuntime",
    "RuntimeNotRecognized",
    "RuntimeDisabled",
    "RuntimeUnhealthy",
    "InvalidPredictorSpec",
)
_IN_WORDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("disk", re.compile(r"[Nn]o space left on device|disk-pressure|DiskPressure|ephemeral-storage")),
    (
        "GPU",
        re.compile(
            r"[\w.-]+/(gpu|mig)\b|(CUDA|HIP)[ _](out of memory|error|driver)|[Nn]o (CUDA|NVIDIA|GPU)|libcuda|KV cache"
        ),
    ),
    (
        "memory",
        re.compile(
            r"Insufficient memory|resource: memory|MemoryPressure|memory-pressure|(limits|requests)\.memory"
            r"|MemoryError|[Cc]annot allocate memory"
        ),
    ),
)
"""The cluster's words for each, and those of servers that ended: Python's, PyTorch's and vLLM's."""

_REMEDIES: dict[Kind, str] = {
    "pull": "Check that connection names the Secret that may pull it, and try: oc image info {image}",
    "disk": "The node needs twice the image's size while it pulls: oc describe node {node}; or take a larger one",
    "memory": "Give the pod more memory (spec.predictor.model.resources), or take a smaller variant of the model",
    "GPU": "Free a GPU or add a node that has one: oc describe nodes | grep -A5 Allocated; or take a smaller variant",
    "runtime": "See its log: oc logs -l serving.kserve.io/inferenceservice={name} -c kserve-container --previous",
    "cluster": "See why: oc describe inferenceservice {name}; oc get events",
}


@dataclass(frozen=True)
class Obstacle:
    """A reason why a service is not ready.

    Attributes:
        kind: Which of the known ones it is.
        what: What the cluster says.
        remedy: What to do about it.
        patience: Seconds that it may last; 0 if it never passes.
    """

    kind: Kind
    what: str
    remedy: str
    patience: float

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def obstacle(state: ServiceState) -> Obstacle | None:
    """Finds what keeps a service from being ready; None if nothing is known to.

    Args:
        state: The service, its Deployment and its pods.
    """
    for find in _CAUSES:
        for found in find(state):
            return found
    return None


def _obstacle(state: ServiceState, kind: Kind, what: str, patience: float, image: str = "") -> Obstacle:
    pod = state.pods[0] if state.pods else None
    about = {"name": state.service["metadata"]["name"], "image": image or "<image>", "node": "<node>"}
    if pod is not None and pod.spec.node_name:
        about["node"] = pod.spec.node_name
    return Obstacle(kind, on_one_line(what), _REMEDIES[kind].format(**about), patience)


def of_words(state: ServiceState, found: Obstacle, lines: list[str]) -> Obstacle:
    """Returns an obstacle with what the server said last, by which it may be another one: a GPU that is too small."""
    kind = kind_of(" ".join(lines), found.kind)
    return _obstacle(state, kind, f"{found.what}; it said: {lines[-1]}", found.patience)


def kind_of(words: str, otherwise: Kind) -> Kind:
    """Returns which obstacle the cluster's words, or a server's, are about."""
    return next((kind for kind, pattern in _IN_WORDS if pattern.search(words)), otherwise)


def _without_runtime(state: ServiceState) -> Iterator[Obstacle]:
    info = state.service.get("status", {}).get("modelStatus", {}).get("lastFailureInfo") or {}
    if info.get("reason") in _NO_RUNTIME:
        what = f"KServe found no serving runtime for it ({info['reason']}): {info.get('message', '')}"
        found = _obstacle(state, "runtime", what, SILENCE_PATIENCE_SECONDS)
        yield Obstacle(
            "runtime", found.what, "Create one: modelcar serve-yaml prints it, or see docs/serving.md", found.patience
        )


def _evicted(state: ServiceState) -> Iterator[Obstacle]:
    """Finds that the newest pod was evicted, or so many before it that it will be, too."""
    evicted = [pod for pod in state.pods if pod.status.reason == "Evicted"]
    is_hopeless = len(evicted) >= MAX_RESTARTS
    if evicted and (is_hopeless or evicted[0] is state.pods[0]):
        words = evicted[0].status.message or ""
        what = f"evicted from {evicted[0].spec.node_name}, {len(evicted)} times until now: {words}"
        yield _obstacle(state, kind_of(words, "disk"), what, 0 if is_hopeless else PULL_PATIENCE_SECONDS)


def _out_of_memory(state: ServiceState) -> Iterator[Obstacle]:
    for status in _containers(state):
        for one in (status.state, status.last_state):
            if one and one.terminated and one.terminated.reason == "OOMKilled":
                yield _obstacle(
                    state, "memory", f"{status.name} was killed: it took more than its limit (OOMKilled)", 0
                )


def _pulling(state: ServiceState) -> Iterator[Obstacle]:
    for status in _containers(state):
        waiting = status.state.waiting
        if waiting and waiting.reason in _PULLING:
            words = waiting.message or waiting.reason
            if waiting.reason == "ImagePullBackOff":
                words = next(
                    (one.message for one in reversed(state.events) if _is_failed_pull(one, status.image)), words
                )
            patience = 0 if waiting.reason == "InvalidImageName" else PULL_PATIENCE_SECONDS
            kind: Kind = "disk" if kind_of(words, "pull") == "disk" else "pull"
            yield _obstacle(state, kind, f"{status.image} cannot be pulled: {words}", patience, status.image)


def _unscheduled(state: ServiceState) -> Iterator[Obstacle]:
    for pod in state.pods[:1]:
        scheduled = condition(pod, "PodScheduled")
        if scheduled is not None and scheduled.status == "False":
            words = scheduled.message or "no node takes it"
            yield _obstacle(state, kind_of(words, "cluster"), words.partition(" preemption:")[0], ROOM_PATIENCE_SECONDS)


def _not_made(state: ServiceState) -> Iterator[Obstacle]:
    for status in _containers(state):
        waiting = status.state.waiting
        if waiting and waiting.reason in _NOT_MADE:
            what = f"{status.name} cannot start ({waiting.reason}): {waiting.message or ''}"
            yield _obstacle(state, "runtime", what, PULL_PATIENCE_SECONDS)


def _ended(state: ServiceState) -> Iterator[Obstacle]:
    for status in _containers(state):
        ended = status.state.terminated or (status.last_state and status.last_state.terminated)
        if ended and (ended.exit_code or status.name == SERVER):
            words = ended.message or f"exit code {ended.exit_code}"
            times = status.restart_count + bool(status.state.terminated)
            what = f"{status.name} ended, {times} times until now: {words}"
            patience = 0 if status.restart_count >= MAX_RESTARTS else math.inf
            yield _obstacle(state, kind_of(words, "runtime"), what, patience)


def _without_pods(state: ServiceState) -> Iterator[Obstacle]:
    if state.pods:
        return
    failed = state.deployment and condition(state.deployment, "ReplicaFailure")
    if failed and failed.status == "True":
        words = failed.message or failed.reason
        yield _obstacle(state, kind_of(words, "cluster"), f"its pods are refused: {words}", SILENCE_PATIENCE_SECONDS)
        return
    said = [
        f"{one['type']}: {one.get('message') or one.get('reason') or one['status']}"
        for one in state.service.get("status", {}).get("conditions") or ()
        if one["status"] != "True"
    ]
    what = f"KServe made no pod for it{': ' if said else ''}{'; '.join(said)}"
    yield _obstacle(state, "cluster", what, SILENCE_PATIENCE_SECONDS)


def _mounting(state: ServiceState) -> Iterator[Obstacle]:
    for event in reversed(state.events):
        if event.reason in ("FailedMount", "FailedCreatePodSandBox") and not any(_containers(state)):
            yield _obstacle(state, "cluster", f"{event.reason}: {event.message}", PULL_PATIENCE_SECONDS)


_CAUSES: tuple[Callable[[ServiceState], Iterator[Obstacle]], ...] = (
    _without_runtime,
    _out_of_memory,
    _pulling,
    _unscheduled,
    # Of a pod that was evicted the container has ended as well.
    _evicted,
    _not_made,
    _ended,
    _without_pods,
    _mounting,
)


def _containers(state: ServiceState) -> Iterator[Any]:
    """States of the newest pod's containers, those that run before the server first."""
    for pod in state.pods[:1]:
        yield from (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ()))


def _is_failed_pull(event: Any, image: str) -> bool:
    return (
        event.reason == "Failed" and (event.message or "").startswith("Failed to pull image") and image in event.message
    )
