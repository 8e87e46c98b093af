"""How a process ends: with its last words, in time, whatever it does just then."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelcar.records.termination_message import TIDY_SECONDS

ROOT = Path(__file__).parents[3]
FOR_EVER_SECONDS = 120
"""More than any machine needs to end a process; what these processes wait for would take longer still."""

START = """
import sys, threading, time
from pathlib import Path
from modelcar.records.termination_message import exit_with_one_line
def begun(): Path(sys.argv[1]).touch()
with exit_with_one_line():
"""
STATES = {
    "asleep": "    begun(); time.sleep(600)",
    # No handler of Python's runs while its main thread is in such a call, as in a look-up of a name.
    "in a call that hears no signal": """
    import hashlib
    begun(); hashlib.scrypt(b"", salt=b"", n=1 << 14, r=8, p=1 << 14, maxmem=1 << 30)""",
    "waiting for a thread": """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(time.sleep, 600); begun(); job.result()""",
    "tidying up": """
    try:
        begun(); time.sleep(600)
    finally:
        time.sleep(600)""",
}


@contextmanager
def running(tmp_path: Path, *command: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command with a termination log of its own."""
    (tmp_path / "termination-log").touch()
    env = {**os.environ, "MODELCAR_TERMINATION_LOG": str(tmp_path / "termination-log"), **variables}
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(file: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until a process has got somewhere."""
    while not file.exists() and process.poll() is None:
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("state", STATES)
def test_a_signal_ends_a_process_in_any_state_with_last_words(
    state: str, number: signal.Signals, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    with running(tmp_path, sys.executable, "-c", START + STATES[state], str(begun)) as process:
        wait_for(begun, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=FOR_EVER_SECONDS)

    assert process.returncode == 128 + number
    assert errors.count("\n") == 1
    assert errors.startswith("error: ")
    assert "Run the same command again" in errors
    assert (tmp_path / "termination-log").read_text() == errors


def test_nobody_reads_what_it_says(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    fill = "    begun()\n    while True: print('x' * 9999, file=sys.stderr)"
    with running(tmp_path, sys.executable, "-c", START + fill, str(begun)) as process:
        wait_for(begun, process)
        process.send_signal(signal.SIGTERM)

        assert process.wait(FOR_EVER_SECONDS) == 128 + signal.SIGTERM


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    begun, tidying = tmp_path / "begun", tmp_path / "tidying"
    program = f"""
    try:
        begun(); time.sleep(600)
    finally:
        Path({str(tidying)!r}).touch(); time.sleep(600)"""
    with running(tmp_path, sys.executable, "-c", START + program, str(begun)) as process:
        wait_for(begun, process)
        process.send_signal(signal.SIGINT)
        wait_for(tidying, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=FOR_EVER_SECONDS)

    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors


def test_what_was_begun_is_tidied_up_in_the_time_there_is(tmp_path: Path) -> None:
    begun, tidied = tmp_path / "begun", tmp_path / "tidied"
    program = f"    try:\n        begun(); time.sleep(600)\n    finally:\n        Path({str(tidied)!r}).touch()"
    with running(tmp_path, sys.executable, "-c", START + program, str(begun)) as process:
        wait_for(begun, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=FOR_EVER_SECONDS)

    assert tidied.exists()
    assert TIDY_SECONDS < 5


@dataclass
class Dripping:
    """A server that sends a byte of an endless header now and then.

    Attributes:
        address: Its host and port.
        is_asked: Set once it has been asked something.
    """

    address: str
    is_asked: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def dripping() -> Iterator[Dripping]:
    """Give a server that drips."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dripping = Dripping("{}:{}".format(*server.getsockname()))

        def drip(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                dripping.is_asked.set()
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.2)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=drip, args=[server.accept()[0]], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield dripping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ctrl_c_ends_a_command_that_waits_for_a_server_that_drips(
    dripping: Dripping, number: signal.Signals, tmp_path: Path
) -> None:
    image = f"{dripping.address}/a/b:1"
    with running(tmp_path, sys.executable, "-m", "modelcar.cli.program", "verify", image) as process:
        assert dripping.is_asked.wait(FOR_EVER_SECONDS)
        process.send_signal(number)
        _, errors = process.communicate(timeout=FOR_EVER_SECONDS)

    assert process.returncode == 128 + number
    assert errors.count("\n") == 1
    assert "Run the same command again" in errors


def test_a_step_whose_servers_drip_ends_with_its_record(dripping: Dripping, tmp_path: Path) -> None:
    program = f"""
from modelcar.records.step_record import recorded
from modelcar.records.termination_message import exit_with_one_line
from modelcar.steps.mirror import mirror
with recorded("mirror"), exit_with_one_line():
    mirror("{dripping.address}/a/b:1", "{dripping.address}/c/d:1")
"""
    with running(tmp_path, sys.executable, "-c", program) as process:
        assert dripping.is_asked.wait(FOR_EVER_SECONDS)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=FOR_EVER_SECONDS)

    assert process.returncode == 128 + signal.SIGTERM
    said = (tmp_path / "termination-log").read_text()
    assert said.startswith("error: told to end (SIGTERM)")
    assert '"failed":true' in said


@pytest.mark.parametrize("error", ["FileNotFoundError(2, 'gone')", "OSError('odd')", "TimeoutError()"])
def test_an_error_of_something_else_leaves_stdout_alone(error: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(START + f"    raise {error}")
    done = subprocess.run([sys.executable, program], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.stdout == ""
    assert error.partition("(")[0] in done.stderr


@pytest.mark.parametrize(
    ("redirected", "status", "line"),
    [
        (">/dev/full", 1, "error: cannot write to stdout: No space left on device. "),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("| head -c 1 >/dev/null", 128 + signal.SIGPIPE, ""),
    ],
)
def test_stdout_that_takes_nothing_is_no_traceback(redirected: str, status: int, line: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(START + "    print('x' * 1_000_000); sys.stdout.isatty()")
    shell = f"set -o pipefail; exec {sys.executable} {program} {tmp_path}/begun {redirected}"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == status
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == bool(line)
