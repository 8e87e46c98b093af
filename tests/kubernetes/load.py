"""Many nodes and pods that no kubelet knows: what a large cluster's API server has to tell."""

import contextlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

TAINT = "modelcar.test/no-kubelet"
_WRITERS = 8
_CONTAINERS = 2
_ANNOTATION_BYTES = 2500
"""For the networks and statuses that real pods tell of at length."""


def fake_node(name: str, allocatable: dict[str, str], labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A node that says that it is ready, and that only pods which bear its taint come near."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": [{"key": TAINT, "effect": "NoSchedule"}]},
        "status": {
            "allocatable": allocatable,
            "capacity": allocatable,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def fake_pod(name: str, node: str) -> dict[str, Any]:
    """A pod on a node, of the size that pods have in a real cluster's API."""
    requests = {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "1Gi"}
    container = {
        "image": "registry.invalid/somebody/something:1.0",
        "env": [{"name": f"VARIABLE_{number}", "value": "value" * 8} for number in range(10)],
        "resources": {"requests": requests, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"modelcar.test/filler": "x" * _ANNOTATION_BYTES}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{**container, "name": f"container-{number}"} for number in range(_CONTAINERS)],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    }


@contextmanager
def loaded(
    api: Any, namespace: str, nodes: int, pods: int, labels: dict[str, str] | None = None
) -> Iterator[list[str]]:
    """Fills a cluster, and empties it again.

    Args:
        api: A client with the administrator's login.
        namespace: Where the pods go.
        nodes: How many nodes.
        pods: How many pods, evenly on the nodes.
        labels: The nodes' labels.

    Yields:
        The nodes' names.
    """
    core = client.CoreV1Api(api)
    names = [f"{namespace}-{number:03}" for number in range(nodes)]
    allocatable = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "100Gi", "pods": "250"}
    try:
        _post(api, "/api/v1/nodes", (fake_node(name, allocatable, labels) for name in names))
        path = f"/api/v1/namespaces/{namespace}/pods"
        _post(api, path, (fake_pod(f"pod-{number:05}", names[number % nodes]) for number in range(pods)))
        yield names
    finally:
        _remove_pods(core, namespace)
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(_if_there(core.delete_node), names))


def beat(api: Any, names: list[str]) -> None:
    """Lets nodes say once more that they are ready: soon after they do not, the controller takes them for lost."""
    core = client.CoreV1Api(api)
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": datetime.now(UTC).isoformat()}
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(lambda name: core.patch_node_status(name, {"status": {"conditions": [condition]}}), names))


def _post(api: Any, path: str, manifests: Iterator[dict[str, Any]]) -> None:
    headers: dict[str, str] = {"Content-Type": "application/json"}
    api.update_params_for_auth(headers, [], ["BearerToken"])
    url = api.configuration.host + path

    def post(manifest: dict[str, Any]) -> None:
        answer = api.rest_client.pool_manager.request("POST", url, body=json.dumps(manifest), headers=headers)
        assert answer.status == 201, answer.data

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(post, manifests))


def _remove_pods(core: Any, namespace: str) -> None:
    """The API server gives up a request after a minute, with what it has deleted until then."""
    while core.list_namespaced_pod(namespace, limit=1).items:
        with contextlib.suppress(client.ApiException):
            core.delete_collection_namespaced_pod(namespace, grace_period_seconds=0)


def _if_there(delete: Callable[[str], Any]) -> Callable[[str], None]:
    def deleted(name: str) -> None:
        try:
            delete(name)
        except client.ApiException as error:
            if error.status != 404:
                raise

    return deleted
