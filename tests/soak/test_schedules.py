"""Random faults over each step: it ends right or says why, the next run ends right, and no name is on wrong bytes."""

import hashlib
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.oci.reference import Reference
from tests.soak import images
from tests.soak.schedule import Requests, Schedule, draw, show
from tests.soak.steps import Attempt, Outcome
from tests.soak.world import MODEL, TOKEN_SECONDS, TOKEN_SECONDS_OF_BUILDAH, World, entries, full, world

SECONDS = 120.0
SETTLE_SECONDS = 2.0
LAYER = "application/vnd.oci.image.layer"


@dataclass(frozen=True)
class Kind:
    """A step as the schedules have it.

    Attributes:
        step: The step.
        proxies: What its requests go through.
        disks: What it and the servers write to.
        places: The registries whose tags it moves.
    """

    step: str
    proxies: tuple[str, ...]
    disks: tuple[str, ...]
    places: tuple[str, ...] = ()


KINDS = {
    "download": Kind("download", ("hub", "cdn"), ("claim",)),
    "build-direct": Kind("build", ("target",), ("target",), ("target",)),
    "build-buildah": Kind("build", ("target",), ("target", "claim"), ("target",)),
    "stream": Kind("stream", ("hub", "cdn", "target", "mirror"), ("target", "mirror"), ("target", "mirror")),
    "mirror": Kind("mirror", ("target", "mirror"), ("mirror",), ("mirror",)),
    "register": Kind("register", ("target", "model_registry"), ()),
}


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("soak")) as parts:
        yield parts


@pytest.fixture(scope="session")
def download(parts: World) -> Path:
    """Give a finished download, which must not be changed."""
    done = Attempt("download", {"model": MODEL, "claim": str(parts.folder)}, parts.environment, parts.folder / "x")
    return Path(json.loads(done.outcome(SECONDS).result))


@pytest.fixture(scope="session")
def usual(parts: World, download: Path) -> dict[str, int]:
    """Give the requests of each undisturbed step."""
    found = {}
    for name in KINDS:
        case = Case(parts, name, "undisturbed", download)
        counted = Requests(parts.proxies)
        outcome = case.start().outcome(SECONDS)
        assert outcome.kind == "finished", outcome
        case.check_finished(outcome)
        found[name] = counted.count
        case.remove()
    return found


class Case:
    """A step's arguments in a place of its own, and what must be true of what it leaves there.

    Args:
        parts: All parts.
        kind: The name of the kind.
        name: The name of the place.
        download: A finished download.
    """

    def __init__(self, parts: World, kind: str, name: str, download: Path) -> None:
        self.kind = KINDS[kind]
        self._parts = parts
        self._name = f"{kind}-{name}"
        self._repository = f"soak/{self._name}"
        self._claim = parts.disks["claim"] / self._name
        self._before = dict.fromkeys(self.kind.places, "")
        self._directory = self._claim / MODEL.replace("/", "--") / parts.commit
        if self.kind.step == "build":
            shutil.copytree(download, self._directory)
        self._arguments = self._written(kind)

    def _written(self, kind: str) -> dict[str, Any]:
        tagged = {place: self._parts.image(place, f"{self._repository}:1") for place in ("target", "mirror")}
        made = self._parts.image("target", f"made/new@{self._parts.new}")
        match self.kind.step:
            case "download":
                return {"model": MODEL, "claim": str(self._claim)}
            case "build":
                builder = kind.removeprefix("build-")
                return {"directory": str(self._directory), "target": tagged["target"], "builder": builder}
            case "stream":
                return {"model": MODEL, **tagged}
            case "mirror":
                return {"source": made, "target": tagged["mirror"]}
        return {"source": made, "url": f"http://{self._parts.proxies['model_registry'].host}", "name": self._name}

    def put_before(self) -> None:
        """Puts an earlier commit's image under the tags."""
        for place in self.kind.places:
            self._parts.put(place, self._parts.old, self._repository)
            self._before[place] = self._parts.old

    def start(self) -> Attempt:
        """Starts a run."""
        by_buildah = self._arguments.get("builder") == "buildah"
        self._parts.let_tokens_last(TOKEN_SECONDS_OF_BUILDAH if by_buildah else TOKEN_SECONDS)
        return Attempt(self.kind.step, self._arguments, self._parts.environment, self._parts.folder / self._name)

    def check_always(self, *, full_disk: bool = False) -> None:
        """What must be true whatever happened."""
        for place in self.kind.places:
            image = self._parts.seen(place, f"{self._repository}:1")
            held = images.digest_at(image)
            assert held in (self._before[place], self._parts.new), f"{image} holds {held or 'nothing'}"
            # By its digest: the tag may still move, by a request that a killed process has sent.
            assert not held or images.pulled_whole(self._parts.seen(place, f"{self._repository}@{held}")) == held
            self._check_manifests(place, full_disk=full_disk)
        if self.kind.step == "download":
            self._check_files(whole=(self._directory / DOWNLOAD_NOTE).exists())
        if self.kind.step == "register":
            for artifact in entries(self._parts.models, self._name)[2]:
                reference = Reference.parse(str(artifact["uri"]).removeprefix("oci://"))
                assert images.pulled_whole(self._parts.seen("target", f"made/new@{reference.digest}"))

    def check_finished(self, outcome: Outcome, *, full_disk: bool = False) -> None:
        """What must be true after a run that finished."""
        if self.kind.step == "download":
            assert json.loads(outcome.result) == str(self._directory)
            self._check_files(whole=True)
        elif self.kind.step == "register":
            found = entries(self._parts.models, self._name)
            assert [len(each) for each in found] == [1, 1, 1], found
            assert json.loads(outcome.result) == found[2][0]["uri"]
        else:
            assert json.loads(outcome.result) == self._parts.new
            for place in self.kind.places:
                assert images.digest_at(self._parts.seen(place, f"{self._repository}:1")) == self._parts.new
        self._before = dict.fromkeys(self.kind.places, self._parts.new)
        self.check_always(full_disk=full_disk)

    def remove(self) -> None:
        """Removes the place."""
        shutil.rmtree(self._claim, ignore_errors=True)
        for place in self.kind.places:
            shutil.rmtree(self._parts.storage(place) / "repositories" / self._repository, ignore_errors=True)

    def _check_files(self, *, whole: bool) -> None:
        """Each file that has its name has its bytes; and all are there if the record is."""
        for path, content in self._parts.files.items():
            file = self._directory / path
            if whole or file.exists():
                assert file.read_bytes() == content, f"{file} has other bytes"

    def _check_manifests(self, place: str, *, full_disk: bool) -> None:
        """No manifest of the repository, tagged or not, names a layer of other bytes than those of the model."""
        storage = self._parts.storage(place)
        for link in (storage / "repositories" / self._repository / "_manifests/revisions/sha256").glob("*/link"):
            digest = link.parent.name
            content = _settled(storage / "blobs/sha256" / digest[:2] / digest / "data")
            if hashlib.sha256(content).hexdigest() != digest:
                # docker-registry keeps what it had written when its disk was full, and gives it to nobody.
                assert full_disk
                continue
            for layer in json.loads(content).get("layers", []):
                if layer["mediaType"].startswith(LAYER):
                    assert layer["digest"] in self._parts.layers, f"a manifest of {self._repository} names {layer}"


