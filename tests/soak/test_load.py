"""Many runs at once, and models of many files: all right in the end, in bounded memory and time that grows evenly."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelcar.image.layout import MAX_LAYERS
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry, registry_plain
from tests.parts.steps import PROGRAMS
from tests.soak import images

pytestmark = pytest.mark.soak

MODEL = "example/load"
RUNS = 20
SHARDS, SHARD_BYTES = 4, 6_000_000
MEMORY_MIB = 160
"""What one run may take at its peak, as benchmarks/ has it for a stream."""

FILES = (1_000, 10_000)
# The kernel's own account (wait4) counts what the parent had when it started the process.
PEAK = "print(*[line for line in open('/proc/self/status') if line.startswith('VmHWM:')])"


class Figures:
    """Keeps figures for the report."""

    def __init__(self, file: str) -> None:
        self._file = file

    def __call__(self, name: str, values: Mapping[str, float]) -> None:
        """Adds a line."""
        line = f"load: {name}: " + ", ".join(f"{value:.1f} {unit}" for unit, value in values.items())
        print(line)
        if self._file:
            with open(self._file, "a") as report:
                report.write(line + "\n")


@pytest.fixture
def record_figures(request: pytest.FixtureRequest) -> Figures:
    """Give where figures go."""
    return Figures(request.config.getoption("--soak-report"))


@dataclass(frozen=True)
class Done:
    """What a process took: seconds from start to end, seconds of processor, and MiB at its peak."""

    seconds: float
    processor: float
    memory: float
    code: int
    said: str


class Runs:
    """Steps as processes of their own, side by side.

    Args:
        hub: Where they find models.
        place: For their logs.
    """

    def __init__(self, hub: str, place: Path) -> None:
        self._environment = {**os.environ, "HF_ENDPOINT": hub, "NO_PROXY": "127.0.0.1,localhost"}
        self._place = place
        self._begun: list[tuple[subprocess.Popen[bytes], Path, float]] = []

    def begin(self, code: str, *arguments: str) -> None:
        """Starts one."""
        log = self._place / f"run-{len(self._begun)}"
        with log.open("wb") as words:
            command = [sys.executable, "-c", f"import sys; {code}\n{PEAK}", *arguments]
            process = subprocess.Popen(command, stdout=words, stderr=words, env=self._environment)
        self._begun.append((process, log, time.monotonic()))

    def end(self) -> list[Done]:
        """Waits for all of them."""
        found = []
        for process, log, began in self._begun:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - began
            processor = used.ru_utime + used.ru_stime
            said = log.read_text()
            peak = float(said.rpartition("VmHWM:")[2].split()[0]) / 1024 if process.returncode == 0 else 0.0
            found.append(Done(seconds, processor, peak, process.returncode, said[-2000:]))
        self._begun = []
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Registry, Registry]]:
    with registry_plain(tmp_path / "target") as target, registry_plain(tmp_path / "mirror") as mirror:
        yield target, mirror


def serve(root: Path) -> tuple[subprocess.Popen[str], str]:
    """Serve a Hub's folder in a process of its own, which ends with its standard input."""
    command = [sys.executable, "-m", "tests.parts.hub", "--root", str(root)]
    cwd = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Hub, str]]:
    """Give a Hub to publish on, and its address."""
    hub = Hub(tmp_path / "hub")
    hub.publish("example/none", {"notes.txt": "none"})
    process, url = serve(tmp_path / "hub")
    with process:
        yield hub, url
        assert process.stdin
        process.stdin.close()


def test_twenty_runs_at_once_are_all_right_in_bounded_memory(
    pair: tuple[Registry, Registry], served: tuple[Hub, str], tmp_path: Path, record_figures: Figures
) -> None:
    (target, mirror), (hub, url) = pair, served
    folder = tiny_llama(tmp_path / "model", shards=SHARDS, bytes_per_shard=SHARD_BYTES, consolidated=False)
    hub.publish(MODEL, folder)
    runs = Runs(url, tmp_path)
    runs.begin(PROGRAMS["download"], MODEL, str(tmp_path / "claim"))
    runs.begin(PROGRAMS["stream"], MODEL, f"{target.host}/load/source:1", "")
    assert [done.code for done in runs.end()] == [0, 0]
    (directory,) = (tmp_path / "claim" / MODEL.replace("/", "--")).iterdir()
    source = f"{target.host}/load/source:1"
    wanted, places = images.digest_at(source), []
    for number in range(RUNS):
        one, two = (f"{registry.host}/load/run-{number}:1" for registry in (target, mirror))
        match number % 3:
            case 0:
                runs.begin(PROGRAMS["stream"], MODEL, one, two)
                places += [one, two]
            case 1:
                runs.begin(PROGRAMS["build"], str(directory), one)
                places.append(one)
            case 2:
                runs.begin(PROGRAMS["mirror"], source, two)
                places.append(two)

    done = runs.end()

    assert [each.said for each in done if each.code] == []
    assert {images.pulled_whole(place) for place in places} == {wanted}
    peak, total = max(each.memory for each in done), sum(each.memory for each in done)
    record_figures(
        f"{RUNS} runs at once", {"seconds": max(each.seconds for each in done), "MiB": peak, "MiB of all": total}
    )
    assert peak < MEMORY_MIB


