"""Progress where there is no terminal, and what is left of it on one."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress

import pytest

from modelcar import progress
from modelcar.errors import StoppedError
from modelcar.progress import Progress


def test_lines_are_printed_on_the_way(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.05)

    said = ""
    with Progress("build", 4_000_000) as shown:
        shown.advance(1_000_000)
        while not said:
            time.sleep(0.05)
            said = capsys.readouterr().out
        shown.advance(3_000_000)

    first, *more, summary = (said + capsys.readouterr().out).splitlines()
    assert first.startswith("build: 1.0 MB of 4.0 MB (25%)")
    # The last bytes may be told in a line of their own before the sum.
    assert all(line.startswith(("build: 1.0 MB of 4.0 MB (25%)", "build: 4.0 MB of 4.0 MB (100%)")) for line in more)
    assert re.fullmatch(r"build: 4\.0 MB in \d+\.\d s, .*/s", summary)


def test_short_work_prints_its_sum_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("mirror", 1_000_000) as shown:
        shown.advance(1_000_000)

    assert len(capsys.readouterr().out.splitlines()) == 1


def test_no_work_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("mirror", 0):
        pass

    assert capsys.readouterr().out.startswith("mirror: 0 bytes in ")


def test_failed_work_has_no_sum(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        with Progress("build", 2_000_000) as shown:
            shown.advance(1_000_000)
            raise OSError("broke")

    with pytest.raises(OSError, match="broke"):
        broken()

    assert capsys.readouterr().out == ""


def test_stopped_work_ends_at_the_next_byte_it_counts() -> None:
    with Progress("download", 10) as progress:
        progress.advance(3)
        progress.stop()
        progress.advance(-3)
        with pytest.raises(StoppedError):
            progress.advance(1)


INTERRUPTED = """
import threading, time
from modelcar.pod import CLEAR_LINE
from modelcar.progress import Progress
from modelcar.records.termination_message import exit_with_one_line

def work():
    with Progress("hash", 10**9) as shown:
        while True:
            shown.advance(1)
            time.sleep(0.01)

with exit_with_one_line(1.4, CLEAR_LINE, 60.0):
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join()
"""


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_the_last_words_stand_alone_and_not_above_a_bar(columns: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", INTERRUPTED]
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while shown.count(b"hash") < 2:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):
            while part := os.read(ours, 65536):
                shown += part
    os.close(ours)
    assert process.returncode == 130
    bars, error, rest = shown.decode().partition("error: ")
    assert error
    assert "hash" not in rest
    assert "\x1b[2K" in bars.rpartition("hash")[2]
    assert "\x1b[?25h" in shown.decode(), "the cursor is there again"
    frames = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", bars).split("\r")
    assert max(map(len, frames)) <= columns - len("^C"), "what a terminal shows of Ctrl-C has room on the line"
    assert all("GB" in frame for frame in frames if "hash" in frame), "the figures are there, on one line"
