"""Nodes that would run a pod, as the scheduler will judge it: labels, taints, and what running pods leave of each.

A large cluster's pods are many megabytes of JSON. So only the pods of nodes that would do otherwise are looked at, from
the largest disk on until one has room, and they come from the API server's cache, which has them by node.
"""

import json
import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.errors import ClusterError
from modelcar.steps.preflight.finding import Finding

PAGE = 500
"""Objects asked for at a time; as many as kubectl asks for."""

NODES_AT_ONCE, PARALLEL_REQUESTS = 16, 8
MAX_NODES_LOOKED_AT = 96
"""Nodes whose pods are looked at. Where so many have no room, it is no news that others may have."""

EPHEMERAL_STORAGE = "ephemeral-storage"
_ABOUT = "nodes"
_READER_REMEDY = "An administrator can let it look (manifests/README.md)"
_READER_COMMAND = "oc apply -k manifests/openshift"
_NAMED = 5
"""Number of nodes that are named where many would do."""

# What has ended gives back what it had reserved.
_RESERVING = "status.phase!=Succeeded,status.phase!=Failed"
_REPELLING = ("NoSchedule", "NoExecute")

Resources = Counter[str]
"""Amounts by a resource's name, in thousandths: whole numbers, as fine as Kubernetes' own (250m of a processor)."""


@dataclass(frozen=True)
class Need:
    """Needs of a pod.

    Attributes:
        node_selector: Labels that the node must have.
        tolerations: Taints that the pod bears, as Kubernetes' own JSON.
        requests: Quantities by resource, such as `{"ephemeral-storage": "2Gi"}`.
    """

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    requests: Mapping[str, str] = field(default_factory=dict)

    @property
    def resources(self) -> Resources:
        """The requests as amounts; a pod is also one of the pods that a node takes."""
        return _resources(self.requests) + _ONE_POD


@dataclass(frozen=True)
class Node:
    """A node, and what is left of it.

    Attributes:
        name: Its name.
        labels: Its labels.
        taints: Its taints, as Kubernetes' own JSON.
        is_ready: Whether its kubelet says so.
        is_cordoned: Whether an administrator keeps new pods away (`unschedulable`).
        allocatable: What pods may have of it in all.
        requested: What running pods have reserved; None where that was not looked up.
    """

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    is_ready: bool
    is_cordoned: bool
    allocatable: Resources
    requested: Resources | None = None

    @classmethod
    def read(cls, node: Mapping[str, Any]) -> "Node":
        """A node from Kubernetes' own JSON."""
        conditions = node.get("status", {}).get("conditions") or []
        return cls(
            name=node["metadata"]["name"],
            labels=node["metadata"].get("labels") or {},
            taints=node.get("spec", {}).get("taints") or [],
            is_ready=any(one["type"] == "Ready" and one["status"] == "True" for one in conditions),
            is_cordoned=bool(node.get("spec", {}).get("unschedulable")),
            allocatable=_resources(node.get("status", {}).get("allocatable")),
        )

    def is_up(self) -> bool:
        """Tells whether it takes any new pods."""
        return self.is_ready and not self.is_cordoned

    def is_selected(self, need: Need) -> bool:
        """Tells whether it has the labels."""
        return all(self.labels.get(key) == value for key, value in need.node_selector.items())

    def repels(self, need: Need) -> list[Mapping[str, str]]:
        """The taints that keep the pod away. A cordoned node's own taint is not among them: `is_cordoned` says it."""
        return [
            taint
            for taint in self.taints
            if taint["effect"] in _REPELLING
            and taint["key"] != "node.kubernetes.io/unschedulable"
            and not any(_tolerates(toleration, taint) for toleration in need.tolerations)
        ]

    def lacks(self, need: Need, *, even_if_empty: bool = False) -> list[str]:
        """The resources of which it has too little left, or would have even without any other pod."""
        taken = Resources() if even_if_empty or self.requested is None else self.requested
        return [name for name, amount in need.resources.items() if amount > self.allocatable[name] - taken[name]]

    def has_room(self, need: Need) -> bool:
        """Tells whether it is known to have enough left."""
        return self.requested is not None and not self.lacks(need)

    @property
    def free_storage(self) -> int:
        """Bytes of ephemeral storage that no pod has reserved, as far as is known."""
        taken = self.requested or Resources()
        return max(self.allocatable[EPHEMERAL_STORAGE] - taken[EPHEMERAL_STORAGE], 0) // 1000


def check(cluster: Cluster, need: Need) -> list[Finding]:
    """Checks whether a node would run a pod. Where nodes may not be listed, that is a warning."""
    try:
        with api_errors("list the nodes"):
            nodes = [Node.read(node) for node in listed(cluster.core.list_node)]
    except ClusterError as error:
        return [_unseen(error, "")]
    selected = [node for node in nodes if node.is_selected(need)]
    candidates = [node for node in selected if node.is_up() and _would_do(node, need)]
    # Where there are none, those that a command would make one.
    candidates = candidates or [node for node in nodes if _would_do(node, need)]
    unseen: list[Finding] = []
    try:
        known = look_at(cluster, candidates, need)
    except ClusterError as error:
        known = [replace(node, requested=Resources()) for node in candidates]
        unseen = [_unseen(error, "What pods have reserved is left out. ")]
    by_name = {node.name: node for node in known}
    return [judge([by_name.get(node.name, node) for node in nodes], need), *unseen]


