"""Failures as a user sees them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelcar.errors import ModelcarError
from modelcar.records.termination_message import exit_with_one_line

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from modelcar.records.termination_message import exit_with_one_line
with exit_with_one_line():
    try:
        Path(sys.argv[1]).touch()
        time.sleep(60)
    finally:
        print("tidied up", flush=True)
"""


@pytest.fixture(autouse=True)
def kept_signal_handler() -> object:
    """Put back what `exit_with_one_line` changes for the whole process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("what", "remedy", "line"),
    [
        ("it broke", "", "it broke"),
        ("it broke", "Mend it", "it broke. Mend it"),
        ("it broke.", "Mend it", "it broke. Mend it"),
        ("it\nbroke  twice", "Mend\n it", "it broke twice. Mend it"),
    ],
)
def test_error_is_one_line(what: str, remedy: str, line: str) -> None:
    assert str(ModelcarError(what, remedy)) == line


def test_named_failure_ends_with_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(log))

    with pytest.raises(SystemExit) as raised, exit_with_one_line():
        raise ModelcarError("it\nbroke", "Mend it")

    assert raised.value.code == 1
    assert capsys.readouterr().err == "error: it broke. Mend it\n"
    assert log.read_text() == "error: it broke. Mend it\n"


def test_termination_log_is_never_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(tmp_path / "missing"))

    with pytest.raises(SystemExit), exit_with_one_line():
        raise ModelcarError("it broke")

    assert list(tmp_path.iterdir()) == []


def test_unwritable_termination_log_hides_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(tmp_path))

    with pytest.raises(SystemExit) as raised, exit_with_one_line():
        raise ModelcarError("it broke")

    assert raised.value.code == 1
    assert capsys.readouterr().err == "error: it broke\n"


def test_interrupt_ends_with_its_own_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised, exit_with_one_line():
        raise KeyboardInterrupt

    assert raised.value.code == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_other_failure_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), exit_with_one_line():
        raise ZeroDivisionError


def test_success_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with exit_with_one_line():
        pass

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_process_tidies_up(number: signal.Signals, status: int, tmp_path: Path) -> None:
    started = tmp_path / "started"
    command = [sys.executable, "-c", HOLDER, str(started)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not started.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        output, errors = process.communicate(timeout=600)

    assert process.returncode == status
    assert output == "tidied up\n"
    assert "Traceback" not in errors
