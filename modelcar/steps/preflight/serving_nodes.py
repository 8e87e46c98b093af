"""The nodes on which a model could be served: do their image stores hold it, do they have the GPUs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from rich.filesize import decimal

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, explained_api
from modelcar.errors import ClusterError
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.nodes import EPHEMERAL_STORAGE, Node, listed

GPU = "nvidia.com/gpu"
PULL_FACTOR = 2.0
"""Times the image that a node's disk takes while it is pulled: all blobs of an uncompressed image, and what is unpacked
from them. CRI-O keeps blobs in /var/tmp until the last layer is applied, containerd keeps them for good."""

MAX_NODES_ASKED = 20
"""Nodes whose kubelets are asked what is free; of the others it is what all pods together may have."""

_ABOUT = "serving nodes"


@dataclass(frozen=True)
class _Store:
    """A node's disk for images.

    Attributes:
        node: The node.
        free: Bytes that are free, or that pods may have in all where the kubelet may not be asked.
        is_measured: Whether the kubelet said it.
    """

    node: Node
    free: int
    is_measured: bool


def check_serving_nodes(cluster: Cluster, image_bytes: int, gpus: int) -> Iterator[Finding]:
    """Warns where no node could hold and serve the model. It is no reason to refuse a run: clusters grow.

    Args:
        cluster: The cluster that the run is on; the model may be served on another.
        image_bytes: The image's size.
        gpus: GPUs that the model takes; 0 for none.
    """
    try:
        with explained_api("list the nodes"):
            found = [Node.read(node) for node in listed(cluster.core.list_node)]
    except ClusterError:
        return  # The check of the build's nodes says what to ask for.
    fitting = [node for node in found if node.is_up() and node.allocatable[GPU] >= gpus * 1000]
    if not fitting:
        what = f"no node of this cluster has {gpus} GPUs ({GPU}), which the model takes"
        yield Finding(_ABOUT, "warning", what, "Serve it on another cluster, or ask for such a node")
        return
    needed = int(image_bytes * PULL_FACTOR)
    stores = [_store(cluster, node, ask=number < MAX_NODES_ASKED) for number, node in enumerate(fitting)]
    roomy = [store for store in stores if store.free >= needed]
    if roomy:
        what = f"{len(roomy)} of {len(found)} nodes could pull and serve it, with {decimal(needed)} of disk"
        yield Finding(_ABOUT, "ok", what)
        return
    best = max(stores, key=lambda store: store.free)
    what = (
        f"pulling the image takes {decimal(needed)} of a node's disk, twice its size; of {len(stores)} nodes that fit "
        f"{best.node.name} has the most {'free' if best.is_measured else 'for pods'}, {decimal(best.free)}"
    )
    command = f"oc describe node {best.node.name} | grep -A8 Allocatable"
    yield Finding(_ABOUT, "warning", what, "Serve it on a node with a larger disk", command)


def _store(cluster: Cluster, node: Node, *, ask: bool) -> _Store:
    measured = _measured(cluster, node.name) if ask else None
    if measured is not None:
        return _Store(node, measured, True)
    return _Store(node, node.allocatable[EPHEMERAL_STORAGE] // 1000, False)


def _measured(cluster: Cluster, node: str) -> int | None:
    """Asks the kubelet what is free for images; None without the right to (nodes/proxy), which few have."""
    from kubernetes import client

    try:
        # The client's own method for it escapes the slash in the path.
        found: Mapping[str, Any] = cluster.api.call_api(
            f"/api/v1/nodes/{node}/proxy/stats/summary",
            "GET",
            auth_settings=["BearerToken"],
            response_type="object",
            _return_http_data_only=True,
            _request_timeout=REQUEST_SECONDS,
        )
        return int(found["node"]["runtime"]["imageFs"]["availableBytes"])
    except (client.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError):
        return None
