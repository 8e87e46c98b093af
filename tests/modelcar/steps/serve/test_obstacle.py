"""Which of pull, disk, memory, GPU and runtime keeps a service from being ready, in the cluster's own words."""

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from modelcar.steps.serve.obstacle import PULL_PATIENCE_SECONDS, ROOM_PATIENCE_SECONDS, Obstacle, obstacle, of_words
from modelcar.steps.serve.state import ServiceState

IMAGE = "quay.io/team/granite@sha256:" + "a" * 64
SERVICE: dict[str, Any] = {
    "metadata": {"name": "granite"},
    "spec": {"predictor": {"model": {"storageUri": f"oci://{IMAGE}"}}},
}
SERVER, INIT = "kserve-container", "modelcar-init"


def typed(kind: str, content: dict[str, Any]) -> Any:
    return client.ApiClient().deserialize(SimpleNamespace(data=json.dumps(content)), kind)


def container(name: str, restarts: int = 0, last: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
    found = {"name": name, "image": IMAGE, "imageID": "", "ready": False, "restartCount": restarts, "state": state}
    return {**found, "lastState": last} if last else found


def pod(*containers: dict[str, Any], **status: Any) -> Any:
    whole = {
        "metadata": {"name": "granite-predictor-1"},
        "spec": {"nodeName": "large", "containers": [{"name": SERVER}]},
        "status": {"containerStatuses": list(containers), **status},
    }
    return typed("V1Pod", whole)


def unscheduled(message: str) -> Any:
    return pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}])


def found(*pods: Any, deployment: Any = None, status: dict[str, Any] | None = None, events: list[Any] = []) -> Obstacle:  # noqa: B006
    state = ServiceState({**SERVICE, "status": status or {}}, deployment, pods, events)
    obstructed = obstacle(state)
    assert obstructed
    return obstructed


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


