"""What a step leaves for the report."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.errors import BuildError
from modelcar.records import disk_usage
from modelcar.records.disk_usage import MAX_POINTS, DiskWatch, Point, thinned
from modelcar.records.step_record import MAX_RECORD_BYTES, StepRecord, last_error, recorded, records_in
from modelcar.records.termination_message import exit_with_one_line
from tests.conftest import Mount

MIB = 1 << 20


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the termination log of this process."""
    file = tmp_path / "termination-log"
    file.touch()
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(file))
    return file


def fill(record: StepRecord, points: int) -> None:
    record.disk = [Point(seconds=n * 240.5, claim=10_485_760_000 - n, node=104_857_600) for n in range(points)]


def test_record_comes_back_from_the_log(log: Path) -> None:
    with recorded("build") as record, exit_with_one_line():
        record.image, record.moved_bytes = "quay.io/team/model@sha256:" + "0" * 64, 17 * MIB

    (found,) = records_in(log.read_text())
    assert found == record
    assert (found.step, found.failed, found.moved_bytes) == ("build", False, 17 * MIB)
    assert 0 <= found.seconds < 60
    assert log.read_text().count("\n") == 1


def test_failure_is_the_first_line_and_goes_into_its_record(log: Path) -> None:
    with recorded("download"), exit_with_one_line():
        pass
    with pytest.raises(SystemExit), recorded("build"), exit_with_one_line():
        raise BuildError("it broke", "Mend it")

    downloaded, built = records_in(log.read_text())
    assert log.read_text().splitlines()[1] == "error: it broke. Mend it"
    assert (downloaded.failed, downloaded.error) == (False, "")
    assert (built.failed, built.error) == (True, "it broke. Mend it")
    assert last_error(log.read_text()) == "it broke. Mend it"


def test_failure_without_a_name_is_kept_as_well(log: Path) -> None:
    with pytest.raises(ZeroDivisionError), recorded("build"), exit_with_one_line():
        raise ZeroDivisionError("division\nby zero")

    assert records_in(log.read_text())[0].error == last_error(log.read_text()) == "ZeroDivisionError: division by zero"


def test_ending_by_a_signal_is_a_failure_with_its_own_words(log: Path) -> None:
    program = """
import signal
import subprocess
import sys
from modelcar.records.step_record import recorded
from modelcar.records.termination_message import exit_with_one_line
with recorded("build"), exit_with_one_line():
    signal.raise_signal(signal.SIGTERM)
"""
    subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL
    )

    (found,) = records_in(log.read_text())
    assert found.failed
    assert found.error.startswith("told to end (SIGTERM)")


def test_log_is_never_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(tmp_path / "missing"))

    with recorded("build"), exit_with_one_line():
        pass

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "hello", "{", '{"step": 1}', '{"step":"build","start":1,"disk":[[1', "[1]", "null"]
)
def test_what_is_no_record_is_passed_over(text: str) -> None:
    assert records_in(text + "\n") == []
    assert last_error(text) == ""


def test_long_record_fits_into_the_status_of_a_pod() -> None:
    record = StepRecord(
        step="build", start=1_780_000_000.1, image="registry.example/" + "x" * 255 + "@sha256:" + "0" * 64
    )
    fill(record, MAX_POINTS)
    peak = Point(seconds=240.5 * 31, claim=5, node=7)
    record.disk = [*record.disk[:31], peak, *record.disk[32:]]

    line = record.line()

    assert len(line.encode()) <= MAX_RECORD_BYTES
    (found,) = records_in(line)
    assert len(found.disk) > 10
    assert found.disk[0] == record.disk[0]
    assert found.disk[-1].seconds == record.disk[-1].seconds
    assert min(point.claim or 0 for point in found.disk) == 5
    assert min(point.node or 0 for point in found.disk) == 7


def test_record_without_any_room_drops_the_points() -> None:
    record = StepRecord(step="x" * (MAX_RECORD_BYTES - 40), start=1.0)
    fill(record, 5)

    assert json.loads(record.line()).get("disk", []) == []


def test_step_tells_of_its_job_as_of_itself() -> None:
    step, job = StepRecord(step="build", start=100.0), StepRecord(step="build", start=130.0, image="i", moved_bytes=7)
    job.disk = [Point(seconds=0, claim=1, node=2), Point(seconds=2.5, claim=3, node=4)]

    step.adopt(job)

    assert (step.image, step.moved_bytes, step.unchanged) == ("i", 7, False)
    assert [point.seconds for point in step.disk] == [30, 32.5]
    assert [point.seconds for point in job.disk] == [0, 2.5]


def test_thinning_keeps_the_first_and_every_peak() -> None:
    points = [Point(seconds=n, claim=None if n % 2 else 100 - n, node=n) for n in range(6)]

    assert thinned(points) == [
        points[0],
        Point(seconds=2, claim=98, node=1),
        Point(seconds=4, claim=96, node=3),
        points[5],
    ]


def test_watch_sees_what_is_written_to_the_claim(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    place = mount("claim", 64)
    monkeypatch.setattr(disk_usage, "FIRST_INTERVAL", 0.02)
    with DiskWatch(place / "not" / "there" / "yet") as watch:
        file = place / "weights"
        file.write_bytes(bytes(16 * MIB))
        while not _has_seen(watch, 16 * 1024):
            time.sleep(0.01)
        file.unlink()

    first, last = watch.points[0], watch.points[-1]
    assert first.claim is not None
    assert last.claim is not None
    assert first.node is not None
    assert abs(first.claim - last.claim) < 1024
    assert first.claim - min(point.claim or 0 for point in watch.points) >= 16 * 1024


def _has_seen(watch: DiskWatch, kib: int) -> bool:
    """Tell whether so much more than at the beginning has been used at some time."""
    first, *rest = watch.points
    return any((first.claim or 0) - (point.claim or 0) >= kib for point in rest)


def test_long_watch_keeps_few_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(disk_usage, "FIRST_INTERVAL", 0.001)
    most = 0
    with DiskWatch(tmp_path) as watch:
        # Until half of them have been dropped once, and some have come again.
        while len(watch.points) >= most or len(watch.points) < MAX_POINTS * 3 // 4:
            most = max(most, len(watch.points))
            time.sleep(0.001)

    seconds = [point.seconds for point in watch.points]
    assert MAX_POINTS // 2 < len(seconds) <= MAX_POINTS
    assert seconds == sorted(seconds)


def test_claim_on_the_node_itself_is_no_claim(tmp_path: Path) -> None:
    with DiskWatch(tmp_path, node=tmp_path) as watch:
        pass

    assert {point.claim for point in watch.points} == {None}
    assert all(point.node for point in watch.points)


def test_record_watches_the_claim(log: Path, mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    place = mount("claim", 64)
    monkeypatch.setattr(pod, "CLAIM", place)
    with recorded("download"), exit_with_one_line():
        (place / "weights").write_bytes(bytes(16 * MIB))

    (found,) = records_in(log.read_text())
    assert found.disk[0].claim is not None
    assert found.disk[-1].claim is not None
    assert found.disk[0].claim - found.disk[-1].claim == 16 * 1024
