"""The scheduler's words about a pod."""

from typing import Any


def scheduler_said(pod: Any) -> str:
    """Returns why a pod is on no node yet, in the scheduler's words; empty if it is on one."""
    found = next((one for one in pod.status.conditions or () if one.type == "PodScheduled"), None)
    if found is None or found.status != "False":
        return ""
    # What follows is about making room, which this pod may not.
    return " ".join((found.message or found.reason or "").partition(" preemption:")[0].split())
