"""View of a run in a cluster: from the pipelines' API, and from its pods as far as we may read them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import Any

import urllib3
from kubernetes import client as kubernetes_client
from rich.filesize import decimal

from modelcar.cli.server.client import ANSWER_SECONDS, ENDED, SUCCEEDED, Client
from modelcar.cluster.connection import Cluster
from modelcar.cluster.failures import failures
from modelcar.cluster.queue import queue_of_pod
from modelcar.cluster.run_state import RunState, is_driver
from modelcar.cluster.run_state import Step as StepState
from modelcar.cluster.scheduling import scheduler_said
from modelcar.pipelines.shared_code import NEVER
from modelcar.records.step_record import StepRecord

WAITING, RUNNING, DONE, FAILED, SKIPPED, CANCELLED = ("waiting", "running", "done", "failed", "skipped", "cancelled")

_STATES = {
    SUCCEEDED: DONE,
    "FAILED": FAILED,
    "SKIPPED": SKIPPED,
    "CANCELED": CANCELLED,
    "CANCELING": CANCELLED,
    "RUNNING": RUNNING,
}
_PHASES = {"Running": RUNNING, "Succeeded": DONE, "Failed": FAILED}
_FURTHEST = (SKIPPED, WAITING, CANCELLED, DONE, RUNNING, FAILED)
CONTAINER = "main"
"""The container that does a step's work: Argo's in the step's own pod, ours in a Job's."""

_PROGRESS = re.compile(r"^\s*[\w-]+: (?P<done>[\d.,]+ \w+ of .+)$")
"""Form of a line that modelcar.progress prints."""

_LAST_LINES = 10
_POD_SECONDS = (2, 5)


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        name: The task's name.
        title: What people call it.
        state: `waiting`, `running`, `done`, `failed`, `skipped` or `cancelled`.
        note: What it does just now, or did: bytes and rate, or why it waits.
        node: The node it runs on.
        seconds: How long it has run.
        pod: The task's own pod, whose log tells more. That of a build in a Job has the Job's log as well.
    """

    name: str
    title: str
    state: str = WAITING
    note: str = ""
    node: str = ""
    seconds: float = 0.0
    pod: str = ""


@dataclass(frozen=True)
class RunView:
    """A run.

    Attributes:
        id: Its id.
        name: Its name.
        state: How it is, in Kubeflow's words.
        created: When it was made.
        finished: When it ended; None while it runs.
        steps: Its steps in their order; of two that exclude one another, the one that is taken.
        image: The image that it made, pinned to its digest.
        model: Its name in the Model Registry.
        version: Its version there.
        unchanged: Whether all of it was there before.
        error: Why it failed, a sentence.
        remedy: What to do about it.
        hidden: What may not be read, a sentence each.
    """

    id: str
    name: str
    state: str
    created: datetime | None = None
    finished: datetime | None = None
    steps: tuple[Step, ...] = ()
    image: str = ""
    model: str = ""
    version: str = ""
    unchanged: bool = False
    error: str = ""
    remedy: str = ""
    hidden: tuple[str, ...] = field(default=())

    @property
    def has_ended(self) -> bool:
        """Tells whether nothing will change any more."""
        return self.state in ENDED

    @property
    def is_well(self) -> bool:
        """Tells whether it did what it was to do."""
        return self.state == SUCCEEDED

    @property
    def seconds(self) -> float:
        """Seconds that it has taken."""
        if self.created is None:
            return 0.0
        return max(((self.finished or datetime.now(UTC)) - self.created).total_seconds(), 0.0)


