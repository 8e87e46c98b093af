"""Logs of runs, from their pods or from what the pipeline server kept, in the shapes of both APIs.

The server's are those of kubeflow/pipelines: backend/src/apiserver/server/run_log_server.go and api_converter.go.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar.pipelines.compilation import documents_in
from tests.parts.command import Done, modelcar
from tests.parts.recorded_api import RecordedApi

RUN, PIPELINE, VERSION = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")
API = f"/apis/v2beta1/runs/{RUN}"
KEPT = f"/apis/v1alpha1/runs/{RUN}/nodes"
PODS = "/api/v1/namespaces/my-project/pods"
COMPILED = Path(__file__).parents[2] / "compiled" / "model-to-registry-streaming.yaml"
Logs = Callable[..., Done]


def detail(task: str, *pods: str, state: str = "SUCCEEDED") -> dict[str, Any]:
    times = {"start_time": "2026-11-29T03:00:00Z", "end_time": "2026-11-29T03:01:00Z"}
    return {"display_name": task, "state": state, **times, "child_tasks": [{"pod_name": pod} for pod in pods]}


def step_pod(name: str, task: str) -> dict[str, Any]:
    node = f"streaming-abcde.root.exit-handler-1.{task}.executor(0)"
    return {
        "metadata": {
            "name": name,
            "labels": {"pipeline/runid": RUN, "workflows.argoproj.io/workflow": "streaming-abcde"},
            "annotations": {"workflows.argoproj.io/node-name": node},
            "creationTimestamp": "2026-11-29T03:00:00Z",
        },
        "spec": {"containers": [{"name": "main"}], "nodeName": "node-1"},
        "status": {"phase": "Succeeded", "startTime": "2026-11-29T03:00:00Z"},
    }


@pytest.fixture
def server() -> Iterator[RecordedApi]:
    """Give a pipelines' API and a cluster that know a finished run, of which no pod is left and no log was kept."""
    tasks = [detail("preflight", "driver-1", "impl-1"), detail("stream", "impl-2", "impl-3"), detail("report")]
    run = {
        "run_id": RUN,
        "display_name": "nightly",
        "state": "SUCCEEDED",
        "created_at": "2026-11-29T03:00:00Z",
        "finished_at": "2026-11-29T03:05:00Z",
        "pipeline_version_reference": {"pipeline_id": PIPELINE, "pipeline_version_id": VERSION},
        "run_details": {"task_details": tasks},
    }
    version = {"pipeline_spec": documents_in(COMPILED)[0]}
    with RecordedApi() as api:
        api.answers = {
            "/apis/v2beta1/healthz": (200, {"multi_user": False}),
            "/apis/v2beta1/runs": (200, {"runs": [run], "total_size": 1}),
            API: (200, run),
            f"/apis/v2beta1/pipelines/{PIPELINE}/versions/{VERSION}": (200, version),
            PODS: (200, {"kind": "PodList", "metadata": {}, "items": []}),
            "/apis/batch/v1/namespaces/my-project/jobs": (200, {"kind": "JobList", "metadata": {}, "items": []}),
            "/api/v1/namespaces/my-project/events": (200, {"kind": "EventList", "metadata": {}, "items": []}),
        }
        for pod in ("driver-1", "impl-1", "impl-2", "impl-3"):
            # It says 200 before it looks.
            api.answers[f"{KEPT}/{pod}/log"] = (200, error(pod))
        yield api


def error(pod: str) -> bytes:
    said = f"Failed to read logs for run {RUN}: InternalServerError: pods '{pod}' not found"
    return json.dumps({"error_message": said, "error_details": f"{said}\n\tstack"}, separators=(",", ":")).encode()