def _unseen(error: ClusterError, consequence: str) -> Finding:
    return Finding(_ABOUT, "warning", error.what, consequence + _READER_REMEDY, _READER_COMMAND)


def look_at(cluster: Cluster, nodes: Sequence[Node], need: Need) -> list[Node]:
    """Looks up what running pods have reserved on nodes, from the largest disk on, until one has room.

    Returns:
        The nodes that were looked at, which are few of many.

    Raises:
        ClusterError: The API server refused, or cannot be reached.
    """
    ordered = sorted(nodes, key=lambda node: (-node.allocatable[EPHEMERAL_STORAGE], node.name))[:MAX_NODES_LOOKED_AT]
    known: list[Node] = []
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        while len(known) < len(ordered) and not any(node.has_room(need) for node in known):
            these = ordered[len(known) :][:NODES_AT_ONCE]
            reserved = pool.map(lambda node: read_reserved(cluster, node.name), these)
            known += [replace(node, requested=taken) for node, taken in zip(these, reserved, strict=True)]
    return known


def read_reserved(cluster: Cluster, node: str) -> Resources:
    """Returns what the pods on a node have reserved.

    Raises:
        ClusterError: The API server refused, or cannot be reached.
    """
    total = Resources()
    selector = f"{_RESERVING},spec.nodeName={node}"
    with api_errors("list the pods of all namespaces"):
        for pod in listed(cluster.core.list_pod_for_all_namespaces, field_selector=selector, resource_version="0"):
            total.update(requests_of(pod["spec"]))
    return total


def requests_of(spec: Mapping[str, Any]) -> Resources:
    """Returns what a pod reserves, counted as the scheduler counts it.

    Containers add up. Init containers run before them one at a time, so the largest counts if it is more; those that go
    on running (sidecars) add to all that come after. Requests for the pod as a whole stand for its containers', and
    the runtime's own overhead comes on top.

    Args:
        spec: The pod's `spec`, as Kubernetes' own JSON.
    """
    running, sidecars, starting = Resources(), Resources(), Resources()
    for container in spec.get("initContainers") or ():
        own = _requests(container)
        if container.get("restartPolicy") == "Always":
            sidecars += own
            starting |= sidecars
        else:
            starting |= sidecars + own
    for container in spec["containers"]:
        running += _requests(container)
    as_a_whole = _requests(spec)
    total = (running + sidecars) | starting
    return Resources({**total, **as_a_whole}) + _resources(spec.get("overhead")) + _ONE_POD


def judge(nodes: Sequence[Node], need: Need) -> Finding:
    """Tells whether a node would run the pod; if none would, why, and what to do about it, as a command."""
    selected = [node for node in nodes if node.is_selected(need)]
    open_to_us = [node for node in selected if node.is_up() and not node.repels(need)]
    fitting = [node for node in open_to_us if node.has_room(need)]
    if fitting:
        least = "at least " if any(node.requested is None and _would_do(node, need) for node in open_to_us) else ""
        return Finding(_ABOUT, "ok", f"{least}{len(fitting)} of {_count(nodes)} would run the build: {_names(fitting)}")
    waiting = [node for node in open_to_us if node.requested is not None and not node.lacks(need, even_if_empty=True)]
    if waiting:
        return _busy(waiting, need)
    remedy, command = _remedy(nodes, selected, open_to_us, need)
    return Finding(_ABOUT, "refusal", f"no node would run the build: {_reasons(nodes, need)}", remedy, command)


def _busy(waiting: Sequence[Node], need: Need) -> Finding:
    lacking = " and ".join(sorted({name for node in waiting for name in node.lacks(need)}))
    what = f"running pods have reserved the {lacking} that the build needs on {_names(waiting)}; it may wait for them"
    return Finding(_ABOUT, "warning", what, "Wait, or see what runs there", f"oc describe node {waiting[0].name}")


def _reasons(nodes: Sequence[Node], need: Need) -> str:
    """Counts the nodes that each reason keeps away; a node counts for the first that applies, as for the scheduler."""
    counted = Counter(_reason(node, need) for node in nodes)
    return (
        ", ".join(f"{count} of {_count(nodes)} {reason}" for reason, count in counted.most_common()) or "there is none"
    )


def _reason(node: Node, need: Need) -> str:
    if not node.is_selected(need):
        return "without the label " + ",".join(f"{key}={value}" for key, value in need.node_selector.items())
    if not node.is_ready:
        return "not ready"
    if node.is_cordoned:
        return "cordoned"
    if taints := node.repels(need):
        return f"with the taint {_taint(taints[0])}"
    lacking = node.lacks(need, even_if_empty=True) or node.lacks(need)
    return "with too little " + " and ".join(
        f"{name} ({need.requests[name]} requested)" if name in need.requests else name for name in lacking
    )


