"""A run as the cluster knows it: its pods, Jobs and events, sorted by the pipeline's steps."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelcar.cluster.connection import Cluster, api_errors
from modelcar.errors import ClusterError
from modelcar.records.step_record import StepRecord, records_in

RUN_LABEL = "pipeline/runid"
"""Kubeflow Pipelines puts it on each pod of a run, and we on each Job."""

WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
NODE_NAME = "workflows.argoproj.io/node-name"
"""Place where Argo notes which task a pod belongs to: `<workflow>.root.<group>.<task>.executor(<attempt>)`."""

STEP_LABEL = "app.kubernetes.io/component"
"""Label of a Job: the step that started it."""

JOB_LABELS = ("batch.kubernetes.io/job-name", "job-name")
ANSWER_SECONDS = (5, 30)
"""Time to wait for a connection, and for an answer: a busy API server takes seconds for the pods of a run."""

PAGE = 500
MAX_PAGES = 10
_ATTEMPT = re.compile(r"\(\d+\)$")
_DRIVER = "-driver"
_EXECUTOR = "executor"


@dataclass(frozen=True)
class Step:
    """Pods and Jobs of one step, the oldest first.

    Attributes:
        name: The task's name, such as `build`.
        pods: Its own pods, one for each attempt; Kubeflow's driver of the step comes before them.
        jobs: The Jobs that it started.
        job_pods: Those Jobs' pods.
    """

    name: str
    pods: list[Any] = field(default_factory=list)
    jobs: list[Any] = field(default_factory=list)
    job_pods: list[Any] = field(default_factory=list)

    @property
    def ended_well(self) -> bool:
        """Tells whether an attempt at it has; that its driver has says nothing of the step."""
        return any(pod.status.phase == "Succeeded" for pod in self.pods if not is_driver(pod))


@dataclass(frozen=True)
class RunState:
    """Pods, Jobs and warnings of a run, as Kubernetes' own objects.

    Attributes:
        pods: Of the run and of its Jobs.
        jobs: Of the run.
        events: Warnings of the whole namespace: a pod that is gone has no label any more.
        hidden: Why something could not be read, a sentence each.
    """

    pods: list[Any]
    jobs: list[Any]
    events: list[Any]
    hidden: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, cluster: Cluster, run_id: str) -> "RunState":
        """Asks the cluster; what it refuses is left out and named.

        Args:
            cluster: Where the run was.
            run_id: Its id, the label's value.
        """
        hidden: list[str] = []
        lists: dict[str, list[Any]] = {"pods": [], "jobs": [], "events": []}
        calls: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
            "pods": (cluster.core.list_namespaced_pod, {"label_selector": f"{RUN_LABEL}={run_id}"}),
            "jobs": (cluster.batch.list_namespaced_job, {"label_selector": f"{RUN_LABEL}={run_id}"}),
            "events": (cluster.core.list_namespaced_event, {"field_selector": "type=Warning"}),
        }
        for kind, (call, selector) in calls.items():
            try:
                with api_errors(f"list {kind} in {cluster.namespace}"):
                    lists[kind] = _pages(call, cluster.namespace, selector)
            except ClusterError as error:
                hidden.append(str(error))
                if error.may_pass:
                    break
        return cls(lists["pods"], lists["jobs"], lists["events"], hidden)

    def steps(self) -> list[Step]:
        """The run's steps, in the order in which they began."""
        tasks, tasks_of_jobs = self._tasks()
        things = [("jobs", tasks_of_jobs[job.metadata.name], job) for job in self.jobs]
        for pod in self.pods:
            job_name = job_of(pod)
            kind, task = ("job_pods", tasks_of_jobs.get(job_name, job_name)) if job_name else ("pods", "")
            things.append((kind, task or tasks[pod.metadata.name], pod))
        found: dict[str, Step] = {}
        for kind, name, thing in sorted(things, key=lambda entry: entry[2].metadata.creation_timestamp):
            getattr(found.setdefault(name, Step(name)), kind).append(thing)
        return list(found.values())

    def _tasks(self) -> tuple[dict[str, str], dict[str, str]]:
        """The tasks that pods belong to, and those that Jobs belong to, by their names."""
        tasks = {pod.metadata.name: _task_of(pod) for pod in self.pods}
        own = {pod.metadata.name: tasks[pod.metadata.name] for pod in self.pods if not job_of(pod)}
        return tasks, {job.metadata.name: _task_of_job(job, own) for job in self.jobs}

    def events_of(self, name: str) -> list[Any]:
        """Warnings about one object, the oldest first."""
        return sorted((event for event in self.events if event.involved_object.name == name), key=when)

    def lost_events(self) -> list[tuple[str, Any]]:
        """Warnings about pods of the run that are gone, and what Argo said of its tasks, the oldest first.

        Returns:
            Each with the step that it belongs to; empty where only the run is known.
        """
        known = {pod.metadata.name for pod in self.pods} | {job.metadata.name for job in self.jobs}
        workflows = {(pod.metadata.labels or {}).get(WORKFLOW_LABEL, "") for pod in self.pods} - {""}
        owners = {**dict.fromkeys(workflows, ""), **self._tasks()[1]}
        found = []
        for event in sorted(self.events, key=when):
            name = event.involved_object.name
            owner = next((owner for owner in owners if name.startswith(f"{owner}-") or name in workflows), None)
            if owner is not None and name not in known:
                found.append((owners[owner], event))
        return found

    def records(self) -> list[StepRecord]:
        """Returns what the run's steps left in their termination logs, by the time they began."""
        found: list[StepRecord] = []
        for step in self.steps():
            inner = _records(step.job_pods)
            # A step that only waited for its Job has nothing to add to what the Job tells.
            waited = [own for own in _records(step.pods) if any(own.overlaps(other) for other in inner)]
            found += inner + [own for own in _records(step.pods) if own not in waited]
        return sorted(found, key=lambda record: record.start)


