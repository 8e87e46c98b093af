"""`modelcar run` on a terminal and off it: what it shows, what it keeps, and how it ends when it is interrupted."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.terminal import shown_on_terminal

MODEL = "example/tiny-llama"
PROGRAM = [sys.executable, "-m", "modelcar", "run", MODEL, "--streaming"]
SECONDS_TO_END = 60.0
"""Seconds that an interrupted run may take on a busy machine; the server that it waits for takes twice as long."""


@pytest.fixture
def command(
    hub: Hub, model: Path, plain_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Give a run that works, with a home of its own."""
    hub.publish(MODEL, model)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return [*PROGRAM, "--target", f"{plain_registry.host}/shown/{tmp_path.name.replace('_', '-')}:1"]


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=environment)


def test_a_run_shows_its_steps_its_result_and_what_is_next(command: list[str], tmp_path: Path) -> None:
    done = run(command)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    steps = [line.split()[1] for line in lines if line.startswith("✓")]
    assert steps == ["preflight", "stream", "mirror", "register", "report"]
    assert "✓ mirror                  not asked for" in lines
    assert "\x1b" not in done.stdout + done.stderr
    assert len(lines) < 15
    image = next(line.split()[1] for line in lines if line.startswith("image "))
    assert re.search(r"@sha256:[0-9a-f]{64}$", image)
    assert f"next        modelcar serve-yaml {image} | oc apply -f -" in lines
    assert lines[-1] == f"report      {tmp_path}/cache/modelcar/reports/example--tiny-llama"
    kept = Path(lines[-1].split()[1])
    assert {"plan.md", "plan.html", "report.md", "report.html", "inference-service.yaml"} <= set(os.listdir(kept))
    assert image in (kept / "report.md").read_text()
    assert not (tmp_path / "modelcar-claim").exists()


@pytest.mark.parametrize("verbose", [False, True])
def test_a_step_that_fails_shows_its_log_and_the_reason_last(verbose: bool, command: list[str], tmp_path: Path) -> None:
    more = ["--verbose"] if verbose else ["--report", str(tmp_path / "kept" / "here")]
    done = run([*command, "--max-layer-size", "1000000", *more], NO_COLOR="1")
    assert done.returncode == 1
    assert "✗ preflight" in done.stdout
    assert "This run cannot succeed" in done.stdout
    assert "--max-layer-size is 1.0 MB" in done.stderr.splitlines()[-1]
    assert "\x1b" not in done.stdout
    assert ("Executing task 'preflight'" in done.stdout) is verbose
    if not verbose:
        assert "error: " not in done.stdout, "it is said once, as the last word"
        assert "--max-layer-size is 1.0 MB" in done.stdout
        assert "max_layer_size" not in done.stdout
        assert all(line == line.rstrip() for line in done.stdout.splitlines())
    assert verbose or (tmp_path / "kept" / "here" / "report.html").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_step_that_fails_says_why_in_any_encoding(encoding: str, command: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    arguments = [*command, "--max-layer-size", "1000000"]
    done = subprocess.run(arguments, check=False, capture_output=True, env=environment, timeout=300)
    assert b"--max-layer-size is 1.0 MB" in done.stderr.splitlines()[-1]
    assert b"Unicode" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).decode(encoding)


def test_on_a_terminal_each_step_is_one_line_in_the_end(command: list[str]) -> None:
    code, shown = shown_on_terminal(command, COLUMNS="40")
    assert code == 0
    text = shown.decode().replace("\r\n", "\n")
    for step in ("preflight", "stream", "report"):
        assert f"▸ {step}" in text
        assert f"\r\x1b[2K✓ {step}" in text
    # Progress, such as 1.2/6.1 MB, is never negative; a path may have a hyphen and a number before a slash.
    assert not re.search(r"(?<![\w-])-\d+(\.\d+)?/", text)


def test_on_a_terminal_the_log_of_a_step_that_fails_fits(command: list[str]) -> None:
    code, shown = shown_on_terminal([*command, "--max-layer-size", "1000000"], COLUMNS="50")
    assert code == 1
    log = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.decode()).replace("\r", "").partition("failed\n")[2]
    lines = log.partition("▸ report")[0].splitlines()
    assert max(map(len, lines)) <= 50
    assert all(line.startswith("    ") for line in lines)
    commit = re.search(r"commit +((?:[0-9a-f]+\s+)+)image", log)
    assert commit, log
    assert len("".join(commit[1].split())) == 40


def test_a_bar_takes_the_place_of_its_step(command: list[str]) -> None:
    code, shown = shown_on_terminal(command, COLUMNS="40")
    assert code == 0
    # rich begins where the cursor is: after the step's name, if nobody clears the line.
    assert "▸ stream\r\x1b[2K" in shown.decode()
    assert "stream ━" not in shown.decode().partition("▸ stream")[2].partition("\r")[0]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Give both ends of a terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        with suppress(OSError):
            os.close(end)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_ends_at_once_and_leaves_nothing(
    stop: signal.Signals, command: list[str], hub: Hub, terminal: tuple[int, int], tmp_path: Path
) -> None:
    ours, theirs = terminal
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env={**os.environ, "TERM": "xterm"}
    )
    shown = b""
    while b"\xe2\x96\xb8 preflight" not in shown:
        shown += os.read(ours, 65536)
    hub.delay(2 * SECONDS_TO_END)
    try:
        while not (family := psutil.Process(process.pid).children(recursive=True)):
            time.sleep(0.05)
        process.send_signal(stop)
        process.wait(timeout=SECONDS_TO_END)
    finally:
        hub.delay(0.0)
    assert process.returncode in (130, 143, 128 + signal.SIGHUP)
    _, alive = psutil.wait_procs(family, timeout=SECONDS_TO_END)
    assert not alive, alive
    os.set_blocking(ours, False)
    with suppress(OSError):
        while part := os.read(ours, 65536):
            shown += part
    assert "\r\x1b[2Kerror: " in shown.decode()
    assert "Run the same command again to go on where it stopped" in shown.decode()
    assert "Traceback" not in shown.decode()
    assert shown.decode().count("error: ") == 1, "the step's own last words are not the user's"
    assert not list(tmp_path.glob("modelcar-*"))
