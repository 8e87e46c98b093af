"""Steps of a run on this machine, as processes: none of them is there when an interrupted run has ended."""

import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from kfp.local import subprocess_task_handler

from modelcar.cli import step_process

PATIENCE = 60.0
"""Seconds that a step gets in these tests, so that waiting for nothing is told from a busy machine."""

FIRST_PROCESS = """
import ctypes, subprocess, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
sys.exit(subprocess.run([sys.executable, "-c", sys.argv[1]]).returncode)
"""
"""A process to which orphans come, and which never asks how they ended, as many a container's first one."""

RUN = f"""
from modelcar.cli import step_process
from tests.cli.test_step_process import interrupted
step_process.TIDY_SECONDS = {PATIENCE}
print(interrupted(["sh", "-c", "sleep 600 & echo $!; wait"]))
"""


def has_ended(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def interrupted(command: list[str]) -> int:
    """Runs a step until it says the id of a process of its own, and is interrupted then."""
    said: list[str] = []

    def take(line: str) -> None:
        said.append(line)
        raise KeyboardInterrupt

    with step_process.steps_of_our_own(take, lambda _: None), pytest.raises(KeyboardInterrupt):
        subprocess_task_handler.run_local_subprocess(command)
    return int(said[0])


def test_nobody_waits_for_an_orphan_that_has_ended() -> None:
    began = time.monotonic()
    command = [sys.executable, "-c", FIRST_PROCESS, RUN]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < PATIENCE
    assert has_ended(int(done.stdout))


def test_a_step_that_does_not_hear_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_process, "TIDY_SECONDS", 0.2)
    deaf = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)"
    pid = interrupted([sys.executable, "-c", deaf])
    assert has_ended(pid)


def test_a_step_does_not_read_from_the_terminal() -> None:
    said: list[str] = []
    with step_process.steps_of_our_own(said.append, lambda _: None):
        subprocess_task_handler.run_local_subprocess(
            [sys.executable, "-c", "import sys; print(sys.stdin.read() == '')"]
        )
    assert said == ["True"]
