"""The command line against a real pipelines' API: submit, follow, cancel, schedule."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kubernetes import client as kubernetes

from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.kfp.runs import Run
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.kubernetes.waiting import until
from tests.parts.command import Done, modelcar
from tests.parts.models import tiny_llama
from tests.parts.terminal import shown_on_terminal

PROGRAM = str(Path(sys.executable).with_name("modelcar"))
MODEL = "example/submitted"
DONE = "whole"
"""A target that may hold the model already: a run then ends after its first step, and a test in a third of the time."""

SMALL_FILES = 1 << 20
"""Bytes: more than each run reads, to choose the files, and less than the weights."""


@dataclass(frozen=True)
class Here:
    """A person's laptop: a login to the cluster, and the address of the pipelines' API."""

    backend: Backend
    servers: Surroundings

    def words(self, command: str, *more: str, name: str = "") -> list[str]:
        """A command to this backend; with a name, of a model and a target of that name."""
        own = [more[0]] if command == "schedule" else []
        words = [command, *own, "--server", self.backend.url, *more[len(own) :]]
        if name:
            words += ["--for", self.backend.compiled_for, "--image", self.backend.cluster.image]
            words += ["--model", MODEL, "--target", f"{self.servers.target.host}/{name}/model:1"]
        return words

    def run(self, command: str, *more: str, name: str = "") -> Done:
        """Runs it."""
        return modelcar(*self.words(command, *more, name=name))

    def submitted(self, name: str, *more: str) -> str:
        """The id of a run that was started and left alone."""
        done = self.run("submit", "--no-wait", "--json", *more, name=name)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["id"])

    def of(self, run_id: str) -> Run:
        """The run, as the stock client knows it."""
        return Run(self.backend, run_id)


@pytest.fixture
def here(
    kfp_backend: Backend,
    kfp_surroundings: Surroundings,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Here:
    kfp_surroundings.hub.publish(MODEL, model)
    config = yaml.safe_load(kfp_backend.cluster.kubeconfig.read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = PROJECT
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("NO_PROXY", "*")
    return Here(kfp_backend, kfp_surroundings)


@pytest.fixture
def slow_hub(kfp_surroundings: Surroundings) -> Iterator[Callable[[float], None]]:
    """Give a function that has each of the Hub's answers wait; afterwards none does."""
    yield kfp_surroundings.hub.delay
    kfp_surroundings.hub.delay(0.0)


def test_a_run_is_followed_to_its_end_and_the_second_moves_nothing(here: Here) -> None:
    first = here.run("submit", "--logs", "--json", name=DONE)
    assert first.returncode == 0, first.stderr
    # What goes to stdout is for programs, and logs with it.
    assert len(first.stdout.splitlines()) == 1
    assert f"[Download] {MODEL} at commit" in first.stderr
    assert "[Build and push] build: " in first.stderr
    assert f"[Report] # {MODEL} is there" in first.stderr
    told = json.loads(first.stdout)
    assert told["state"] == "SUCCEEDED"
    assert told["image"].startswith(f"{here.servers.target.host}/{DONE}/model@sha256:")
    states = {step["title"]: step["state"] for step in told["steps"]}
    assert list(states) == ["Preflight", "Download", "Build and push", "Mirror", "Register", "Serve", "Report"]
    assert [title for title, state in states.items() if state != "done"] == ["Serve"]
    assert all(step["node"] for step in told["steps"] if step["state"] == "done")
    assert {step["title"]: step["note"] for step in told["steps"]}["Download"] == "6.1 MB"
    assert re.search(r"^\d\d:\d\d:\d\d Download: running .*on (small|large)$", first.stderr, re.MULTILINE)

    second = here.run("submit", name=DONE)
    assert second.returncode == 0, second.stderr
    assert "uploaded" not in second.stdout
    assert "all of it was there already" in second.stdout
    assert f"to serve    storageUri: oci://{told['image']}" in second.stdout
    versions = here.backend.client().list_pipeline_versions(
        here.backend.client().get_pipeline_id("model-to-registry"), page_size=100
    )
    names = [version.display_name for version in versions.pipeline_versions]
    assert len(names) == len(set(names))