def view(client: Client, run_id: str) -> RunView:
    """Looks at a run.

    Raises:
        ClusterError: The pipelines' API refused or cannot be reached.
    """
    run = client.run(run_id)
    with client.api_errors(f"show the run {run_id}"):
        titles = _titles(_spec_of(client, run))
        told = {detail.display_name: detail for detail in (run.run_details and run.run_details.task_details) or []}
    state = RunState.read(client.cluster, run_id) if client.cluster else RunState([], [], [])
    pods = {step.name: step for step in state.steps()}
    records = state.records()
    steps = [_step(client.cluster, name, title, told, pods, records) for name, title in titles.items()]
    run_state = state_of(run)
    ended = run_state in ENDED
    if ended:
        steps = [replace(step, state=_after(run_state, step.state)) for step in steps]
    _note_hindered_drivers(steps, state.pods)
    return RunView(
        id=run_id,
        name=run.display_name,
        state=run_state,
        created=run.created_at,
        finished=run.finished_at if ended else None,
        steps=tuple(_taken(steps)),
        hidden=tuple(state.hidden),
        **(_made(records) if run_state == SUCCEEDED else {}),
        **(_reason(run, state, records, steps) if run_state == "FAILED" else {}),
    )


def _spec_of(client: Client, run: Any) -> Mapping[str, Any]:
    """The pipeline that the run is of; the API tells either it or its version."""
    spec = run.pipeline_spec
    if not spec and (version := run.pipeline_version_reference):
        key = (version.pipeline_id, version.pipeline_version_id)
        if key not in _SPECS:
            found = client.pipelines.pipeline_service_get_pipeline_version(*key, _request_timeout=ANSWER_SECONDS)
            _SPECS[key] = found.pipeline_spec or {}
        spec = _SPECS[key]
    return dict((spec or {}).get("pipeline_spec", spec or {}))


_SPECS: dict[tuple[str, str], Any] = {}
"""A version never changes; it is asked for once."""


