"""Obstacles to a Job, and whether waiting can help."""

import math
from dataclasses import dataclass
from typing import Any

from modelcar.cluster.failures import failures
from modelcar.cluster.job import condition, queue_of
from modelcar.cluster.queue import place_in
from modelcar.cluster.run_state import RunState
from modelcar.errors import ClusterError, ModelcarError

START_SECONDS = 180.0
"""Time for which a node may fail at what it tries again: to pull an image, to mount a volume, to find a Secret."""

_POD_SECONDS = 120.0
"""Time that the first pod may take to be made; for a service account that may not read why it is not."""

_RESULT_SECONDS = 30.0
"""Time that a pod's status may come after the Job's own."""

_TRIED_AGAIN = (
    "ErrImagePull",
    "ImagePullBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "FailedMount",
)
_WAITS_FOR_ROOM = ("Unschedulable", "SchedulerError")


@dataclass(frozen=True)
class Hindrance:
    """An obstacle to a Job.

    Attributes:
        error: The error to raise if it stays.
        patience: Seconds that it may stay; 0 if it never passes.
    """

    error: ModelcarError
    patience: float


def hindrance(state: RunState, waited: float, schedule_seconds: float) -> Hindrance | None:
    """Finds the obstacle to a Job, if there is one.

    Args:
        state: The Job, its pods, and warnings about them.
        waited: Seconds since the Job was started or its last pod was seen.
        schedule_seconds: How long it may wait for a node.
    """
    if not state.jobs:
        return Hindrance(ClusterError("the Job was deleted while it ran", "Run it again"), 0)
    job = state.jobs[0]
    failed = condition(job, "Failed")
    last = max(state.pods, key=lambda pod: pod.metadata.creation_timestamp, default=None)
    if waits_in := queue_of(job):
        waiting = f"the Job waits in the queue {waits_in} to be admitted"
        return Hindrance(ClusterError(waiting, place_in(job.metadata.namespace)), schedule_seconds)
    found = next(iter(failures(state)), None)
    if found is None:
        return _silent(job, failed, last, waited)
    error = ClusterError(found.what.removeprefix(f"{job.metadata.name} failed: "), found.remedy)
    if failed:
        return Hindrance(error, 0)
    if last is not None and _is_replaced(last):
        return Hindrance(ClusterError(found.what, "The Job starts it anew"), math.inf)
    if found.reason in _WAITS_FOR_ROOM or (found.reason == "FailedCreate" and "exceeded quota" in found.what):
        return Hindrance(error, schedule_seconds)
    return Hindrance(error, START_SECONDS if found.reason in _TRIED_AGAIN else 0)


def _silent(job: Any, failed: Any | None, last: Any | None, waited: float) -> Hindrance | None:
    """Finds what may be wrong although no pod and no warning says so."""
    name = job.metadata.name
    if failed:
        return Hindrance(ClusterError(f"the Job {name} failed: {failed.message}", "Run it again"), 0)
    if condition(job, "Complete"):
        return Hindrance(ClusterError(f"the Job {name} ended and its pod is gone", "Run it again"), _RESULT_SECONDS)
    if last is None and not job.status.failed and waited > _POD_SECONDS:
        see = f"See why: kubectl describe job {name} -n {job.metadata.namespace}"
        return Hindrance(ClusterError(f"the cluster makes no pod for the Job {name}", see), 0)
    return None


def _is_replaced(pod: Any) -> bool:
    """Tells whether the Job replaces a pod: one deleted, or disrupted by anything but its own use of the node."""
    disrupted = any(each.type == "DisruptionTarget" and each.status == "True" for each in pod.status.conditions or [])
    return bool(pod.metadata.deletion_timestamp) or (disrupted and pod.status.reason != "Evicted")