def test_streaming_is_the_other_pipeline(here: Here) -> None:
    done = here.run("submit", "--streaming", "--claim", "none", name="streamed")
    assert done.returncode == 0, done.stderr
    assert "pipeline model-to-registry-streaming, version" in done.stdout
    assert "Stream: done 6.1 MB" in done.stdout
    assert "--claim is not used by this pipeline" in done.stderr


def test_a_run_that_fails_ends_with_1_and_the_reports_words(here: Here) -> None:
    done = here.run("submit", "--revision", "v9", name="failed")
    assert done.returncode == 1
    assert "Preflight: failed" in done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: preflight failed: ")
    assert "has no revision 'v9'" in last

    listed = here.run("status", "--json")
    newest = json.loads(listed.stdout)[0]
    assert newest["state"] == "FAILED"
    shown = here.run("status", newest["name"])
    assert shown.returncode == 0
    assert "has no revision 'v9'" in shown.stdout
    assert here.run("status", newest["id"][:8], "--follow").returncode == 1

    logs = here.run("logs", newest["id"][:8])
    assert logs.returncode == 0, logs.stderr
    assert "[Preflight] " in logs.stdout
    assert "has no revision 'v9'" in logs.stdout
    of_report = here.run("logs", newest["name"], "--step", "report")
    assert "[Report] # " in of_report.stdout
    assert "[Preflight]" not in of_report.stdout


def test_a_cancelled_run_ends_and_is_told_so(here: Here, slow_hub: Callable[[float], None]) -> None:
    slow_hub(2.0)
    run_id = here.submitted("cancelled")
    here.of(run_id).wait_for(lambda run: run.pods("preflight"))
    assert run_id in here.run("status").stdout.replace("\n", "")
    cancelled = here.run("cancel", run_id)
    assert cancelled.returncode == 0, cancelled.stderr
    # kfp's own waiting would not end.
    done = here.run("status", run_id, "--follow")
    assert done.returncode == 1
    assert "was cancelled" in done.stdout
    assert "has ended already: canceled" in here.run("cancel", run_id).stdout


def test_what_keeps_kubeflows_own_pods_from_starting_is_told(here: Here) -> None:
    variables = {"HF_ENDPOINT": here.servers.hub.url}
    here.backend.admit(seccomp="not-on-any-node", variables=variables)
    try:
        run_id = here.submitted("hindered")
        here.of(run_id).wait_for(lambda _: "not-on-any-node" in here.run("status", run_id).stdout)
        shown = here.run("status", run_id).stdout
        assert re.search(r"Preflight +waiting .*Kubeflow's own pod", shown), shown
        assert here.run("cancel", run_id).returncode == 0
    finally:
        here.backend.admit(variables=variables)


