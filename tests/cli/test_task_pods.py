"""Names of the pods of a run's tasks, for who may read none of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar.cli.server.client import Client
from modelcar.cli.server.task_pods import pods_of_tasks
from modelcar.errors import ClusterError
from tests.parts.recorded_api import RecordedApi

RUN, WORKFLOW = "11111111-0000-4000-8000-000000000000", "streaming-w42jd"
TODAY, RECORD = f"/apis/v2beta1/runs/{RUN}", f"/apis/v1beta1/runs/{RUN}"
LONG = "metadata-0-1-" + "x" * 300


def node(name: str, number: int, template: str, started: str = "2026-11-29T03:00:00Z", kind: str = "Pod") -> Any:
    """A node as Argo records it (kubeflow/pipelines 2.14.3, Argo 3.6.7)."""
    return {
        "id": f"{WORKFLOW}-{number}",
        "name": f"{WORKFLOW}.root.exit-handler-1.{name}",
        "displayName": name.rpartition(".")[2],
        "type": kind,
        "templateName": template,
        "startedAt": started,
    }


NODES = [
    node("preflight-driver", 269, "system-container-driver"),
    node("preflight.executor", 228, "metadata-0-1-system-container-impl"),
    node("condition-2.stream", 204, "system-container-executor", kind="DAG"),
    node("condition-2.stream.executor", 205, "retry-system-container-executor", kind="Retry"),
    node("condition-2.stream.executor(0)", 220, "retry-system-container-impl"),
    node("condition-2.stream.executor(1)", 221, "retry-system-container-impl", "2026-11-29T03:10:00Z"),
    node("onExit.report.executor(0)", 252, LONG),
    node("condition-2.register.executor(0)", 7, "retry-system-container-impl", None),  # type: ignore[arg-type]
]


def record(nodes: Any) -> dict[str, Any]:
    manifest = {"metadata": {"name": WORKFLOW}, "status": {"nodes": nodes}}
    return {"run": {"id": RUN}, "pipeline_runtime": {"workflow_manifest": json.dumps(manifest)}}


@pytest.fixture
def server() -> Iterator[RecordedApi]:
    """Give a pipelines' API that knows a run by its tasks, whose children have Argo's ids of nodes."""
    child = [{"pod_name": f"{WORKFLOW}-228"}]
    detail = {"display_name": "preflight", "state": "SUCCEEDED", "child_tasks": child}
    run = {"run_id": RUN, "display_name": "nightly", "run_details": {"task_details": [detail]}}
    with RecordedApi() as api:
        api.answers = {"/apis/v2beta1/healthz": (200, {"multi_user": False}), TODAY: (200, run)}
        yield api


def test_pods_are_named_as_argo_names_them_the_last_attempt_first(server: RecordedApi) -> None:
    server.answers[RECORD] = (200, record({one["id"]: one for one in NODES}))

    found = pods_of_tasks(Client.connect(server.url), RUN)

    assert found == {
        "preflight": [f"{WORKFLOW}-metadata-0-1-system-container-impl-228", f"{WORKFLOW}-228"],
        "stream": [f"{WORKFLOW}-retry-system-container-impl-221", f"{WORKFLOW}-retry-system-container-impl-220"],
        "report": [f"{f'{WORKFLOW}-{LONG}'[:242]}-252"],
        "register": [f"{WORKFLOW}-retry-system-container-impl-7"],
    }


@pytest.mark.parametrize(
    "answer",
    [
        (404, {}),
        (200, b"<html>"),
        (200, []),
        (200, {"pipeline_runtime": {}}),
        (200, {"pipeline_runtime": {"workflow_manifest": ""}}),
        (200, record(None)),
        (200, record([])),
        (200, record({"a": {"type": "Pod"}})),
    ],
)
def test_server_without_that_record_is_taken_at_its_word(answer: Any, server: RecordedApi) -> None:
    server.answers[RECORD] = answer

    assert pods_of_tasks(Client.connect(server.url), RUN) == {"preflight": [f"{WORKFLOW}-228"]}


def test_run_that_it_does_not_know_is_refused(server: RecordedApi, tmp_path: Path) -> None:
    server.answers[TODAY] = (404, {"message": "not found"})

    with pytest.raises(ClusterError, match="show the run"):
        pods_of_tasks(Client.connect(server.url), RUN)