def _settled(file: Path) -> bytes:
    """A file's content, once a server that a client left in the middle has written it."""
    until = time.monotonic() + SETTLE_SECONDS
    while not file.stat().st_size and time.monotonic() < until:
        time.sleep(0.05)
    return file.read_bytes()


TALLY: dict[str, Counter[str]] = {name: Counter() for name in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_schedule(
    kind: str, soak_seed: int, parts: World, download: Path, usual: dict[str, int], tmp_path: Path
) -> None:
    schedule = draw(kind, soak_seed, list(KINDS[kind].proxies), list(KINDS[kind].disks))
    again = f"pytest tests/soak/test_schedules.py -m '' -k 'schedule and {kind}' --soak-runs 1 --soak-seed {soak_seed}"
    print(f"to see it again: {again}\n{schedule}")
    case = Case(parts, kind, str(soak_seed), download)
    if schedule.has_before:
        case.put_before()
    try:
        first = disturbed(case, schedule, parts, usual[kind])
        print(first)
        assert first.kind != "bad", f"{first.said}\n{again}"
        full_disk = schedule.full_at is not None
        case.check_always(full_disk=full_disk)
        if first.kind == "finished":
            case.check_finished(first, full_disk=full_disk)
        second = case.start().outcome(SECONDS)
        print(second)
        assert second.kind == "finished", f"the following run failed: {second.said}\n{again}"
        case.check_finished(second, full_disk=full_disk)
    finally:
        settle(parts)
    TALLY[kind][first.kind] += 1
    case.remove()


def disturbed(case: Case, schedule: Schedule, parts: World, usual: int) -> Outcome:
    """Runs a step through a schedule's faults."""
    counted = Requests(parts.proxies)
    parts.hub.end_links(schedule.link_seconds)
    show(schedule, {name: parts.proxies[name] for name in case.kind.proxies})
    with ExitStack() as until_end:
        if schedule.full_at is not None and schedule.full_disk:
            disk = parts.disks[schedule.full_disk]
            counted.at(int(schedule.full_at * usual), lambda: until_end.enter_context(full(disk)))
        ready = threading.Event()
        attempts: list[Attempt] = []

        def kill() -> None:
            ready.wait()
            attempts[0].kill(family=schedule.kill_family)

        timers: list[threading.Timer] = []
        if schedule.kill_at is not None:

            def soon() -> None:
                timers.append(threading.Timer(schedule.kill_after, kill))
                timers[-1].start()

            counted.at(int(schedule.kill_at * usual), soon if schedule.kill_after else kill)
        attempts.append(case.start())
        ready.set()
        outcome = attempts[0].outcome(SECONDS)
        counted.end()
        for timer in timers:
            timer.cancel()
            timer.join()
    settle(parts)
    return outcome


def settle(parts: World) -> None:
    """Ends all faults."""
    parts.hub.end_links(0)
    for proxy in parts.proxies.values():
        proxy.clear()
        proxy.requests.clear()


def test_schedules_can_be_drawn_again() -> None:
    one = draw("stream", 7, ["hub", "target"], ["claim"])
    assert one == draw("stream", 7, ["hub", "target"], ["claim"])
    assert one != replace(draw("stream", 8, ["hub", "target"], ["claim"]), seed=7)


@pytest.fixture(scope="session", autouse=True)
def tally(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say at the end how the runs ended."""
    yield
    for kind, counts in TALLY.items():
        if counts:
            line = f"soak: {kind}: {counts.total()} schedules: " + ", ".join(
                f"{n} {k}" for k, n in sorted(counts.items())
            )
            file = request.config.getoption("--soak-report")
            if file:
                with open(file, "a") as report:
                    report.write(line + "\n")
