"""Report of a run: where the image is and how to serve it, or which step failed, why, and what helps.

All of it comes from what the steps left in their termination logs, and from what the cluster knows of their pods. The
report itself never fails: what it cannot find out, it says.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from modelcar import pod
from modelcar.claim.scratch import remove_all_abandoned
from modelcar.cluster.connection import Cluster
from modelcar.cluster.failures import Failure, failures
from modelcar.cluster.job import delete_jobs
from modelcar.cluster.run_state import RunState
from modelcar.deadline import DeadlineError, within
from modelcar.records.step_record import records_in
from modelcar.serving.platform import choose_platform
from modelcar.serving.runtime import find_runtime
from modelcar.serving.served_model import read_served_model
from modelcar.steps.report.page import EndedRun, Found, Report, node_need, write

ANSWER_SECONDS = 60.0
"""Time that a cluster that does not answer may hold up each part of the report.

A busy one needs it: where pods waited for their processor, the import of Kubernetes' client alone took more than 8 s,
and a run that had ended well gave no image.
"""

T = TypeVar("T")


def report(run: EndedRun) -> Report:
    """Writes a run's report, then removes what the run left behind; the download stays.

    Args:
        run: The run, all of whose steps have ended.
    """
    notes: list[str] = []
    local = os.environ.get(pod.LOCAL_TERMINATION_LOG)
    if local:
        found = _tried("read what the steps left", lambda: _in_file(Path(local)), notes) or Found()
        cluster = None
    else:
        cluster = _tried("find the cluster", Cluster.find, notes)
        found = (cluster and _tried("ask the cluster", lambda: _in_cluster(cluster, run.id), notes)) or Found()
    notes += found.notes
    if cluster:
        notes += _tried("remove the run's Jobs", lambda: _without_jobs(cluster, run.id), notes) or []
    notes += _tried("remove abandoned builds", lambda: _without_scratch(pod.CLAIM), notes) or []
    return write(run, _with_serving(run, replace(found, notes=notes), cluster))


def _with_serving(run: EndedRun, found: Found, cluster: Cluster | None) -> Found:
    """Adds how the image is served, as far as it may be read."""
    if not found.image:
        return found
    doing, notes = "read from the image how it is served, so what is below goes by its size", found.notes
    served = _tried(doing, lambda: read_served_model(found.image, run.model_format), notes)
    platform = _tried("find out what serves models here", lambda: choose_platform(run.serving, cluster), notes)
    found = replace(found, served=served, platform=platform or found.platform)
    if served is None or cluster is None or not found.platform.found or found.platform.name == "kserve":
        return found
    return replace(found, runtime=_tried("look for serving runtimes", lambda: find_runtime(served, cluster), notes))


def _in_cluster(cluster: Cluster, run_id: str) -> Found:
    state = RunState.read(cluster, run_id)
    records = state.records()
    notes = [f"Could not be read: {why}" for why in state.hidden]
    done = frozenset(step.name for step in state.steps() if step.ended_well)
    found = failures(state, node_need(records))
    return Found(records, found, notes, complete=not state.hidden, done=done)


def _in_file(file: Path) -> Found:
    records = records_in(file.read_text()) if file.is_file() else []
    last = {record.step: record for record in records}
    failed = [
        Failure(record.step, "Error", f"{record.step} failed: {record.error or 'its log says why'}")
        for record in last.values()
        if record.failed
    ]
    return Found(records, failed)


def _without_jobs(cluster: Cluster, run_id: str) -> list[str]:
    return [f"The Job {name} was still there and was deleted." for name in delete_jobs(cluster, run_id)]


def _without_scratch(claim: Path) -> list[str]:
    count = remove_all_abandoned(claim)
    return [f"{count} working directories of builds that were killed were removed from the claim."] if count else []


def _tried(doing: str, work: Callable[[], T], notes: list[str]) -> T | None:
    """Returns the result of a piece of work; None, and a note, if it fails or takes too long."""
    try:
        return within(ANSWER_SECONDS, work)
    except DeadlineError:
        why = f"no answer within {ANSWER_SECONDS:.0f} s"
    except Exception as error:
        why = str(error)
    notes.append(f"Could not {doing}: {why}")
    return None
