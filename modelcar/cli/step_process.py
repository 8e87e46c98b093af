"""A step of a local run as a process of its own, which ends when the run does."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psutil

_LOOK_SECONDS = 0.02
TIDY_SECONDS = 1.0
"""Time in which a step that was told to end may tidy up: somebody who typed Ctrl-C waits for it."""


@contextmanager
def steps_of_our_own(take: Callable[[str], None], ended: Callable[[int], None]) -> Iterator[None]:
    """Has kfp's local runner start the steps through us.

    Its own way leaves a step running when the run is interrupted: a terminal sends Ctrl-C to the shell around a step,
    to the step and to us alike, and whoever ends first gives the prompt back. Here a step has a session of its own,
    hears of the interruption from us, and is gone before we are.

    Args:
        take: Takes each line that a step writes.
        ended: Takes each step's exit code.
    """
    from kfp.local import subprocess_task_handler

    def run(full_command: Sequence[str], env_vars: dict[str, str] | None = None) -> int:
        code = _run(full_command, {**os.environ, **(env_vars or {})}, take)
        ended(code)
        return code

    before: Any = subprocess_task_handler.run_local_subprocess
    subprocess_task_handler.run_local_subprocess = run
    try:
        yield
    finally:
        subprocess_task_handler.run_local_subprocess = before


def _run(command: Sequence[str], environment: dict[str, str], take: Callable[[str], None]) -> int:
    process = subprocess.Popen(
        command,
        # The terminal is the user's, and not a step's to read from.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # What the user's terminal takes is our matter, and not the step's.
        encoding="utf-8",
        errors="replace",
        bufsize=1,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
    )
    try:
        for line in process.stdout or ():
            take(line.rstrip("\n"))
        return process.wait()
    finally:
        if process.poll() is None:
            _end(process.pid)
            process.poll()


def _end(pid: int) -> None:
    """Ends a process and all below it: first they are asked to, then they are gone."""
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        family = [*leader.children(recursive=True), leader]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.terminate()
        alive = _alive_after(TIDY_SECONDS, family)
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        _alive_after(TIDY_SECONDS, alive)


def _alive_after(seconds: float, family: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Returns which of some processes work on after a time; or at once, when none does."""
    deadline = time.monotonic() + seconds
    while (alive := [one for one in family if _is_at_work(one)]) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return alive


def _is_at_work(process: psutil.Process) -> bool:
    # What ended stays in the table until its parent asks for it; an orphan's, a container's first process, never may.
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