def _titles(spec: Mapping[str, Any]) -> dict[str, str]:
    """The tasks that may run something, in their order, and what people call them."""
    components = spec.get("components", {})

    def within(dag: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        tasks = dag.get("tasks", {})
        after = {name: task.get("dependentTasks", []) for name, task in tasks.items()}
        for name in TopologicalSorter(after).static_order():
            component = components.get(tasks[name]["componentRef"]["name"], {})
            if tasks[name].get("triggerPolicy", {}).get("condition") == NEVER:
                continue
            if "dag" in component:
                yield from within(component["dag"])
            else:
                yield name, tasks[name].get("taskInfo", {}).get("name", name)

    return dict(within(spec.get("root", {}).get("dag", {})))


def _step(
    cluster: Cluster | None,
    name: str,
    title: str,
    told: Mapping[str, Any],
    pods: Mapping[str, StepState],
    records: Sequence[StepRecord],
) -> Step:
    detail = told.get(name)
    state = _STATES.get(detail.state, WAITING) if detail else WAITING
    own, pod = _pods(pods.get(name))
    if pod is None or cluster is None:
        return Step(name, title, state, seconds=_seconds(detail))
    # The API is told some seconds later than the pods are.
    if state in (WAITING, RUNNING):
        state = _PHASES.get(pod.status.phase, WAITING)
    # Steps are called as their components are, and a component that is there twice has a number.
    record = next((one for one in reversed(records) if name == one.step or name.startswith(f"{one.step}-")), None)
    return Step(
        name=name,
        title=title,
        state=state,
        note=_note(cluster, pod, state, record),
        node=pod.spec.node_name or "",
        seconds=record.seconds if record and state == DONE else _pod_seconds(pod),
        pod=own.metadata.name if own else "",
    )


def state_of(run: Any) -> str:
    """A run's state in Kubeflow's words, but for one: backends (2.14 to 2.17) say that a run failed which was ended."""
    ended_by_somebody = [each.state for each in run.state_history or []][-2:] == ["CANCELING", "FAILED"]
    return "CANCELED" if ended_by_somebody else run.state or "PENDING"


def _after(run_state: str, state: str) -> str:
    """Returns what a step is called once its run has ended."""
    if state in (WAITING, RUNNING):
        return CANCELLED if run_state == "CANCELED" else SKIPPED
    return state


def _pods(step: StepState | None) -> tuple[Any | None, Any | None]:
    """The last attempt's own pod, and the pod that does its work, which may be a Job's."""
    if step is None:
        return None, None
    attempts = [pod for pod in step.pods if not is_driver(pod)]
    own = attempts[-1] if attempts else None
    return own, step.job_pods[-1] if step.job_pods else own


def _note(cluster: Cluster, pod: Any, state: str, record: StepRecord | None) -> str:
    if state == RUNNING:
        return _progress(cluster, pod)
    if state == WAITING:
        return _hindrance(pod)
    if state == DONE and record is not None:
        return "was there already" if record.unchanged else decimal(record.moved_bytes) if record.moved_bytes else ""
    return ""


def _progress(cluster: Cluster, pod: Any) -> str:
    try:
        log = cluster.core.read_namespaced_pod_log(
            pod.metadata.name,
            cluster.namespace,
            container=CONTAINER,
            tail_lines=_LAST_LINES,
            _request_timeout=_POD_SECONDS,
        )
    except (kubernetes_client.ApiException, urllib3.exceptions.HTTPError, OSError):
        return ""
    found = [match["done"] for line in log.splitlines() if (match := _PROGRESS.match(line))]
    return found[-1] if found else ""


def _note_hindered_drivers(steps: list[Step], pods: Sequence[Any]) -> None:
    """Notes at the first step that waits why a pod of Kubeflow's own, which comes before it, does not run yet."""
    hindered = [why for pod in pods if is_driver(pod) and pod.status.phase == "Pending" and (why := _hindrance(pod))]
    waiting = next((place for place, step in enumerate(steps) if step.state == WAITING), None)
    if hindered and waiting is not None and not steps[waiting].note:
        steps[waiting] = replace(steps[waiting], note=f"Kubeflow's own pod before it does not start: {hindered[0]}")


def _hindrance(pod: Any) -> str:
    """Returns why a pod does not run yet, in the scheduler's or the kubelet's words."""
    if queue := queue_of_pod(pod):
        return f"waits in the queue {queue} to be admitted"
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        waiting = status.state and status.state.waiting
        if waiting and waiting.reason not in (None, "PodInitializing", "ContainerCreating"):
            return f"{waiting.reason}: {waiting.message or ''}".rstrip(": ")
    return scheduler_said(pod)


def _taken(steps: Sequence[Step]) -> Iterator[Step]:
    """One step of each title: of two that exclude one another, the one that got further."""
    for title in dict.fromkeys(step.title for step in steps):
        yield max((step for step in steps if step.title == title), key=lambda step: _FURTHEST.index(step.state))


def _made(records: Sequence[StepRecord]) -> dict[str, Any]:
    images = [record.image for record in records if record.image]
    model, _, version = next((record.entry for record in reversed(records) if record.entry), "").rpartition(" ")
    unchanged = any(record.step == "preflight" and record.unchanged for record in records)
    return {"image": images[-1] if images else "", "model": model, "version": version, "unchanged": unchanged}


def _reason(run: Any, state: RunState, records: Sequence[StepRecord], steps: Sequence[Step]) -> dict[str, Any]:
    node_need = max((record.node_need for record in records), default=0)
    found = failures(state, node_need)
    if found:
        return {"error": found[0].what, "remedy": found[0].remedy}
    said = " ".join(str(run.error.message).split()) if run.error and run.error.message else ""
    failed = next((step.title for step in steps if step.state == FAILED), "")
    what = f"the step {failed} failed" if failed else "the run failed"
    return {
        "error": f"{what}: {said}" if said else what,
        "remedy": "Its log in the pipelines' UI says why; with leave to read pods, this command does",
    }


def _seconds(detail: Any) -> float:
    """Returns how long a task has run; times that are not known are those of 1970."""
    if detail is None or not detail.start_time or detail.start_time.year < 2000:
        return 0.0
    end = detail.end_time if detail.end_time and detail.end_time.year >= 2000 else datetime.now(UTC)
    return max(float((end - detail.start_time).total_seconds()), 0.0)


def _pod_seconds(pod: Any) -> float:
    start = pod.status.start_time
    if start is None:
        return 0.0
    ends = [
        status.state.terminated.finished_at
        for status in pod.status.container_statuses or []
        if status.state and status.state.terminated
    ]
    still = pod.status.phase == "Running" or not all(ends)
    return max(float(((datetime.now(UTC) if still or not ends else max(ends)) - start).total_seconds()), 0.0)
