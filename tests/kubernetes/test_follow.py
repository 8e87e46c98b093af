"""A run that is followed on a real pipelines' API: cancelled, left, and shown with less rights than are wanted."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.kfp.backend import PROJECT
from tests.kubernetes.kfp.laptop import DONE, PROGRAM, Laptop
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.parts.terminal import shown_on_terminal


@pytest.fixture
def slow_hub(kfp_surroundings: Surroundings) -> Iterator[Callable[[float], None]]:
    """Give a function that has each of the Hub's answers wait; afterwards none does."""
    yield kfp_surroundings.hub.delay
    kfp_surroundings.hub.delay(0.0)


def test_a_cancelled_run_ends_and_is_told_so(laptop: Laptop, slow_hub: Callable[[float], None]) -> None:
    slow_hub(2.0)
    run_id = laptop.submitted("cancelled")
    laptop.of(run_id).wait_for(lambda run: run.pods("preflight"))
    assert run_id in laptop.run("status").stdout.replace("\n", "")
    cancelled = laptop.run("cancel", run_id)
    assert cancelled.returncode == 0, cancelled.stderr
    # kfp's own waiting would not end.
    done = laptop.run("status", run_id, "--follow")
    assert done.returncode == 1
    assert "was cancelled" in done.stdout
    assert "has ended already: canceled" in laptop.run("cancel", run_id).stdout


def test_what_keeps_kubeflows_own_pods_from_starting_is_told(laptop: Laptop) -> None:
    variables = {"HF_ENDPOINT": laptop.servers.hub.url}
    laptop.backend.admit(seccomp="not-on-any-node", variables=variables)
    try:
        run_id = laptop.submitted("hindered")
        laptop.of(run_id).wait_for(lambda _: "not-on-any-node" in laptop.run("status", run_id).stdout)
        shown = laptop.run("status", run_id).stdout
        assert re.search(r"Preflight +waiting .*Kubeflow's own pod", shown), shown
        assert laptop.run("cancel", run_id).returncode == 0
    finally:
        laptop.backend.admit(variables=variables)


def test_ctrl_c_ends_the_showing_and_not_the_run(laptop: Laptop, slow_hub: Callable[[float], None]) -> None:
    slow_hub(0.5)
    command = [PROGRAM, *laptop.words("submit", name=DONE)]
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
    assert laptop.of(run_id).ended() == "SUCCEEDED"


def test_without_leave_to_read_pods_there_are_still_the_states(
    laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = laptop.backend.namespace.core
    account = {"metadata": {"generateName": "stranger-"}}
    name = core.create_namespaced_service_account(PROJECT, account).metadata.name
    token = core.create_namespaced_service_account_token(name, PROJECT, {"spec": {}}).status.token
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "stranger").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "stranger"))
    done = laptop.run("submit", "--json", name=DONE)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    states = {step["title"]: step["state"] for step in told["steps"]}
    assert (states["Preflight"], states["Report"]) == ("done", "done")
    assert set(states.values()) <= {"done", "skipped"}
    assert not any(step["node"] for step in told["steps"])
    assert any("list pods" in reason for reason in told["hidden"])
    core.delete_namespaced_service_account(name, PROJECT)


def test_without_any_cluster_there_are_still_the_states(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG")
    done = laptop.run("submit", "--revision", "v9", name="nobody")
    assert done.returncode == 1
    assert "the step Preflight failed" in done.stderr


def test_on_a_terminal_progress_is_a_live_table(laptop: Laptop) -> None:
    code, shown = shown_on_terminal([PROGRAM, *laptop.words("submit", name=DONE)], COLUMNS="80")
    assert code == 0, shown.decode()
    assert b"\x1b[?25l" in shown, "nothing hid the cursor, as a live display does"
    assert "▸".encode() in shown
    assert b"to serve    storageUri: oci://" in shown
