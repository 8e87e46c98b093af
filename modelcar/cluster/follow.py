"""A Job from its start to its end, with its log; and what becomes of it when the step that follows it is ended."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from modelcar.cluster.connection import Cluster
from modelcar.cluster.executor import Executor
from modelcar.cluster.hindrance import hindrance
from modelcar.cluster.job import CONTAINER, DELETE_SECONDS, Work, delete, start, suspend
from modelcar.cluster.pod_log import PodLog
from modelcar.cluster.run_state import RunState
from modelcar.cluster.watch import watched
from modelcar.errors import ClusterError, ModelcarError
from modelcar.records.step_record import StepRecord, records_in
from modelcar.retries import retrying

_TICK_SECONDS = 1.0
_LAST_LINES_SECONDS = 10.0
_CONTROLLER = "batch.kubernetes.io/controller-uid"


def follow_job(cluster: Cluster, executor: Executor, work: Work, schedule_seconds: float) -> StepRecord:
    """Has a Job do the work, and waits for it.

    Its log follows into this step's log. Afterwards the Job is gone; when it failed, it stays, for the report, but
    makes no further pod. When this step is cancelled, the Job is deleted with it. When just this step's pod is deleted,
    as when its node is drained, the Job goes on, and the next attempt adopts it.

    Args:
        cluster: Where.
        executor: This step's pod.
        work: What the Job shall do.
        schedule_seconds: How long it may wait for a node.

    Returns:
        What it did.

    Raises:
        ModelcarError: It failed, in its own words; or the cluster refused or ended it.
    """
    name = work.name(executor.run_id)
    try:
        job = start(cluster, work, executor)
        record = _followed(cluster, job, schedule_seconds)
    except (SystemExit, KeyboardInterrupt):
        _leave(cluster, name)
        raise
    try:
        retrying(delete)(cluster, name)
    except ClusterError as error:
        # The work is done, and the report deletes what is left.
        print(error, flush=True)
    return record


def _followed(cluster: Cluster, job: Any, schedule_seconds: float) -> StepRecord:
    try:
        return _Following(cluster, job, schedule_seconds).to_the_end()
    except ModelcarError as error:
        # Where merely the API server cannot be reached, the Job goes on, for the next attempt.
        if not error.may_pass:
            suspend(cluster, job.metadata.name)
        raise


class _Following:
    """Follows one Job.

    Args:
        cluster: Where it is.
        job: The Job.
        schedule_seconds: How long it may wait for a node.
    """

    def __init__(self, cluster: Cluster, job: Any, schedule_seconds: float) -> None:
        self._cluster = cluster
        self._schedule_seconds = schedule_seconds
        self._changes: queue.SimpleQueue[tuple[str, list[Any] | ClusterError]] = queue.SimpleQueue()
        self._seen: dict[str, list[Any]] = {"jobs": [job], "pods": [], "events": []}
        self._logs: dict[str, PodLog] = {}
        self._said: set[str] = set()
        own = f"metadata.name={job.metadata.name}"
        pods = f"{_CONTROLLER}={job.metadata.uid}"
        self._watch("jobs", cluster.batch.list_namespaced_job, field_selector=own)
        self._watch("pods", cluster.core.list_namespaced_pod, label_selector=pods)
        self._watch("events", cluster.core.list_namespaced_event, field_selector="type=Warning")

    def to_the_end(self) -> StepRecord:
        """Waits until the work is done, or cannot be done."""
        begun = last_well = time.monotonic()
        while True:
            self._take_in()
            if (record := self._result()) is not None:
                return record
            now = time.monotonic()
            hindered = hindrance(self._state(), now - begun, self._schedule_seconds)
            if hindered is None:
                last_well = now
            elif now - last_well >= hindered.patience:
                self._finish_logs()
                raise hindered.error
            else:
                self._say(f"waiting: {hindered.error}")

    def _watch(self, kind: str, call: Callable[..., Any], **which: str) -> None:
        def feed() -> None:
            try:
                for found in watched(call, namespace=self._cluster.namespace, **which):
                    self._changes.put((kind, found))
            except ClusterError as error:
                self._changes.put((kind, error))

        threading.Thread(target=feed, daemon=True).start()

    def _take_in(self) -> None:
        with suppress(queue.Empty):
            kind, found = self._changes.get(timeout=_TICK_SECONDS)
            if not isinstance(found, ClusterError):
                self._seen[kind] = found
            elif kind == "events" and not found.may_pass:
                self._say(f"why a pod waits cannot be told: {found}")
            else:
                raise found
        for pod in self._seen["pods"]:
            self._follow_log(pod)

    def _state(self) -> RunState:
        names = {each.metadata.uid for kind in ("jobs", "pods") for each in self._seen[kind]}
        events = [event for event in self._seen["events"] if event.involved_object.uid in names]
        return RunState(self._seen["pods"], self._seen["jobs"], events)

    def _result(self) -> StepRecord | None:
        for pod in self._seen["pods"]:
            if pod.status.phase == "Succeeded":
                self._finish_logs()
                message = _last_words(pod)
                records = records_in(message)
                if not records:
                    raise ClusterError(f"the pod {pod.metadata.name} ended well and left no result: {message!r}")
                return records[-1]
        return None

    def _follow_log(self, pod: Any) -> None:
        state = _state_of_container(pod)
        if state is None or not (state.running or state.terminated):
            return
        name = pod.metadata.name
        if name not in self._logs:
            print(f"pod {name} runs on node {pod.spec.node_name}", flush=True)
            self._logs[name] = PodLog(self._cluster, name, CONTAINER)
        if state.terminated or pod.metadata.deletion_timestamp:
            self._logs[name].is_over.set()

    def _finish_logs(self) -> None:
        for log in self._logs.values():
            if log.is_over.is_set():
                log.join(_LAST_LINES_SECONDS)

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            print(line, flush=True)


def _leave(cluster: Cluster, name: str) -> None:
    """Decides on the Job when this step's process is ended: it goes on only if just the pod was deleted.

    A cancelled run's steps get their signal, but their pods stay. A pod that is being deleted makes room on its node,
    or goes with its run; in that case the Job's other owner goes too, and the Job with it.
    """
    with suppress(Exception):
        pod = cluster.own_pod()
        if pod is not None and pod.metadata.deletion_timestamp:
            print(f"this step's pod is being deleted; its Job {name} goes on, for a next attempt", flush=True)
            return
    with suppress(ClusterError):
        delete(cluster, name, DELETE_SECONDS)
        print(f"cancelled: the Job {name} is deleted", flush=True)


def _state_of_container(pod: Any) -> Any | None:
    statuses = pod.status.container_statuses or []
    return next((status.state for status in statuses if status.name == CONTAINER), None)


def _last_words(pod: Any) -> str:
    state = _state_of_container(pod)
    return (state.terminated.message or "") if state and state.terminated else ""
