"""Reasons of failed steps, out of what the cluster says: one sentence each, and what to do about it.

The cluster's own words are kept, for they are what one searches for; what they do not say is added.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from modelcar.cluster import remedies
from modelcar.cluster.queue import place_in, queue_of_pod
from modelcar.cluster.run_state import RunState, Step, task_in
from modelcar.errors import on_one_line
from modelcar.progress import duration
from modelcar.records.step_record import last_error

KILLED, STOPPED = 137, 143
"""Exit codes of a process that got SIGKILL, and of one that got SIGTERM."""

_MAIN = ("main",)
_USED = re.compile(r"(?:Container|Pod) (?P<name>\S+) was using (?P<used>\S+), request is (?P<request>[^\s,]+)")
_PULLING = ("ErrImagePull", "ImagePullBackOff")
_PULL = re.compile(r'(Failed to pull|Back-off pulling) image "(?P<image>[^"]*)"(: (?P<cause>.*))?')
"""The kubelet's words in events and in a container's state."""

_NOT_OF_US = re.compile(r"(,? no new claims to deallocate|,? preemption:).*")
_ARGO_POD = re.compile(r"(?:Failed|Error) node (?P<node>\S+(?:\.executor|-driver)(?:\(\d+\))?): (?P<message>.+)")


@dataclass(frozen=True)
class Failure:
    """The reason why a step failed.

    Attributes:
        step: The step, as the pipeline names the task; empty if it is not known.
        reason: In one word, as Kubernetes has it where it has one: `Evicted`, `OOMKilled`, `Unschedulable`, …
        what: What happened, a sentence.
        remedy: What to do about it; empty where that is in the sentence, or nobody knows.
    """

    step: str
    reason: str
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class _Case:
    """A pod that may have failed, with what is known around it."""

    step: str
    pod: Any
    events: list[Any]
    node_need: int

    @property
    def status(self) -> Any:
        return self.pod.status

    @property
    def containers(self) -> list[Any]:
        """States of all containers: first those that run before the step's own, then that, then what runs beside it."""
        own = self.status.container_statuses or []
        beside = [status for status in own if status.name not in _MAIN]
        main = [status for status in own if status.name in _MAIN]
        return [*(self.status.init_container_statuses or []), *main, *beside]

    def ended(self) -> Iterator[tuple[str, Any]]:
        """Containers that ended badly, with how."""
        for status in self.containers:
            state = status.state.terminated or (status.last_state and status.last_state.terminated)
            if state and state.exit_code:
                yield status.name, state

    def waiting(self, *reasons: str) -> Iterator[tuple[str, Any]]:
        """Containers that wait for one of these reasons."""
        for status in self.containers:
            if status.state.waiting and status.state.waiting.reason in reasons:
                yield status.name, status.state.waiting

    def condition(self, kind: str) -> Any | None:
        """A condition of the pod."""
        return next((each for each in self.status.conditions or [] if each.type == kind), None)

    @property
    def has_started(self) -> bool:
        """Tells whether any container has ever run. Of one that never did, the kubelet says that it does not know."""
        states = [status.state for status in self.containers]
        return any(state.running or (state.terminated and state.terminated.started_at) for state in states)

    def said(self, *reasons: str, about: str = "") -> str:
        """The last warning of one of these kinds."""
        words = (on_one_line(event.message or "") for event in reversed(self.events) if event.reason in reasons)
        return next((message for message in words if message.startswith(about)), "")

    def container(self, name: str) -> Any | None:
        """A container as it was asked for."""
        every = [*self.pod.spec.containers, *(self.pod.spec.init_containers or [])]
        return next((each for each in every if each.name == name), None)

    def fails(self, reason: str, what: str, remedy: str = "") -> Failure:
        """The failure of this pod's step."""
        return Failure(self.step, reason, f"{self.step} {what}", remedy)


def failures(state: RunState, node_need: int = 0) -> list[Failure]:
    """The steps that failed in the end; one that a later attempt mended is none.

    Args:
        state: What the cluster knows.
        node_need: Bytes of node disk that preflight had predicted for the build; 0 if it had not.

    Returns:
        The first to fail is the first.
    """
    steps = state.steps()
    found = {step.name: failure for step in steps if (failure := _of_step(step, state, node_need))}
    well = {step.name for step in steps} - found.keys()
    for failure in _of_what_is_gone(state):
        known = found.get(failure.step)
        # A deadline ends what waits for a node, too; then it is the waiting that wants a remedy.
        if failure.step not in well and (known is None or known.reason == "DeadlineExceeded"):
            found[failure.step] = failure
    return list(found.values())


