"""Plans a run and checks, before any byte moves, whether it can succeed: all reasons at once, each with its remedy."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from modelcar import model_registry, pod
from modelcar.attestation.signer import find_signer
from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError, ModelcarError, PlanError
from modelcar.image.existing import UNREAD
from modelcar.oci.reference import Reference
from modelcar.records.step_record import StepRecord
from modelcar.sources.opening import is_unpublished
from modelcar.steps.preflight import checks, nodes
from modelcar.steps.preflight.build_mode import choose_mode, layer_copies
from modelcar.steps.preflight.entry import source_of
from modelcar.steps.preflight.finding import Finding, Verdict
from modelcar.steps.preflight.plan import Plan, plan
from modelcar.steps.preflight.request import NODE_NEED_BYTES, BuildMode, RunRequest
from modelcar.steps.preflight.service import check_serve_as

CHECK_SECONDS = 60.0
"""Time that each check may take. A registry that cannot be reached is tried several times, for half a minute."""

_UNSURE = ("claim", "nodes", "build pod", "serving nodes", "commit")
"""Names of the checks without whose answer a run goes on: the cluster, or a mirror of the Hub, need not tell."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Preflight:
    """Findings before a run.

    Attributes:
        run: What was asked for.
        plan: What the run will do; None where not even that can be said.
        findings: What the checks found.
        build_mode: Where the build will run.
        unchanged: The image to serve, if it, its mirror and its entry are all there already; else None.
        free_bytes: What is free on the claim; None where it cannot be seen from here.
        caveat: What is not proved of an unchanged image; empty for nothing.
        source: Where the model is read from: the model that was asked for, or what its entry names.
    """

    run: RunRequest
    plan: Plan | None
    findings: tuple[Finding, ...]
    build_mode: BuildMode
    unchanged: Reference | None
    free_bytes: int | None
    caveat: str = ""
    source: str = ""

    @property
    def refusals(self) -> list[Finding]:
        """Reasons why the run cannot succeed."""
        return [finding for finding in self.findings if finding.verdict == "refusal"]

    def note(self, record: StepRecord) -> None:
        """Leaves the forecast for the report, which holds it against what was used."""
        record.image, record.unchanged = str(self.unchanged or ""), self.unchanged is not None
        if self.plan is not None:
            record.size, record.commit = self.plan.snapshot.size, self.plan.snapshot.commit
            record.claim_need = self.plan.claim_bytes
            if self.unchanged is not None and self.run.model_registry:
                entry = self.run.registered_name or self.plan.snapshot.model
                record.entry = f"{entry} {self.plan.snapshot.commit[: model_registry.VERSION_DIGITS]}"
        if not self.run.streaming:
            record.node_need = NODE_NEED_BYTES

    def check(self) -> None:
        """Lets the run pass, or not.

        Raises:
            PlanError: It cannot succeed; names the first reason, and how many there are.
        """
        if self.refusals:
            first, count = self.refusals[0], len(self.refusals)
            raise PlanError(
                f"this run cannot succeed{f' ({count} reasons, all in this log)' if count > 1 else ''}: {first}"
            )


def preflight(run: RunRequest, find_cluster: Callable[[], Cluster | None] = Cluster.find) -> Preflight:
    """Plans a run and checks what can be checked from here.

    Checks run at the same time, each within its own time. On a cluster they include nodes, permissions and the claim's
    size; without one they leave those out.

    Args:
        run: What is asked for.
        find_cluster: Finds the cluster that the run will be on, if any.

    Raises:
        ClusterError: KUBECONFIG names a file that cannot be used.
    """
    serving_cluster = _serving_cluster(run, find_cluster)
    # A run on this machine (modelcar run) builds here, whatever cluster KUBECONFIG names.
    cluster = None if run.streaming or pod.LOCAL_CLAIM in os.environ else serving_cluster
    mistakes = list(run.mistakes())
    nested = (lambda: checks.takes_nested(run, cluster)) if cluster is not None and not mistakes else (lambda: False)
    mode, chosen = choose_mode(run, has_cluster=cluster is not None, takes_nested=nested)
    seen = _visible_claim()
    # Without published hashes all files are read: that takes as long as it takes.
    reads_all = any(map(is_unpublished, (run.model, *run.adapters)))
    source = _started(lambda: source_of(run.model, run.model_registry))
    planned = _started(lambda: _plan(replace(run, model=source.result()), mode, seen))
    unchanged = _started(lambda: checks.find_unchanged(run, planned.result(), serving_cluster))
    asked: dict[str, Future[list[Finding]]] = {
        "model": _started(lambda: list(checks.check_model(planned.result()))),
        **_write_checks(run, planned, unchanged, None if reads_all else CHECK_SECONDS / 2),
        "tags": _started(lambda: list(checks.check_tags(run, planned.result()))),
    }
    if not run.streaming:
        asked["claim"] = _started(lambda: list(checks.check_claim(run, planned.result(), seen, cluster)))
    asked |= _build_checks(run, mode, None if mistakes else cluster)
    asked |= _serving_checks(run, planned, serving_cluster)
    asked["commit"] = _started(lambda: list(checks.check_origin(planned.result())))
    asked["base image"] = _started(lambda: list(checks.check_base(run, planned.result(), unchanged.result())))
    if reads_all:
        wait([planned])
    deadline = time.monotonic() + CHECK_SECONDS
    findings = [*mistakes, *([] if run.streaming else [chosen])]
    if cluster is None and not run.streaming:
        findings.append(Finding("nodes", "ok", "this run is on no cluster, so there are none to check"))
    for about, future in asked.items():
        answer = _answer(about, future, deadline)
        findings += [*(answer[0] or ()), *answer[1]]
    image, failure = _answer("target", unchanged, deadline)
    return Preflight(
        run=run,
        plan=_answer("model", planned, deadline)[0],
        findings=tuple(_once([*findings, *failure], is_needed=image is None)),
        build_mode=mode,
        unchanged=image,
        free_bytes=checks.free_bytes(seen) if seen and not run.streaming else None,
        caveat=UNREAD if image is not None and find_signer() is None else "",
        source=_answer("model", source, deadline)[0] or run.model,
    )


