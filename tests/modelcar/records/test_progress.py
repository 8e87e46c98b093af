"""Progress where there is no terminal."""

import re
import time

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

    *lines, summary = (said + capsys.readouterr().out).splitlines()
    assert all(line.startswith("build: 1.0 MB of 4.0 MB (25%)") for line in lines)
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