def _of_step(step: Step, state: RunState, node_need: int) -> Failure | None:
    last = step.pods[-1] if step.pods else None
    job = step.jobs[-1] if step.jobs else None
    if (last and last.status.phase == "Succeeded") or (not last and job and job.status.succeeded):
        return None
    cases = [
        _Case(step.name, pods[-1], state.events_of(pods[-1].metadata.name), node_need)
        for pods in (step.job_pods, step.pods)
        if pods
    ]
    # A step that waits for its Job can only repeat, in its own words, what the Job's pod knows first-hand.
    for explain in _CAUSES:
        for case in cases:
            if failure := explain(case):
                return failure
        if explain is _rejected and job and (failure := _of_job(step.name, job, state)):
            return failure
    return None


def _evicted(case: _Case) -> Failure | None:
    from kubernetes.utils.quantity import parse_quantity

    if case.status.reason != "Evicted":
        return None
    message = on_one_line(case.status.message or "")
    used = max(_USED.finditer(message), key=lambda each: parse_quantity(each["used"]), default=None)
    facts = []
    if used:
        facts.append(f"{used['name']} used {remedies.readable(used['used'])}")
    kind = "memory" if remedies.is_about_memory(message) else "ephemeral-storage"
    facts.append(f"had asked for {remedies.asked(case.pod, kind) or f'no {kind}'}")
    if case.node_need and kind == "ephemeral-storage":
        facts.append(f"preflight had predicted {remedies.readable(case.node_need)}")
    where = f" from node {case.pod.spec.node_name}" if case.pod.spec.node_name else ""
    what = f"was evicted{where}: {message.rstrip('.')} ({', '.join(facts)})"
    return case.fails("Evicted", what, remedies.for_eviction(message, case.step))


def _out_of_memory(case: _Case) -> Failure | None:
    for name, state in case.ended():
        if state.reason == "OOMKilled":
            container = case.container(name)
            limits = (container.resources.limits or {}) if container and container.resources else {}
            limit = f"its limit of {limits['memory']}" if "memory" in limits else "what the node had left"
            said = f", and said before: {error}" if (error := last_error(state.message or "")) else ""
            what = f"ran out of memory: container {name} needed more than {limit} and was killed (OOMKilled){said}"
            return case.fails("OOMKilled", what, remedies.for_memory(case.step))
    return None


def _image(case: _Case) -> Failure | None:
    """Returns the same sentence whichever comes first, the event of a failed pull or the container's state."""
    event = _PULL.match(case.said("Failed", about="Failed to pull image"))
    name, state = next(case.waiting(*_PULLING, "InvalidImageName", "ErrImageNeverPull"), ("", None))
    if state is None and (event is None or case.has_started):
        return None
    container = case.container(name)
    image = container.image if container else event["image"] if event else "?"
    reason = "ErrImagePull" if state is None or state.reason in _PULLING else state.reason
    said = on_one_line((state and state.message) or "")
    back_off = _PULL.match(said)
    words = (back_off["cause"] if back_off else said) or (event["cause"] if event else "") or said
    what = f"could not start, for its image {image} cannot be pulled: {words.removeprefix('ErrImagePull: ')}"
    return case.fails(reason, what, remedies.for_image(image, case.pod))


def _not_started(case: _Case) -> Failure | None:
    reasons = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
    for name, state in case.waiting(*reasons):
        what = f"could not start container {name}: {on_one_line(state.message or '')}"
        return case.fails(state.reason, what, remedies.for_start(on_one_line(state.message or ""), case.pod))
    return None


def _deadline(case: _Case) -> Failure | None:
    if case.status.reason != "DeadlineExceeded":
        return None
    seconds = case.pod.spec.active_deadline_seconds
    limit = f" of {duration(seconds)}" if seconds else ""
    words = on_one_line(case.status.message or "")
    return case.fails("DeadlineExceeded", f"ran longer than its deadline{limit}: {words}", remedies.AGAIN)


def _node_lost(case: _Case) -> Failure | None:
    disrupted = case.condition("DisruptionTarget")
    if case.status.reason in ("NodeLost", "Terminated", "NodeShutdown", "Shutdown"):
        reason, words = case.status.reason, case.status.message
    elif disrupted and disrupted.status == "True":
        reason, words = disrupted.reason, disrupted.message
    else:
        return None
    return case.fails(reason, f"lost its node {case.pod.spec.node_name}: {on_one_line(words)}", remedies.AGAIN)


