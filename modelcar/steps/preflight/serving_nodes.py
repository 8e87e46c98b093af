"""The nodes on which a model could be served: do their image stores hold it, do they have the GPUs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3
from rich.filesize import decimal

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.errors import ClusterError
from modelcar.progress import duration
from modelcar.serving.pulls import read_pull
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.nodes import EPHEMERAL_STORAGE, PAGE, Node, listed

GPU = "nvidia.com/gpu"
PULL_FACTOR = 2.0
"""Times the image that a node's disk takes while it is pulled: all blobs of an uncompressed image, and what is unpacked
from them. CRI-O keeps blobs in /var/tmp until the last layer is applied, containerd keeps them for good."""

MAX_NODES_ASKED = 20
"""Nodes whose kubelets are asked what is free; of the others it is what all pods together may have."""

EVICTED_BELOW, COLLECTED_ABOVE = 0.15, 0.85
"""The kubelet's own defaults, as parts of the image store: below that much free it evicts pods, above that much used it
removes images that no container uses (KubeletConfiguration, evictionHard and imageGCHighThresholdPercent)."""

USUAL_LINE = 125_000_000
"""Bytes a second of a line of 1 Gbit/s, where nothing is known of the nodes' own."""

MIN_PULL_BYTES = 20_000_000
"""Size below which a pull says nothing of a line's speed."""

_ABOUT, _ABOUT_PULL = "serving nodes", "pull time"


@dataclass(frozen=True)
class _Store:
    """A node's disk for images.

    Attributes:
        node: The node.
        free: Bytes that a pull may take: down to where the kubelet evicts pods; what pods may have in all where the
            kubelet may not be asked.
        kept: Bytes that an image may have and stay when no container uses it; None where that is not known.
        is_measured: Whether the kubelet said it.
    """

    node: Node
    free: int
    kept: int | None = None
    is_measured: bool = False


def check_serving_nodes(cluster: Cluster, image_bytes: int, gpus: int) -> Iterator[Finding]:
    """Warns where no node could hold and serve the model. It is no reason to refuse a run: clusters grow.

    Args:
        cluster: The cluster that the run is on; the model may be served on another.
        image_bytes: The image's size.
        gpus: GPUs that the model takes; 0 for none.
    """
    yield from _pull_time(cluster, image_bytes)
    try:
        with api_errors("list the nodes"):
            found = [Node.read(node) for node in listed(cluster.core.list_node)]
    except ClusterError:
        what = f"serving takes a node with {decimal(int(image_bytes * PULL_FACTOR))} of disk, twice the image's size"
        unseen = f"{what}{f', and {gpus} GPUs' if gpus else ''}; this account may not look whether there is one"
        yield Finding(_ABOUT, "ok", unseen)
        return
    fitting = [node for node in found if node.is_up() and node.allocatable[GPU] >= gpus * 1000]
    if not fitting:
        what = f"no node of this cluster has {gpus} GPUs ({GPU}), which the model takes"
        command = f"oc describe nodes | grep -E '^Name:|{GPU}'"
        yield Finding(_ABOUT, "warning", what, "Serve it on another cluster, or ask for such a node", command)
        return
    stores = [_store(cluster, node, ask=number < MAX_NODES_ASKED) for number, node in enumerate(fitting)]
    yield _room(stores, image_bytes, len(found))


