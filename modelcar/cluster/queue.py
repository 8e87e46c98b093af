"""Kueue's queues: a pod or a Job with a queue's label is kept from starting until there is room for it."""

from typing import Any

QUEUE = "kueue.x-k8s.io/queue-name"
"""Kueue's label for the queue that a workload waits in; see https://kueue.sigs.k8s.io/docs/tasks/run/jobs."""

_GATES = "kueue.x-k8s.io/"
"""Beginning of the scheduling gates that Kueue gives to pods, and takes away when it admits them."""


def queue_of_pod(pod: Any) -> str:
    """Returns the queue in which a pod waits to be admitted; empty if it waits in none."""
    gates = pod.spec.scheduling_gates or []
    waits = any(gate.name.startswith(_GATES) for gate in gates)
    return str((pod.metadata.labels or {}).get(QUEUE, "")) if waits else ""


def place_in(namespace: str) -> str:
    """Returns how to see what a queue's workloads wait for."""
    return f"See its place: `oc describe workloads -n {namespace}`"