def _rejected(case: _Case) -> Failure | None:
    """Refused by the node that the scheduler had chosen, or ended for a reason that has no function here."""
    if not case.status.reason or case.status.phase != "Failed":
        return None
    what = f"was ended by the cluster ({case.status.reason}): {on_one_line(case.status.message or '')}"
    return case.fails(case.status.reason, what, remedies.AGAIN)


def _unschedulable(case: _Case) -> Failure | None:
    condition = case.condition("PodScheduled")
    if not condition or condition.status != "False":
        return None
    if queue := queue_of_pod(case.pod):
        what = f"waited in the queue {queue} and was not admitted"
        return case.fails("SchedulingGated", what, place_in(case.pod.metadata.namespace))
    message = on_one_line(condition.message or "") or case.said("FailedScheduling")
    what = f"found no node to run on: {_scheduler_said(message)} ({remedies.wants(case.pod)})"
    return case.fails(condition.reason or "Unschedulable", what, remedies.for_scheduling(message, case.pod))


def _volume(case: _Case) -> Failure | None:
    words = case.said("FailedAttachVolume", "FailedMount", "FailedMapVolume")
    if case.has_started or not words:
        return None
    what = f"could not start, for a volume cannot be mounted: {words}"
    return case.fails("FailedMount", what, remedies.for_volume(words))


def _sandbox(case: _Case) -> Failure | None:
    words = case.said("FailedCreatePodSandBox")
    if case.has_started or not words:
        return None
    where = f"could not start on node {case.pod.spec.node_name}"
    return case.fails("FailedCreatePodSandBox", f"{where}: {words}", remedies.for_node(case.pod))


def _said(case: _Case) -> Failure | None:
    for _name, state in case.ended():
        if error := last_error(state.message or ""):
            return case.fails("Error", f"failed: {error}")
    return None


def _exited(case: _Case) -> Failure | None:
    for name, state in case.ended():
        how = {KILLED: ", which is a kill from outside", STOPPED: ", which is a request to stop"}.get(
            state.exit_code, ""
        )
        words = f": {on_one_line(state.message or '')}" if state.message and name not in _MAIN else ""
        what = f"ended with exit code {state.exit_code}{how} (container {name}){words}"
        return case.fails(state.reason or "Error", what, remedies.see_log(case.pod, name))
    return None


_CAUSES: tuple[Callable[[_Case], Failure | None], ...] = (
    _evicted,
    _out_of_memory,
    _image,
    _not_started,
    _node_lost,
    _unschedulable,
    _volume,
    _sandbox,
    # After what can have kept it waiting until then.
    _deadline,
    _rejected,
    _said,
    _exited,
)


def _of_job(step: str, job: Any, state: RunState) -> Failure | None:
    """Finds what only the Job knows: that it was refused its pods, or ended by its own deadline."""
    events = state.events_of(job.metadata.name)
    refused = next(
        (on_one_line(event.message or "") for event in reversed(events) if event.reason == "FailedCreate"), ""
    )
    if refused and not job.status.active and not job.status.failed:
        remedy = remedies.for_refusal(refused, job)
        return Failure(step, "FailedCreate", f"{step} was refused by the cluster: {refused}", remedy)
    for condition in job.status.conditions or []:
        if condition.type in ("FailureTarget", "Failed") and condition.reason == "DeadlineExceeded":
            limit = duration(job.spec.active_deadline_seconds)
            what = f"{step} ran longer than its deadline of {limit}: {on_one_line(condition.message or '')}"
            return Failure(step, "DeadlineExceeded", what, remedies.AGAIN)
    return None


def _of_what_is_gone(state: RunState) -> list[Failure]:
    """Failures of pods that were deleted: their events outlive them by an hour."""
    found: dict[str, Failure] = {}
    for step, event in state.lost_events():
        words, who, name = on_one_line(event.message or ""), step or "a step", event.involved_object.name
        if event.reason == "FailedScheduling":
            found[name] = Failure(
                step,
                "Unschedulable",
                f"{who} found no node to run on: {_scheduler_said(words)}",
                remedies.for_scheduling(words, None),
            )
        elif event.reason in ("NodeNotReady", "TaintManagerEviction"):
            found[name] = Failure(step, "NodeLost", f"{who} lost its node: {words}", remedies.AGAIN)
        elif match := _ARGO_POD.fullmatch(words):
            task = task_in(match["node"])
            found.setdefault(task, Failure(task, "Error", f"{task} failed: {match['message']}"))
    return list(found.values())


def _scheduler_said(message: str) -> str:
    """The scheduler's message without what it says of preemption, which is no help to anybody here."""
    return _NOT_OF_US.sub("", message).rstrip(" .,")
