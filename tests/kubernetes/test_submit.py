"""`modelcar submit` against a real pipelines' API: both pipelines, failures, logs."""

import json
import re
from pathlib import Path

import pytest
from kubernetes import client as kubernetes

from tests.kubernetes.kfp.backend import PROJECT
from tests.kubernetes.kfp.laptop import MODEL, Laptop
from tests.parts.command import modelcar

NEW = "example/new"


def test_a_run_is_followed_to_its_end_and_the_second_moves_nothing(laptop: Laptop, model: Path) -> None:
    # One that no other test has put on the claim.
    laptop.servers.hub.publish(NEW, model)
    first = laptop.run("submit", "--logs", "--json", "--model", NEW, name="new")
    assert first.returncode == 0, first.stderr
    # What goes to stdout is for programs, and logs with it.
    assert len(first.stdout.splitlines()) == 1
    assert f"[Download] {NEW} at commit" in first.stderr
    assert "[Build and push] build: " in first.stderr
    assert f"[Report] # {NEW} is there" in first.stderr
    told = json.loads(first.stdout)
    assert told["state"] == "SUCCEEDED"
    assert told["image"].startswith(f"{laptop.servers.target.host}/new/model@sha256:")
    states = {step["title"]: step["state"] for step in told["steps"]}
    assert list(states) == ["Preflight", "Download", "Build and push", "Mirror", "Register", "Serve", "Report"]
    assert [title for title, state in states.items() if state != "done"] == ["Serve"]
    assert all(step["node"] for step in told["steps"] if step["state"] == "done")
    assert {step["title"]: step["note"] for step in told["steps"]}["Download"] == "6.1 MB"
    assert re.search(r"^\d\d:\d\d:\d\d Download: running .*on (small|large)$", first.stderr, re.MULTILINE)

    second = laptop.run("submit", "--model", NEW, name="new")
    assert second.returncode == 0, second.stderr
    assert "uploaded" not in second.stdout
    assert "all of it was there already" in second.stdout
    assert f"to serve    storageUri: oci://{told['image']}" in second.stdout
    versions = laptop.backend.client().list_pipeline_versions(
        laptop.backend.client().get_pipeline_id("model-to-registry"), page_size=100
    )
    names = [version.display_name for version in versions.pipeline_versions]
    assert len(names) == len(set(names))


def test_streaming_is_the_other_pipeline(laptop: Laptop) -> None:
    done = laptop.run("submit", "--streaming", "--claim", "none", name="streamed")
    assert done.returncode == 0, done.stderr
    assert "pipeline model-to-registry-streaming, version" in done.stdout
    assert "Stream: done 6.1 MB" in done.stdout
    assert "--claim is not used by this pipeline" in done.stderr


def test_a_run_that_fails_ends_with_1_and_the_reports_words(laptop: Laptop) -> None:
    done = laptop.run("submit", "--revision", "v9", name="failed")
    assert done.returncode == 1
    assert "Preflight: failed" in done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: preflight failed: ")
    assert "has no revision 'v9'" in last

    listed = laptop.run("status", "--json")
    newest = json.loads(listed.stdout)[0]
    assert newest["state"] == "FAILED"
    shown = laptop.run("status", newest["name"])
    assert shown.returncode == 0
    assert "has no revision 'v9'" in shown.stdout
    assert laptop.run("status", newest["id"][:8], "--follow").returncode == 1

    logs = laptop.run("logs", newest["id"][:8])
    assert logs.returncode == 0, logs.stderr
    assert "[Preflight] " in logs.stdout
    assert "has no revision 'v9'" in logs.stdout
    of_report = laptop.run("logs", newest["name"], "--step", "report")
    assert "[Report] # " in of_report.stdout
    assert "[Preflight]" not in of_report.stdout


def test_the_log_of_a_build_in_a_job_comes_once(laptop: Laptop) -> None:
    done = laptop.run("submit", "--logs", "--build-mode", "job", name="logged-job")
    assert done.returncode == 0, done.stderr
    pushed = [line for line in done.stdout.splitlines() if line.startswith("[Build and push] ") and "sha256:" in line]
    assert pushed
    assert len(pushed) == len(set(pushed)), pushed


def test_a_run_that_is_not_there_is_said(laptop: Laptop) -> None:
    assert "there is no run 'nothing'. To see the last ones: modelcar status" in laptop.run("status", "nothing").stderr
    unknown = laptop.run("cancel", "00000000-0000-4000-8000-000000000000")
    assert unknown.returncode == 1
    assert "not found" in unknown.stderr


def test_a_plan_knows_the_projects_claim(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", laptop.servers.hub.url)
    done = modelcar("plan", MODEL, "--target", f"{laptop.servers.target.host}/planned/model:1", "--json")
    assert done.returncode == 0, done.stderr
    found = {one["about"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["claim"]["what"].startswith("modelcar has 1.1 GB")
    assert found["nodes"]["verdict"] == "ok"
    assert found["target"]["verdict"] == "warning"
    assert kubernetes.CoreV1Api(laptop.backend.cluster.api).read_namespace(PROJECT)