@pytest.fixture
def run_logs(server: RecordedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logs:
    """Give a function that runs the command against it."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
    return lambda *words: modelcar(*words, "--server", server.url)


def keep(server: RecordedApi, pod: str, log: str) -> None:
    server.answers[f"{KEPT}/{pod}/log"] = (200, log.encode())


def test_logs_come_from_the_pods_as_long_as_they_are_there(server: RecordedApi, run_logs: Logs) -> None:
    server.answers[PODS] = (200, {"kind": "PodList", "metadata": {}, "items": [step_pod("impl-1", "preflight")]})
    server.answers[f"{PODS}/impl-1/log"] = (200, b"from the pod\nin two lines\n")
    keep(server, "impl-1", "kept")
    keep(server, "impl-3", "of the second try\n")
    done = run_logs("logs", "nightly")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[Preflight] from the pod\n[Preflight] in two lines\n[Stream] of the second try\n"


def test_what_the_server_kept_is_shown_once_the_pods_are_gone(server: RecordedApi, run_logs: Logs) -> None:
    keep(server, "impl-1", "planned\n")
    keep(server, "impl-2", "tried in vain\n")
    done = run_logs("logs", RUN, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        {"step": "preflight", "title": "Preflight", "log": "planned\n"},
        {"step": "stream", "title": "Stream", "log": "tried in vain\n"},
    ]
    for name in ("stream", "Stream"):
        assert run_logs("logs", RUN, "--step", name).stdout == "[Stream] tried in vain\n"


def test_an_error_of_the_server_is_no_log(server: RecordedApi, run_logs: Logs) -> None:
    done = run_logs("logs", "nightly")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no log of nightly can be had: its pods are gone, or may not be read")
    assert len(done.stderr.splitlines()) == 1
    server.answers[f"{KEPT}/impl-1/log"] = (200, b"half of it\n" + error("impl-1"))
    assert run_logs("logs", "nightly").stdout == "[Preflight] half of it\n"
    # A step may say such a thing itself.
    keep(server, "impl-1", 'answered {"error_message": of no JSON\n')
    assert run_logs("logs", "nightly").stdout == '[Preflight] answered {"error_message": of no JSON\n'


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_server_that_refuses_has_kept_none(status: int, server: RecordedApi, run_logs: Logs) -> None:
    for pod in ("driver-1", "impl-1", "impl-2", "impl-3"):
        server.answers[f"{KEPT}/{pod}/log"] = (status, b"Unauthorized")
    assert "no log of nightly can be had" in run_logs("logs", "nightly").stderr


def test_a_run_that_is_said_not_to_be_there_is_asked_for_again(server: RecordedApi, run_logs: Logs) -> None:
    """Kubeflow Pipelines says so where its database breaks off (seen once in a hundred runs on a busy machine)."""
    keep(server, "impl-1", "planned\n")
    there, gone = server.answers[API], (404, {"code": 5, "message": f"Run {RUN} not found"})
    answers = iter([gone, there, gone, gone, there])
    server.answers[API] = lambda: next(answers, there)

    for _ in range(2):
        assert "planned" in run_logs("logs", "nightly", "--step", "preflight").stdout

    server.answers[API] = gone
    done = run_logs("logs", "nightly")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"refused to show the run {RUN} (404): Run {RUN} not found")


def test_a_run_whose_steps_are_not_said_to_have_ended_is_asked_for_again(server: RecordedApi, run_logs: Logs) -> None:
    """Kubeflow Pipelines writes a run's end before its tasks' (ReportWorkflowResource in resource_manager.go)."""
    status, run = server.answers[API]
    tasks = [*run["run_details"]["task_details"][:-1], detail("report", state="RUNNING")]
    early = (status, {**run, "run_details": {"task_details": tasks}})
    answers = iter([early])
    server.answers[API] = lambda: next(answers, (status, run))

    def states() -> dict[str, str]:
        told = json.loads(run_logs("status", "nightly", "--json").stdout)
        return {step["title"]: step["state"] for step in told["steps"]}

    assert states()["Report"] == "done"
    server.answers[API] = early
    assert states()["Report"] == "skipped", "nothing more is known of it"


def test_steps_and_runs_that_are_not_there_are_named(run_logs: Logs) -> None:
    done = run_logs("logs", "nightly", "--step", "build")
    assert done.returncode == 1
    assert "nightly has no step 'build'. There are Preflight, Stream, Mirror, Register" in done.stderr
    assert "there is no run 'weekly'. To see the last ones: modelcar status" in run_logs("logs", "weekly").stderr


def test_status_shows_them_below_the_steps(server: RecordedApi, run_logs: Logs) -> None:
    keep(server, "impl-1", "planned\n")
    done = run_logs("status", "nightly", "--logs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[Preflight] planned\n")
    shown = json.loads(run_logs("status", "nightly", "--logs", "--json").stdout)
    assert shown["logs"] == [{"step": "preflight", "title": "Preflight", "log": "planned\n"}]
    assert "logs" not in json.loads(run_logs("status", "nightly", "--json").stdout)


def test_status_says_why_a_run_failed_even_without_its_logs(server: RecordedApi, run_logs: Logs) -> None:
    _, run = server.answers[API]
    failed = {"run_details": {"task_details": [detail("preflight", "impl-1", state="FAILED")]}}
    said = {"error": {"code": 13, "message": "it is full"}}
    server.answers[API] = (200, {**run, **failed, **said, "state": "FAILED"})
    done = run_logs("status", "nightly", "--logs")
    assert done.returncode == 1
    assert "the step Preflight failed: it is full" in done.stdout
    assert "no log of nightly can be had" in done.stderr