def test_ctrl_c_ends_the_showing_and_not_the_run(here: Here, slow_hub: Callable[[float], None]) -> None:
    slow_hub(0.5)
    command = [PROGRAM, *here.words("submit", name=DONE)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    run_id = ""
    for line in process.stdout:
        if line.startswith("run "):
            run_id = line.split()[-1]
        if "Preflight:" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert f"The run goes on. To see it: modelcar status {run_id} --follow" in said
    assert f"modelcar cancel {run_id}" in said
    assert "Traceback" not in said
    slow_hub(0.0)
    assert here.of(run_id).ended() == "SUCCEEDED"


def test_the_log_of_a_build_in_a_job_comes_once(here: Here) -> None:
    done = here.run("submit", "--logs", "--build-mode", "job", name="logged-job")
    assert done.returncode == 0, done.stderr
    pushed = [line for line in done.stdout.splitlines() if line.startswith("[Build and push] ") and "sha256:" in line]
    assert pushed
    assert len(pushed) == len(set(pushed)), pushed


def test_without_leave_to_read_pods_there_are_still_the_states(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = here.backend.namespace.core
    account = {"metadata": {"generateName": "stranger-"}}
    name = core.create_namespaced_service_account(PROJECT, account).metadata.name
    token = core.create_namespaced_service_account_token(name, PROJECT, {"spec": {}}).status.token
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "stranger").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "stranger"))
    done = here.run("submit", "--json", name=DONE)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    states = {step["title"]: step["state"] for step in told["steps"]}
    assert (states["Preflight"], states["Report"]) == ("done", "done")
    assert set(states.values()) <= {"done", "skipped"}
    assert not any(step["node"] for step in told["steps"])
    assert any("list pods" in reason for reason in told["hidden"])
    core.delete_namespaced_service_account(name, PROJECT)