def _write_checks(
    run: RunRequest, planned: Future[Plan], unchanged: Future[Reference | None], patience: float | None
) -> dict[str, Future[list[Finding]]]:
    """Starts the checks that begin to write what a run will write."""
    writes: dict[str, Callable[[], Iterable[Finding]]] = {
        "target": lambda: checks.check_target(run, planned.result()),
        "mirror": lambda: checks.check_push("mirror", run.mirror_target, _largest_layer(planned)),
        "Model Registry": lambda: checks.check_model_registry(run.model_registry),
    }
    return {about: _started(partial(_if_needed, unchanged, patience, check)) for about, check in writes.items()}


def _build_checks(run: RunRequest, mode: BuildMode, cluster: Cluster | None) -> dict[str, Future[list[Finding]]]:
    """Starts the checks of the cluster that the image is built on."""
    if cluster is None:
        return {}
    return {
        "nodes": _started(lambda: nodes.check(cluster, run.need)),
        "build pod": _started(lambda: list(checks.check_pod(run, mode, cluster))),
    }


def _serving_checks(
    run: RunRequest, planned: Future[Plan], cluster: Cluster | None
) -> dict[str, Future[list[Finding]]]:
    """Starts the checks of the cluster that the model may be served on."""
    asked: dict[str, Future[list[Finding]]] = {}
    if cluster is not None:
        asked["serving nodes"] = _started(lambda: list(checks.check_serving(planned.result(), cluster)))
    if run.serve_as:
        asked["service"] = _started(lambda: list(check_serve_as(run.serve_as, cluster)))
    return asked


def _if_needed(
    unchanged: Future[Reference | None], patience: float | None, check: Callable[[], Iterable[Finding]]
) -> list[Finding]:
    """Makes a check that begins to write, unless the run will write nothing, or until that takes too long to tell."""
    with suppress(ModelcarError, TimeoutError):
        if unchanged.result(patience) is not None:
            return []
    return list(check())


def _serving_cluster(run: RunRequest, find_cluster: Callable[[], Cluster | None]) -> Cluster | None:
    """Finds the cluster that the model may be served on; a run that needs none goes on without."""
    local = run.streaming or pod.LOCAL_CLAIM in os.environ
    try:
        return None if local and not (run.serve_as or run.streaming) else find_cluster()
    except ClusterError:
        if local and not run.serve_as:
            return None
        raise


def _plan(run: RunRequest, mode: BuildMode, seen: Path | None) -> Plan:
    copies = layer_copies(run, mode)
    return plan(run.selection, run.image, seen, with_claim=not run.streaming, layer_copies=copies)


def _visible_claim() -> Path | None:
    """The claim's directory: a local run names it; in a pod it is only there where the claim is mounted."""
    return pod.CLAIM if pod.LOCAL_CLAIM in os.environ or pod.CLAIM.is_dir() else None


def _largest_layer(planned: Future[Plan]) -> int:
    """Returns the bytes of the plan's largest layer; 0 if there is no plan, which is another check's matter."""
    try:
        return checks.largest_layer(planned.result())
    except ModelcarError:
        return 0


def _started(check: Callable[[], Result]) -> Future[Result]:
    """Runs a check in a thread that may be left behind: one that hangs must not keep the step from ending."""
    future: Future[Result] = Future()

    def answer() -> None:
        try:
            future.set_result(check())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=answer, daemon=True).start()
    return future


def _answer(about: str, future: Future[Result], deadline: float) -> tuple[Result | None, list[Finding]]:
    """Returns a check's finding, or that it found none: what the cluster does not say is no reason to refuse a run."""
    unsure: Verdict = "warning" if about in _UNSURE else "refusal"
    try:
        return future.result(max(deadline - time.monotonic(), 0)), []
    except TimeoutError:
        return None, [
            Finding(about, unsure, f"no answer within {CHECK_SECONDS:.0f} s", "Check that it is up, and run again")
        ]
    except ClusterError as error:
        return None, [Finding.of(about, error, "warning")]
    except ModelcarError as error:
        return None, [Finding.of(about, error, "warning" if about == "commit" else "refusal")]


def _once(findings: Iterable[Finding], *, is_needed: bool) -> Iterator[Finding]:
    """Each finding once, though several checks may meet the same failure. Nothing hinders a run with nothing to do."""
    seen = set()
    for finding in findings:
        # One login that is missing keeps us from several repositories.
        key = finding.remedy if finding.remedy.startswith("Run `podman login") else finding.what
        if key not in seen:
            seen.add(key)
            yield finding if is_needed or finding.verdict == "ok" else replace(finding, verdict="warning")