def _room(stores: Sequence[_Store], image_bytes: int, count: int) -> Finding:
    """Returns whether one of the nodes has room for a pull, and whether the image would stay there."""
    needed = int(image_bytes * PULL_FACTOR)
    roomy = [store for store in stores if store.free >= needed]
    if not roomy:
        best = max(stores, key=lambda store: store.free)
        much = f"{decimal(max(best.free, 0))} {'free before it evicts pods' if best.is_measured else 'for pods'}"
        what = (
            f"pulling the image takes {decimal(needed)} of a node's disk, twice its size; of {len(stores)} nodes that "
            f"fit {best.node.name} has the most, {much}"
        )
        command = f"oc describe node {best.node.name} | grep -A8 Allocatable"
        return Finding(_ABOUT, "warning", what, "Serve it on a node with a larger disk", command)
    what = f"{len(roomy)} of {count} nodes could pull and serve it, with {decimal(needed)} of disk"
    if all(store.kept is not None and store.kept < image_bytes for store in roomy):
        what += "; but there the kubelet removes it again when no container uses it, for the disk is then too full"
        command = f"oc get --raw /api/v1/nodes/{roomy[0].node.name}/proxy/configz"
        return Finding(_ABOUT, "warning", what, "Pull ahead just before it is served, or take a larger disk", command)
    return Finding(_ABOUT, "ok", what)


def _pull_time(cluster: Cluster, image_bytes: int) -> Iterator[Finding]:
    """Yields how long a node will pull, by the fastest pull that this project's events tell of."""
    try:
        with api_errors("list events"):
            events = cluster.core.list_namespaced_event(
                cluster.namespace, field_selector="reason=Pulled", limit=PAGE, _request_timeout=REQUEST_SECONDS
            ).items
    except ClusterError:
        events = []
    speeds = [speed for event in events if (speed := pull_speed(event.message or ""))]
    speed = max(speeds, default=USUAL_LINE)
    source = "the fastest pull that this project's events tell of" if speeds else "a line of 1 Gbit/s"
    what = (
        f"a node pulls the image in about {duration(image_bytes / speed)}, at {decimal(int(speed))} a second ({source})"
    )
    yield Finding(_ABOUT_PULL, "ok", what)


def pull_speed(message: str) -> float:
    """Returns the bytes a second of a pull, in the kubelet's own words; 0 if it was too small to tell, or is none."""
    _, seconds, count = read_pull(message) or ("", 0.0, 0)
    return count / seconds if seconds and count >= MIN_PULL_BYTES else 0.0


def _store(cluster: Cluster, node: Node, *, ask: bool) -> _Store:
    measured = _measured(cluster, node) if ask else None
    return measured or _Store(node, node.allocatable[EPHEMERAL_STORAGE] // 1000)


def _measured(cluster: Cluster, node: Node) -> _Store | None:
    """Asks the kubelet what is free for images; None without the right to (nodes/proxy), which few have."""
    from kubernetes import client

    try:
        images = _asked(cluster, node.name, "stats/summary")["node"]["runtime"]["imageFs"]
        free, capacity = int(images["availableBytes"]), int(images["capacityBytes"])
        evicted_below, collected_above = _thresholds(_asked(cluster, node.name, "configz")["kubeletconfig"], capacity)
    except (client.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError):
        return None
    used = capacity - free
    return _Store(node, free - evicted_below, collected_above - used, is_measured=True)


def _thresholds(config: Mapping[str, Any], capacity: int) -> tuple[int, int]:
    """Returns the bytes below which the kubelet evicts pods, and those above which it removes unused images."""
    from kubernetes.utils.quantity import parse_quantity

    below = str((config.get("evictionHard") or {}).get("imagefs.available", f"{EVICTED_BELOW:.0%}"))
    evicted_below = float(below[:-1]) / 100 * capacity if below.endswith("%") else float(parse_quantity(below))
    above = config.get("imageGCHighThresholdPercent")
    return int(evicted_below), int((COLLECTED_ABOVE if above is None else above / 100) * capacity)


def _asked(cluster: Cluster, node: str, path: str) -> Mapping[str, Any]:
    # The client's own method for it escapes the slash in the path.
    found: Mapping[str, Any] = cluster.api.call_api(
        f"/api/v1/nodes/{node}/proxy/{path}",
        "GET",
        auth_settings=["BearerToken"],
        response_type="object",
        _return_http_data_only=True,
        _request_timeout=REQUEST_SECONDS,
    )
    return found