@pytest.mark.parametrize("count", FILES)
def test_model_of_many_files(
    count: int,
    pair: tuple[Registry, Registry],
    served: tuple[Hub, str],
    tmp_path: Path,
    record_figures: Figures,
) -> None:
    (target, mirror), (hub, url) = pair, served
    folder = tiny_llama(tmp_path / "model", shards=2, bytes_per_shard=1_200_000, consolidated=False)
    small = {f"data/{number % 50:02}/notes-{number:05}.txt": f"{number}\n" * 50 for number in range(count)}
    files = {**{path.name: path for path in folder.iterdir()}, **small}
    hub.publish(MODEL, files)
    claim = tmp_path / "claim"
    streamed, built = f"{target.host}/many/streamed:1", f"{target.host}/many/built:1"
    took: dict[str, Done] = {}

    def run(name: str, code: str, *arguments: str) -> None:
        runs = Runs(url, tmp_path)
        runs.begin(code, *arguments)
        (took[name],) = runs.end()
        assert took[name].code == 0, took[name].said

    run("plan", PROGRAMS["plan"], MODEL, "localhost:5000/load/model:1")
    run("download", PROGRAMS["download"], MODEL, str(claim))
    (directory,) = (claim / MODEL.replace("/", "--")).iterdir()
    run("download again", PROGRAMS["download"], MODEL, str(claim))
    run("build", PROGRAMS["build"], str(directory), built)
    hub.publish(MODEL, {**files, "data/new.txt": "new"}, branch="next")
    run("download of the next commit", PROGRAMS["download"], MODEL, str(claim), "next")
    run("stream", PROGRAMS["stream"], MODEL, streamed, f"{mirror.host}/many/mirrored:1")

    assert images.pulled_whole(streamed) == images.pulled_whole(built)
    assert len(images.layers_of(streamed)) <= 2 + 2 + 1
    for name, done in took.items():
        record_figures(
            f"{name} of {count} files", {"seconds": done.seconds, "CPU s": done.processor, "MiB": done.memory}
        )
        assert done.memory < MEMORY_MIB
        # A few milliseconds of processor for each file, however many there are.
        assert done.processor < 4 + 0.02 * count


def test_model_of_four_hundred_shards(
    pair: tuple[Registry, Registry], served: tuple[Hub, str], tmp_path: Path, record_figures: Figures
) -> None:
    (target, mirror), (hub, url) = pair, served
    folder = tiny_llama(tmp_path / "model", shards=400, bytes_per_shard=1_100_000, consolidated=False)
    hub.publish(MODEL, folder)
    runs = Runs(url, tmp_path)
    runs.begin(PROGRAMS["stream"], MODEL, f"{target.host}/shards/model:1", f"{mirror.host}/shards/model:1")

    (done,) = runs.end()

    assert done.code == 0, done.said
    assert images.pulled_whole(f"{target.host}/shards/model:1") == images.pulled_whole(f"{mirror.host}/shards/model:1")
    assert len(images.layers_of(f"{target.host}/shards/model:1")) <= MAX_LAYERS
    record_figures("stream of 400 shards", {"seconds": done.seconds, "CPU s": done.processor, "MiB": done.memory})
    assert done.memory < MEMORY_MIB


@pytest.mark.parametrize("upload_rate", [4_000_000, 0])
def test_layers_in_flight_follow_a_registry(
    upload_rate: int,
    pair: tuple[Registry, Registry],
    served: tuple[Hub, str],
    tmp_path: Path,
    record_figures: Figures,
) -> None:
    """More of them where each upload is slow; never more than sixteen, nor than memory allows."""
    (target, _), (hub, url) = pair, served
    hub.publish(MODEL, tiny_llama(tmp_path / "model", shards=40, bytes_per_shard=9_000_000, consolidated=False))
    ended, seen = threading.Event(), [0]

    with FaultProxy(target.host) as proxy:
        if upload_rate:
            proxy.throttle(upload_rate, method="PATCH")

        def watch() -> None:
            while not ended.wait(0.05):
                patches = [one for one in list(proxy.requests) if one.method == "PATCH" and one.length > (4 << 20)]
                seen.append(sum(one.received < one.length for one in patches))

        watcher = threading.Thread(target=watch)
        watcher.start()
        runs = Runs(url, tmp_path)
        runs.begin(PROGRAMS["stream"], MODEL, f"{proxy.host}/adapting/at-{upload_rate}:1")
        (done,) = runs.end()
        ended.set()
        watcher.join()

    assert done.code == 0, done.said
    name = f"layers in flight at {upload_rate / 1e6:.0f} MB/s an upload" if upload_rate else "layers in flight"
    record_figures(name, {"at most": max(seen), "seconds": done.seconds, "MiB": done.memory})
    assert max(seen) <= 16
    assert not upload_rate or max(seen) > 4
    assert done.memory < 256