def test_without_any_cluster_there_are_still_the_states(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG")
    done = here.run("submit", "--revision", "v9", name="nobody")
    assert done.returncode == 1
    assert "the step Preflight failed" in done.stderr


def test_on_a_terminal_progress_is_a_live_table(here: Here) -> None:
    code, shown = shown_on_terminal([PROGRAM, *here.words("submit", name=DONE)], COLUMNS="80")
    assert code == 0, shown.decode()
    assert b"\x1b[?25l" in shown, "nothing hid the cursor, as a live display does"
    assert "▸".encode() in shown
    assert b"to serve    storageUri: oci://" in shown


def test_a_schedule_is_made_once_paused_resumed_replaced_and_removed(here: Here) -> None:
    nightly = ["--cron", "0 0 3 * * *", "--name", "nightly"]
    made = here.run("schedule", "create", *nightly, name="nightly")
    assert made.returncode == 0, made.stderr
    assert "is scheduled like this already" in here.run("schedule", "create", *nightly, name="nightly").stdout

    other = ["--cron", "0 0 4 * * *", "--name", "nightly"]
    refused = here.run("schedule", "create", *other, name="nightly")
    assert refused.returncode == 1
    assert "there is a schedule nightly already, of another kind: 0 0 3 * * *. Add --replace" in refused.stderr

    replaced = here.run("schedule", "create", *other, "--replace", name="nightly")
    assert replaced.returncode == 0, replaced.stderr
    (one,) = [one for one in _schedules(here) if one["name"] == "nightly"]
    assert one["cron"] == "0 0 4 * * *"
    assert one["on"]
    assert one["version"] == "latest"
    assert one["parameters"]["model"] == MODEL
    pinned = here.run("schedule", "create", *other, "--pin", "--replace", name="nightly")
    assert pinned.returncode == 0, pinned.stderr
    assert next(one for one in _schedules(here) if one["name"] == "nightly")["version"] != "latest"

    assert here.run("schedule", "pause", "nightly").returncode == 0
    assert not next(one for one in _schedules(here) if one["name"] == "nightly")["on"]
    assert "paused" in here.run("schedule", "list").stdout
    assert here.run("schedule", "resume", "nightly").returncode == 0
    assert next(one for one in _schedules(here) if one["name"] == "nightly")["on"]
    assert here.run("schedule", "delete", "nightly").returncode == 0
    assert [one for one in _schedules(here) if one["name"] == "nightly"] == []
    gone = here.run("schedule", "pause", "nightly")
    assert gone.returncode == 1
    assert "there is no schedule 'nightly'. To see them: modelcar schedule list" in gone.stderr


def test_a_schedule_fires_and_an_unchanged_model_moves_nothing(here: Here, tmp_path: Path) -> None:
    assert here.run("submit", "--streaming", name="fired").returncode == 0
    served = here.servers.hub.bytes_served
    schedule = _schedule(here, "fired")
    try:
        for _ in range(2):
            assert _fire(here, schedule, "fired") == {"SUCCEEDED"}
            assert here.servers.hub.bytes_served - served < SMALL_FILES
        assert "succeeded" in here.run("schedule", "list").stdout
        here.servers.hub.publish(MODEL, tiny_llama(tmp_path / "changed", seed=7))
        # These are several at once, each of which finds that the model changed.
        assert _fire(here, schedule, "fired", runs=2) == {"SUCCEEDED"}
        assert here.servers.hub.bytes_served - served > SMALL_FILES
    finally:
        assert here.run("schedule", "delete", "fired").returncode == 0


def test_a_schedule_takes_the_version_that_was_uploaded_last(here: Here) -> None:
    schedule = _schedule(here, "follows")
    try:
        _fire(here, schedule, "follows")
        first = _version(here, _all_runs(here, schedule)[-1])
        # Another pipeline, by its steps' label, is another version of it.
        newest = _version(here, here.submitted("follows", "--queue", "another", "--streaming"))
        assert newest != first
        _fire(here, schedule, "follows")
        assert _version(here, _all_runs(here, schedule)[-1]) == newest
    finally:
        assert here.run("schedule", "delete", "follows").returncode == 0


def test_a_wrong_cron_is_the_servers_to_refuse(here: Here) -> None:
    done = here.run("schedule", "create", "--cron", "0 0 99 * * *", "--name", "never", name="never")
    assert done.returncode == 1
    assert "the pipelines' API refused to schedule never" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_is_not_there_is_said(here: Here) -> None:
    assert "there is no run 'nothing'. To see the last ones: modelcar status" in here.run("status", "nothing").stderr
    unknown = here.run("cancel", "00000000-0000-4000-8000-000000000000")
    assert unknown.returncode == 1
    assert "not found" in unknown.stderr


def test_a_plan_knows_the_projects_claim(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", here.servers.hub.url)
    done = modelcar("plan", MODEL, "--target", f"{here.servers.target.host}/planned/model:1", "--json")
    assert done.returncode == 0, done.stderr
    found = {one["about"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["claim"]["what"].startswith("modelcar has 1.1 GB")
    assert found["nodes"]["verdict"] == "ok"
    assert found["target"]["verdict"] == "warning"
    assert kubernetes.CoreV1Api(here.backend.cluster.api).read_namespace(PROJECT)


def _version(here: Here, run_id: str) -> str:
    return str(here.of(run_id).read().pipeline_version_reference.pipeline_version_id)


def _schedules(here: Here) -> list[dict[str, object]]:
    done = here.run("schedule", "list", "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def _all_runs(here: Here, schedule: str) -> list[str]:
    runs = json.loads(here.run("status", "--json", "--limit", "100").stdout)
    return [run["id"] for run in reversed(runs) if run["schedule"] == schedule]


def _schedule(here: Here, name: str) -> str:
    """The id of a schedule that fires every five seconds, and waits until it is resumed."""
    every = ["--cron", "*/5 * * * * *", "--name", name, "--streaming"]
    done = here.run("schedule", "create", *every, "--json", name=name)
    assert done.returncode == 0, done.stderr
    assert here.run("schedule", "pause", name).returncode == 0
    schedule = str(json.loads(done.stdout)["id"])
    for run in _all_runs(here, schedule):
        here.of(run).ended()
    return schedule


def _fire(here: Here, schedule: str, name: str, *, runs: int = 1) -> set[str]:
    """Has a schedule begin some runs, and no more than it can while they are counted; gives how all of them ended."""
    before = _all_runs(here, schedule)
    assert here.run("schedule", "resume", name).returncode == 0
    until(lambda: len(_all_runs(here, schedule)) >= len(before) + runs, f"{runs} runs of the schedule {name}")
    assert here.run("schedule", "pause", name).returncode == 0
    return {here.of(run).ended() for run in _all_runs(here, schedule)[len(before) :]}