def job_of(pod: Any) -> str:
    """The name of the Job that a pod belongs to; empty if there is none."""
    labels = pod.metadata.labels or {}
    return next((labels[name] for name in JOB_LABELS if name in labels), "")


def when(event: Any) -> Any:
    """Returns the time at which an event happened last."""
    return event.last_timestamp or event.event_time or event.metadata.creation_timestamp


def is_driver(pod: Any) -> bool:
    """Tells whether a pod is Kubeflow's own, which prepares a step."""
    return _ATTEMPT.sub("", (pod.metadata.annotations or {}).get(NODE_NAME, "")).endswith(_DRIVER)


def task_in(node_name: str) -> str:
    """The task's name in Argo's name of a node."""
    *above, last = _ATTEMPT.sub("", node_name).split(".")
    task = above[-1] if last == _EXECUTOR and above else last
    return task.removesuffix(_DRIVER)


def _records(pods: list[Any]) -> list[StepRecord]:
    return [
        record
        for pod in pods
        for status in pod.status.container_statuses or []
        for state in (status.last_state, status.state)
        if state and state.terminated and state.terminated.message
        for record in records_in(state.terminated.message)
    ]


def _task_of(pod: Any) -> str:
    return task_in((pod.metadata.annotations or {}).get(NODE_NAME, pod.metadata.name))


def _task_of_job(job: Any, tasks: dict[str, str]) -> str:
    for owner in job.metadata.owner_references or []:
        if owner.name in tasks:
            return tasks[owner.name]
    # The step's own pod may be gone, if it was deleted while the Job went on, and another attempt have adopted the Job.
    step = (job.metadata.labels or {}).get(STEP_LABEL)
    return next((task for task in tasks.values() if step and task.startswith(step)), job.metadata.name)


def _pages(call: Callable[..., Any], namespace: str, selector: dict[str, str]) -> list[Any]:
    found: list[Any] = []
    token = None
    for _page in range(MAX_PAGES):
        answer = call(namespace, limit=PAGE, _continue=token, _request_timeout=ANSWER_SECONDS, **selector)
        found += answer.items
        token = answer.metadata._continue
        if not token:
            break
    return found
