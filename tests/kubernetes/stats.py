"""What the kubelets count: the very figures by which they evict."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes import client

_SECONDS_BETWEEN_LOOKS = 0.5


@dataclass
class Peak:
    """The most that a pod was seen to use of its node's disk.

    Attributes:
        used_bytes: Of the containers' file systems, logs and emptyDirs, as the kubelet adds them up.
        looks: How often the kubelet gave a figure.
    """

    used_bytes: int = 0
    looks: int = 0


def summary(api: Any, node: str) -> Any:
    """A kubelet's own figures, through the API server."""
    answer = client.CoreV1Api(api).connect_get_node_proxy_with_path(node, "stats/summary", _preload_content=False)
    return json.loads(answer.data)


def ephemeral_bytes(api: Any, node: str, namespace: str, pod: str) -> int | None:
    """What a pod uses of its node's disk; None as long as the kubelet has not counted."""
    for counted in summary(api, node)["pods"]:
        if counted["podRef"]["name"] == pod and counted["podRef"]["namespace"] == namespace:
            used = counted.get("ephemeral-storage", {}).get("usedBytes")
            return None if used is None else int(used)
    return None


@contextmanager
def watching_disk(api: Any, node: str, namespace: str, pod: str) -> Iterator[Peak]:
    """Looks at a pod's disk use over and over again, until the context is left.

    Yields:
        The peak so far.
    """
    peak = Peak()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(_SECONDS_BETWEEN_LOOKS):
            used = ephemeral_bytes(api, node, namespace, pod)
            if used is not None:
                peak.used_bytes = max(peak.used_bytes, used)
                peak.looks += 1

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