PULL = f'failed to pull and unpack image "{IMAGE}"'
PODS = [
    (pod(container(INIT, **waiting("ErrImagePull", f"{PULL}: 401 Unauthorized"))), "pull", "401 Unauthorized"),
    (pod(container(INIT, **waiting("ImagePullBackOff", "Back-off pulling image"))), "pull", "cannot be pulled"),
    (pod(container(INIT, **waiting("InvalidImageName", "bad"))), "pull", "cannot be pulled"),
    (
        pod(container(INIT, **waiting("ErrImagePull", f"{PULL}: write /var/lib/x: no space left on device"))),
        "disk",
        "no space left",
    ),
    (
        pod(phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage."),
        "disk",
        "evicted from large",
    ),
    (pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."), "memory", "evicted"),
    (unscheduled("0/2 nodes are available: 2 Insufficient nvidia.com/gpu."), "GPU", "nvidia.com/gpu"),
    (unscheduled("0/2 nodes are available: 1 Insufficient memory, 1 Insufficient amd.com/gpu."), "GPU", "amd.com/gpu"),
    (unscheduled("0/2 nodes are available: 2 Insufficient memory."), "memory", "Insufficient memory"),
    (
        unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }"),
        "disk",
        "disk-pressure",
    ),
    (unscheduled("0/2 nodes are available: 2 Insufficient cpu."), "cluster", "Insufficient cpu"),
    (pod(container(SERVER, **ended(137, "OOMKilled"))), "memory", "took more than its limit"),
    (pod(container(SERVER, 1, ended(137, "OOMKilled"), running={})), "memory", "OOMKilled"),
    (pod(container(SERVER, **waiting("CreateContainerError", "no command"))), "runtime", "no command"),
    (pod(container(SERVER, 3, ended(1), **waiting("CrashLoopBackOff"))), "runtime", "exit code 1"),
    (pod(container(INIT, 1, ended(1, message="NOK ... modelcar is invalid"))), "runtime", "modelcar is invalid"),
]


@pytest.mark.parametrize(("pod", "kind", "says"), PODS)
def test_obstacle_is_named(pod: Any, kind: str, says: str) -> None:
    named = found(pod)

    assert named.kind == kind
    assert says in named.what
    assert named.remedy
    assert "{" not in named.remedy


def test_what_passes_by_itself_is_given_time() -> None:
    assert (
        found(unscheduled("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")).patience == ROOM_PATIENCE_SECONDS
    )
    assert found(pod(container(INIT, **waiting("ErrImagePull")))).patience == PULL_PATIENCE_SECONDS
    assert found(pod(container(SERVER, 1, ended(1), **waiting("CrashLoopBackOff")))).patience == math.inf


EVICTED = pod(
    container(SERVER, **ended(137)), phase="Failed", reason="Evicted", message="The node was low on ephemeral-storage."
)


def test_eviction_is_no_end_of_the_server() -> None:
    assert (found(EVICTED).kind, found(EVICTED).patience) == ("disk", PULL_PATIENCE_SECONDS)


def test_eviction_is_over_where_another_pod_is_on_its_way() -> None:
    loading = pod(container(SERVER, running={}))
    assert obstacle(ServiceState(SERVICE, None, [loading, EVICTED, EVICTED], [])) is None
    again = found(loading, EVICTED, EVICTED, EVICTED)
    assert (again.kind, again.patience) == ("disk", 0)
    assert again.what.startswith("evicted from large, 3 times until now: ")


def test_what_never_passes_is_given_none() -> None:
    assert found(pod(container(INIT, **waiting("InvalidImageName")))).patience == 0
    assert found(pod(container(SERVER, **ended(137, "OOMKilled")))).patience == 0
    assert found(pod(container(SERVER, 3, ended(1), **waiting("CrashLoopBackOff")))).patience == 0


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["Traceback", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."], "GPU"),
        (["ValueError: No available memory for the cache blocks. … the KV cache"], "GPU"),
        (["RuntimeError: Found no NVIDIA driver on your system: libcuda.so.1"], "GPU"),
        (["MemoryError: cannot allocate memory"], "memory"),
        (["OSError: [Errno 28] No space left on device", "no space left on device"], "disk"),
        (["KeyError: 'architectures'"], "runtime"),
        (["INFO: Capturing CUDA graphs, 2.1 GiB of memory", "KeyError: 'architectures'"], "runtime"),
    ],
)
def test_last_words_of_a_server_say_what_it_lacked(lines: list[str], kind: str) -> None:
    state = ServiceState(SERVICE, None, [pod()], [])
    ended_server = Obstacle("runtime", "kserve-container ended, 3 times until now", "", 0)

    named = of_words(state, ended_server, lines)

    assert named.kind == kind
    assert lines[-1] in named.what


def test_missing_runtime_is_told_as_kserve_does() -> None:
    info = {"reason": "NoSupportingRuntime", "message": "No runtime found to support predictor with model type"}

    named = found(status={"modelStatus": {"lastFailureInfo": info}})

    assert named.kind == "runtime"
    assert "serve-yaml" in named.remedy


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('pods "granite" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1', "GPU"),
        ('pods "granite" is forbidden: exceeded quota: all, requested: limits.memory=64Gi', "memory"),
        ('pods "granite" is forbidden: violates PodSecurity "restricted:latest"', "cluster"),
    ],
)
def test_pods_that_are_refused_are_told_with_the_reason(message: str, kind: str) -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    deployment = typed("V1Deployment", {"status": {"conditions": [condition]}})

    named = found(deployment=deployment)

    assert (named.kind, message in named.what) == (kind, True)


def test_service_of_which_nothing_is_made_is_told_with_its_conditions() -> None:
    conditions = [{"type": "PredictorReady", "status": "False", "message": "admission webhook denied the request"}]

    named = found(status={"conditions": conditions})

    assert named.what == "KServe made no pod for it: PredictorReady: admission webhook denied the request"


def test_running_server_is_no_obstacle() -> None:
    state = ServiceState(SERVICE, None, [pod(container(SERVER, running={}))], [])

    assert obstacle(state) is None