def _remedy(nodes: Sequence[Node], selected: Sequence[Node], open_to_us: Sequence[Node], need: Need) -> tuple[str, str]:
    """Returns the remedy, a sentence and a command: the least first."""
    remedies = (
        _uncordon(selected, need),
        _label(nodes, need),
        _tolerate(selected, need),
        ("Add a node", "oc get nodes") if not nodes else None,
    )
    return next(filter(None, remedies), None) or _ask_for_less(open_to_us or selected or nodes)


def _uncordon(selected: Sequence[Node], need: Need) -> tuple[str, str] | None:
    cordoned = [node for node in selected if node.is_cordoned and node.has_room(need) and _would_do(node, need)]
    if not cordoned:
        return None
    return f"Open a node again; {_names(cordoned)} would do", f"oc adm uncordon {_best(cordoned).name}"


def _label(nodes: Sequence[Node], need: Need) -> tuple[str, str] | None:
    others = [node for node in nodes if not node.is_selected(need)]
    unlabelled = [node for node in others if node.is_up() and node.has_room(need) and _would_do(node, need)]
    if not unlabelled:
        return None
    best = _best(unlabelled)
    lacking = {key: value for key, value in need.node_selector.items() if best.labels.get(key) != value}
    labels = [f"{key}={value}" for key, value in lacking.items()]
    overwrite = ["--overwrite"] if lacking.keys() & best.labels.keys() else []
    command = shlex.join(["oc", "label", "node", best.name, *labels, *overwrite])
    return f"Label a node; {_names(unlabelled)} would do", command


def _tolerate(selected: Sequence[Node], need: Need) -> tuple[str, str] | None:
    tainted = [node for node in selected if node.is_up() and not node.lacks(need) and node.repels(need)]
    if not tainted:
        return None
    tolerations = json.dumps([_toleration(taint) for taint in _best(tainted).repels(need)])
    return f"Let the build run on {_names(tainted)}: give the pipeline's tolerations as {tolerations}", ""


def _ask_for_less(nodes: Sequence[Node]) -> tuple[str, str]:
    # A label cannot add capacity that no node has.
    best = _best(nodes)
    free = f"{best.name} has the most ephemeral storage: {_gibibytes(best.free_storage)} are free"
    advice = "The build writes to the claim, so build_ephemeral_storage can be left empty"
    return f"Ask for less, or add a node: {free}. {advice}", f"oc describe node {best.name}"


def _would_do(node: Node, need: Need) -> bool:
    """Tells whether a node would take the pod but for its labels and cordon."""
    return node.is_ready and not node.repels(need) and not node.lacks(need)


def _best(nodes: Sequence[Node]) -> Node:
    return max(nodes, key=lambda node: (node.free_storage, node.name))


def _names(nodes: Sequence[Node]) -> str:
    ordered = sorted(nodes, key=lambda node: (-node.free_storage, node.name))
    named = ", ".join(f"{node.name} ({_gibibytes(node.free_storage)} free)" for node in ordered[:_NAMED])
    return named if len(ordered) <= _NAMED else f"{named} and {len(ordered) - _NAMED} more"


def _gibibytes(count: int) -> str:
    """As one would write a request."""
    return f"{count / (1 << 30):.1f}Gi"


def _count(nodes: Sequence[Node]) -> str:
    return f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}"


def _taint(taint: Mapping[str, str]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


def _toleration(taint: Mapping[str, str]) -> dict[str, str]:
    value = {"operator": "Equal", "value": taint["value"]} if taint.get("value") else {"operator": "Exists"}
    return {"key": taint["key"], **value, "effect": taint["effect"]}


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    """See https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    return operator == "Exists" or (operator == "Equal" and toleration.get("value", "") == taint.get("value", ""))


def listed(call: Callable[..., Any], **options: Any) -> Iterator[dict[str, Any]]:
    """All objects of a kind, a page at a time, as JSON: the client's own objects take ten times as long to make."""
    token = None
    while True:
        answer = call(limit=PAGE, _continue=token, _preload_content=False, _request_timeout=REQUEST_SECONDS, **options)
        page = json.loads(answer.data)
        yield from page["items"]
        token = page["metadata"].get("continue")
        options.pop("resource_version", None)
        if not token:
            return


def _requests(resourced: Mapping[str, Any]) -> Resources:
    return _resources((resourced.get("resources") or {}).get("requests"))


def _resources(quantities: Mapping[str, Any] | None) -> Resources:
    return Resources({name: _thousandths(str(quantity)) for name, quantity in (quantities or {}).items()})


@lru_cache(4096)
def _thousandths(quantity: str) -> int:
    from kubernetes.utils.quantity import parse_quantity

    amount: Decimal = parse_quantity(quantity)
    return math.ceil(amount * 1000)


_ONE_POD: Resources = Resources({"pods": 1000})
