"""Starts a server process, waits until it answers, and stops it for certain."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

START_SECONDS = 60.0
STOP_SECONDS = 10.0
_LISTEN_STATE = "0A"


class StartError(RuntimeError):
    """A server did not come up; the message holds its log."""


@dataclass(frozen=True)
class Listener:
    """A running server process and the loopback port on which it listens."""

    pid: int
    port: int


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    output: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command until the context is left.

    The kernel sends `stop_signal` to the process also when the thread that entered this context ends, so a killed test
    run leaves nothing behind. For the same reason enter it in a thread that lives long enough: the main one.

    Args:
        command: The program, found on PATH, and its arguments.
        log: File that takes standard error, and standard output if there is no `output`.
        output: File that takes standard output.
        env: The whole environment of the process; this process's own one if omitted.
        cwd: Working directory.
        user: Account to run as; only root can ask for one.
        stop_signal: The signal that asks the server to stop.

    Yields:
        The process.
    """
    program = shutil.which(command[0])
    if program is None:
        raise StartError(f"{command[0]} is not installed")
    with ExitStack() as files:
        stderr = files.enter_context(log.open("ab"))
        stdout = files.enter_context(output.open("ab")) if output else stderr
        process = subprocess.Popen(
            [*_bound_to_parent(stop_signal, user), program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            # Ctrl-C in a terminal reaches the whole process group: servers must outlive the tear-down that uses them.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process, stop_signal)


@contextmanager
def listening(
    command: Sequence[str],
    *,
    answers: Callable[[int], bool],
    log: Path,
    output: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Listener]:
    """Runs a server that was told to listen on port 0, and finds out which port the kernel gave it.

    No port is chosen beforehand, so no other server can take it in between.

    Args:
        command: The program and its arguments.
        answers: Says whether the server at this port is ready for clients.
        log: File that takes standard error, and standard output if there is no `output`.
        output: File that takes standard output.
        env: The whole environment of the process; this process's own one if omitted.

    Yields:
        The process id and the port, once the server answers.
    """
    with running(command, log=log, output=output, env=env) as process:
        port = wait_until(process, lambda: listening_port(process.pid), log=log)
        wait_until(process, lambda: answers(port), log=log)
        yield Listener(process.pid, port)


def wait_until(
    process: subprocess.Popen[bytes],
    ready: Callable[[], T | None],
    *,
    log: Path,
    seconds: float = START_SECONDS,
) -> T:
    """Asks again and again until the answer is true.

    Args:
        process: The process that has to stay alive meanwhile.
        ready: The question; an OSError counts as not yet.
        log: The log of the process, for the error.
        seconds: How long to ask.

    Returns:
        The first true answer.

    Raises:
        StartError: The process has ended, or the time is up.
    """
    deadline = time.monotonic() + seconds
    failure: OSError | None = None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"{_name(process)} ended with status {process.returncode}; its log:\n{_text(log)}")
        try:
            if answer := ready():
                return answer
        except OSError as error:
            failure = error
        time.sleep(0.02)
    raise StartError(f"{_name(process)} was not ready within {seconds:.0f} s; its log:\n{_text(log)}") from failure


def listening_port(pid: int) -> int | None:
    """Finds the IPv4 TCP port on which a process listens.

    Args:
        pid: The process.

    Returns:
        The port, or None as long as there is none.
    """
    sockets = _sockets(pid)
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN_STATE and f"socket:[{fields[9]}]" in sockets:
            return int(fields[1].partition(":")[2], 16)
    return None


def _sockets(pid: int) -> set[str]:
    targets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets.add(os.readlink(descriptor))
        except FileNotFoundError:
            continue
    return targets


def _bound_to_parent(stop_signal: signal.Signals, user: str | None) -> list[str]:
    # setpriv instead of a preexec_fn: Python code between fork and exec can deadlock when other threads run.
    account = [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--init-groups"] if user else []
    return ["setpriv", *account, "--pdeathsig", stop_signal.name.removeprefix("SIG"), "--"]


def _stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    process.send_signal(stop_signal)
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _name(process: subprocess.Popen[bytes]) -> str:
    command = process.args
    assert isinstance(command, list)
    return Path(command[command.index("--") + 1]).name


def _text(log: Path) -> str:
    return log.read_text(errors="replace")
