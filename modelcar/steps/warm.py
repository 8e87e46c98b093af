"""Pulls an image onto nodes ahead of time, so that a server that needs it there starts in seconds.

A pod on each node pulls the image and goes; the image stays in the node's store until the kubelet needs its room.
"""

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.cluster.scheduling import scheduler_said
from modelcar.cluster.watch import watched
from modelcar.errors import ClusterError
from modelcar.oci.reference import Reference

LABEL = "modelcar.io/warms"
"""The label of the pods of one call."""

PULL_SECONDS = 7200.0
"""Time that a pull may take: 140 GB took 4,600 s in a benchmark of KServe's."""

_REFUSED = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
"""Reasons of a container that will not start. A first ErrImagePull may pass: the kubelet tries again."""

_IS_THERE = ("StartError", "RunContainerError", "CreateContainerError", "CreateContainerConfigError")
"""Reasons of a container that cannot start although its image is there: it has no `true`, or wants to be root."""

_LATE, _EVICTED = "DeadlineExceeded", "Evicted"
"""Reasons of a pod that ended before its container was made."""

_DISK = "A node needs twice the image's size while it pulls"
_SEE_NODE = "See what it has: oc describe node"


@dataclass(frozen=True)
class WarmNode:
    """The outcome of a node.

    Attributes:
        node: Its name.
        seconds: How long it took until the image was there.
        problem: Why it is not; empty if it is.
        remedy: What to do about that.
    """

    node: str
    seconds: float
    problem: str = ""
    remedy: str = ""


def warm(
    image: str,
    nodes: Mapping[str, str],
    *,
    cluster: Cluster,
    pull_secret: str = "",
    timeout: float = PULL_SECONDS,
    say: Callable[[str], None] = print,
) -> list[WarmNode]:
    """Pulls an image onto all nodes that have some labels.

    Args:
        image: The image; best with its digest, or the kubelet may ask for the tag again when a server starts.
        nodes: Labels of the nodes; empty for all that take pods.
        cluster: The cluster; the pods are made in its namespace.
        pull_secret: The Secret with which the image is pulled; empty for the service account's own.
        timeout: How long the pulls may take, in seconds.
        say: Is told what becomes of each node, as it happens.

    Returns:
        What became of each node, by name.

    Raises:
        ClusterError: There is no such node, or pods may not be made.
    """
    reference = str(Reference.parse(image))
    names = _ready_nodes(cluster, nodes)
    mark = uuid4().hex[:12]
    pulls = _Pulls(names, say)
    say(f"pulling {reference} onto {len(names)} node{'s' * (len(names) > 1)}: {', '.join(names)}")
    try:
        for number, node in enumerate(names):
            with api_errors("create a pod", "Let your account create pods: oc auth can-i create pods"):
                pod = _pod(f"modelcar-warm-{mark}-{number}", mark, reference, node, pull_secret, timeout)
                cluster.core.create_namespaced_pod(cluster.namespace, pod, _request_timeout=REQUEST_SECONDS)
        pulls.follow(cluster, mark, timeout)
    finally:
        _remove(cluster, mark)
    return pulls.ended(timeout)


class _Pulls:
    """Follows the pods of one call."""

    def __init__(self, nodes: Sequence[str], say: Callable[[str], None]) -> None:
        self._nodes, self._say = nodes, say
        self._done: dict[str, WarmNode] = {}
        self._waits: dict[str, str] = {}
        self._began = time.monotonic()

    def follow(self, cluster: Cluster, mark: str, timeout: float) -> None:
        """Watches until every node has the image, or will not get it, or the time is up."""
        listing = cluster.core.list_namespaced_pod
        for pods in watched(listing, timeout, namespace=cluster.namespace, label_selector=f"{LABEL}={mark}"):
            for pod in pods:
                self._take(pod)
            if len(self._done) == len(self._nodes):
                return

    def ended(self, timeout: float) -> list[WarmNode]:
        """Returns the outcome of each node."""
        return [self._done.get(node) or self._late(node, timeout) for node in sorted(self._nodes)]

    def _late(self, node: str, timeout: float) -> WarmNode:
        if waits := self._waits.get(node):
            return WarmNode(node, timeout, f"it took no pod in {timeout:.0f} s: {waits}", f"{_SEE_NODE} {node}")
        return WarmNode(node, timeout, f"the image was not there after {timeout:.0f} s", "Give it more time (timeout)")

    def _take(self, pod: Any) -> None:
        node = pod.spec.node_selector["kubernetes.io/hostname"]
        if node in self._done:
            return
        outcome = _outcome(pod, node, time.monotonic() - self._began)
        if outcome is not None:
            self._done[node] = outcome
            self._say(f"{node}: {outcome.problem or f'there after {outcome.seconds:.0f} s'}")
        self._note_wait(node, scheduler_said(pod))

    def _note_wait(self, node: str, waits: str) -> None:
        """Says once what keeps a pod from its node, which may pass."""
        if waits and not self._waits.get(node):
            self._say(f"{node}: it takes no pod yet: {waits}")
        self._waits[node] = waits


def _outcome(pod: Any, node: str, seconds: float) -> WarmNode | None:
    """Returns the outcome of a pod's pull; None while it lasts."""
    status: Any = next(iter(pod.status.container_statuses or ()), None)
    waiting, ended = (status.state.waiting, status.state.terminated) if status else (None, None)
    # A container that was never made is called terminated too, once its pod has ended.
    if (ended is not None and status.container_id) or (waiting is not None and waiting.reason in _IS_THERE):
        return WarmNode(node, seconds)
    if waiting is not None and waiting.reason in _REFUSED:
        what = f"{waiting.reason}: {' '.join((waiting.message or '').split())[:300]}"
        return WarmNode(node, seconds, what, _for_pull(status.image, pod))
    # The end of its time is that of the call.
    if pod.status.phase != "Failed" or pod.status.reason == _LATE:
        return None
    what = f"{pod.status.reason or 'failed'}: {pod.status.message or 'the node took no pod'}"
    remedy = f"{_SEE_NODE} {node}"
    return WarmNode(node, seconds, what, f"{_DISK}. {remedy}" if pod.status.reason == _EVICTED else remedy)


def _for_pull(image: str, pod: Any) -> str:
    secrets = ", ".join(each.name for each in pod.spec.image_pull_secrets or ()) or "none"
    command = f"oc image info {shlex.quote(image)}"
    return f"Check the image's name, and that its pull secret may pull it (now: {secrets}). Try `{command}`"


def _ready_nodes(cluster: Cluster, labels: Mapping[str, str]) -> list[str]:
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    with api_errors("list the nodes", "Ask for the ClusterRole modelcar-node-reader (manifests/cluster)"):
        listed = cluster.core.list_node(label_selector=selector, _request_timeout=REQUEST_SECONDS).items
    ready = [
        node.metadata.labels.get("kubernetes.io/hostname", node.metadata.name)
        for node in listed
        if not node.spec.unschedulable
        and any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or ())
    ]
    if not ready:
        what = f"no node that takes pods has {selector}" if selector else "no node takes pods"
        raise ClusterError(what, "See the labels: oc get nodes --show-labels")
    return sorted(ready)


def _pod(name: str, mark: str, image: str, node: str, pull_secret: str, timeout: float) -> dict[str, Any]:
    container = {
        "name": "pull",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["true"],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {LABEL: mark}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": max(int(timeout), 1),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "nodeSelector": {"kubernetes.io/hostname": node},
            # Nodes with GPUs often repel what needs none.
            "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
            "imagePullSecrets": [{"name": pull_secret}] if pull_secret else [],
            "containers": [container],
        },
    }


def _remove(cluster: Cluster, mark: str) -> None:
    with api_errors("remove the pods that pulled", f"Remove them: oc delete pods -l {LABEL}={mark}"):
        cluster.core.delete_collection_namespaced_pod(
            cluster.namespace, label_selector=f"{LABEL}={mark}", _request_timeout=REQUEST_SECONDS
        )
