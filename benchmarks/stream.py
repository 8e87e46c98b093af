"""Streaming from the Hub into a registry: ours against a peer, the two sides alone, and two steps instead of one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import requests

from benchmarks import build
from benchmarks.pairs import Runs, Side, alternate
from benchmarks.peers import OCI_MODELCAR, installed
from benchmarks.place import MODEL, Place, check_image, files
from benchmarks.pod import Measurement
from benchmarks.report import Figure, mib, ratio
from tests.parts.registries import Registry

_SPEED = ("stream_over_oci_modelcar", "stream_over_slower_side", "fanout_over_stream_then_mirror")
FIGURES = (
    *_SPEED,
    "fanout_over_stream_then_mirror_at_1_gbit",
    "stream_rss_mib_1",
    "stream_disk_mib",
    "unchanged_seconds",
    "unchanged_blob_bytes",
)
SHARDS = 4
LARGE_FIGURES = (*(f"{name}_at_8_gib" for name in _SPEED), "stream_rss_mib_8")
LARGE_SHARDS = 8
HUGE_FIGURES = ("stream_48_gib_seconds", "stream_rss_mib_48", "stream_48_gib_disk_mib")
HUGE_SHARDS = 12
RSS_TARGET, DISK_TARGET = 256, 16
OURS = "`stream(model, A)`"
BOTH = "`stream(model, A, mirror=B)`"
SLOW = ", from a Hub that sends 1 Gbit/s in all"
TWO_STEPS = "`stream(model, A)`, then `mirror(A, B)`, in one process"
PEER = (
    "`oci-modelcar push --hf-repo MODEL --registry HOST --target-repo REPOSITORY --target-tag 1.0 "
    f"--workers 4 --spool-dir $CLAIM/x` (`{OCI_MODELCAR}`)"
)
DOWN = "`curl --location --parallel --parallel-max 4 --output /dev/null FILE …`, all files in one call"
IMPORTS = "`from modelcar.steps.stream import stream`"
_IMAGE = "example/llama:1.0"


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures the stream."""
    slow = (
        Side("into two, slow Hub", BOTH + SLOW, lambda: _to_two(place, lambda *hosts: _both(*hosts, slow=True))),
        Side(
            "two steps, slow Hub",
            TWO_STEPS + SLOW,
            lambda: _to_two(place, lambda *hosts: _two_steps(*hosts, slow=True)),
        ),
    )
    *fast, both_slow, steps_slow = alternate((*_sides(place), *slow), runs)
    ours, *_, both, _ = fast
    disk = max(run.disk["node"] + run.disk["claim"] for side in (ours, both) for run in side.measurements)
    return [
        *_speed(_SPEED, *fast),
        ratio("fanout_over_stream_then_mirror_at_1_gbit", both_slow, steps_slow),
        _rss("stream_rss_mib_1", ours, both),
        Figure("stream_disk_mib", mib(disk), f"{mib(disk)} MiB", "", DISK_TARGET, f"{OURS}, {BOTH}"),
        *_unchanged(place, runs),
    ]


def measure_large(place: Place, runs: int) -> list[Figure]:
    """Measures speed and memory, with figures of other names."""
    fast = alternate(_sides(place), runs)
    ours, *_, both, _ = fast
    return [*_speed(LARGE_FIGURES[:-1], *fast), _rss(LARGE_FIGURES[-1], ours, both)]


def _sides(place: Place) -> tuple[Side, ...]:
    programs = installed(place.claim, OCI_MODELCAR)
    return (
        Side("ours", OURS, lambda: _to_one(place, lambda host: _stream(place, host))),
        Side("oci-modelcar", PEER, lambda: _to_one(place, lambda host: _oci_modelcar(place, programs, host))),
        Side("down alone", DOWN, lambda: down(place)),
        Side("up alone", build.CURL, lambda: build.curl(place)),
        Side("into two", BOTH, lambda: _to_two(place, _both)),
        Side("two steps", TWO_STEPS, lambda: _to_two(place, _two_steps)),
    )


def _speed(
    names: tuple[str, ...], ours: Runs, peer: Runs, down: Runs, up: Runs, both: Runs, steps: Runs
) -> list[Figure]:
    slower = max(down, up, key=lambda side: side.seconds)
    sides_alone = f"{slower.side.name} {slower.spread}; down {down.seconds:.1f} s, up {up.seconds:.1f} s"
    over_slower = Figure(
        names[1],
        round(ours.seconds / slower.seconds, 3),
        ours.spread,
        sides_alone,
        1.30,
        f"{OURS}; against the slower of {DOWN}, and {build.CURL}",
    )
    return [ratio(names[0], ours, peer, target=0.65), over_slower, ratio(names[2], both, steps, target=0.80)]


def measure_huge(place: Place) -> list[Figure]:
    """Streams once, from end to end, with a model whose weights are zeros."""
    run = _to_one(place, lambda host: _stream(place, host))
    disk = run.disk["node"] + run.disk["claim"]
    size = f"{place.size / (1 << 30):.1f} GiB of weights, all zeros"
    seconds = round(run.seconds, 1)
    return [
        Figure(HUGE_FIGURES[0], seconds, f"{place.size / run.seconds / 1e6:.0f} MB/s", size, None, OURS),
        Figure(HUGE_FIGURES[1], mib(_memory([run])), f"{mib(_memory([run])):.0f} MiB", "", RSS_TARGET, OURS),
        Figure(HUGE_FIGURES[2], mib(disk), f"{mib(disk)} MiB", "", DISK_TARGET, OURS),
    ]


_IMPORTS = (
    "from modelcar.hub.selection import Selection; from modelcar.image.request import ImageRequest; "
    "from modelcar.steps.stream import stream; "
)


def _stream(place: Place, host: str, more: str = "", *, slow: bool = False) -> Measurement:
    target = f"{host}/{_IMAGE}"
    env = place.slow_hub_env if slow else place.hub_env
    return place.python(f"{_IMPORTS}stream(Selection({MODEL!r}), ImageRequest({target!r}{more}))", env)


def _both(place: Place, first: str, second: str, *, slow: bool = False) -> Measurement:
    return _stream(place, first, f", mirror_target='{second}/{_IMAGE}'", slow=slow)


def _two_steps(place: Place, first: str, second: str, *, slow: bool = False) -> Measurement:
    source, target = f"{first}/{_IMAGE}", f"{second}/{_IMAGE}"
    code = (
        f"{_IMPORTS}from modelcar.steps.mirror import mirror; stream(Selection({MODEL!r}), ImageRequest({source!r})); "
    )
    env = place.slow_hub_env if slow else place.hub_env
    return place.python(f"{code}mirror({source!r}, {target!r})", env)


def _oci_modelcar(place: Place, programs: Path, host: str) -> Measurement:
    repository, _, tag = _IMAGE.partition(":")
    with place.new_directory() as work:
        command: list[str | Path] = [programs / "oci-modelcar", "push", "--hf-repo", MODEL, "--registry", host]
        command += ["--target-repo", repository, "--target-tag", tag]
        command += ["--workers", "4", "--spool-dir", work / "spool"]
        return place.pods.run(command, place.hub_env)


def down(place: Place) -> Measurement:
    """Reads the model from the Hub and keeps nothing."""
    command = ["curl", "--silent", "--show-error", "--fail-early", "--fail", "--location"]
    command += ["--parallel", "--parallel-immediate", "--parallel-max", "4"]
    for name in files(place.downloaded):
        command += ["--output", "/dev/null", f"{place.hub_url}/{MODEL}/resolve/main/{name}"]
    place.settle()
    return place.pods.run(command)


def _to_one(place: Place, run: Callable[[str], Measurement]) -> Measurement:
    with place.new_registry() as registry:
        measured = run(registry.host)
        check_image(f"{registry.host}/{_IMAGE}", place.size)
    return measured


def _to_two(place: Place, run: Callable[[Place, str, str], Measurement]) -> Measurement:
    with place.new_registry() as first, place.new_registry() as second:
        measured = run(place, first.host, second.host)
        for registry in (first, second):
            check_image(f"{registry.host}/{_IMAGE}", place.size)
    return measured


def _unchanged(place: Place, runs: int) -> list[Figure]:
    """A second run on the same commit: its time, and what it moves of layers and configs in any direction."""
    with place.new_registry() as registry:
        _stream(place, registry.host)
        before, stored = len(registry.requests()), _stored(registry)
        sides = (
            Side("unchanged", f"{OURS} once more", lambda: _stream(place, registry.host)),
            Side("imports", IMPORTS, lambda: place.python("from modelcar.steps.stream import stream")),
        )
        again, imports = alternate(sides, runs)
        read = sum(request.size for request in registry.requests()[before:] if "/blobs/" in request.path)
        moved = read + _stored(registry) - stored
        requests.get(f"{registry.url}/v2/", timeout=10).raise_for_status()
    shown = f"{OURS} once more; of the registry's blobs, what it read and what it wrote"
    return [
        _seconds("unchanged_seconds", again, imports),
        Figure("unchanged_blob_bytes", moved, f"{moved} bytes", "", 0, shown),
    ]


def _seconds(name: str, again: Runs, imports: Runs) -> Figure:
    of_it = f"{imports.seconds:.1f} s of it are Python's start and imports"
    return Figure(name, round(again.seconds, 2), again.spread, of_it, 2, again.side.shown)


def _stored(registry: Registry) -> int:
    return sum(path.stat().st_size for path in registry.storage.rglob("data") if path.is_file())


def _rss(name: str, to_one: Runs, to_two: Runs) -> Figure:
    one, two = mib(_memory(to_one.measurements)), mib(_memory(to_two.measurements))
    return Figure(name, max(one, two), f"into one {one:.0f}, into two {two:.0f} MiB", "", RSS_TARGET, f"{OURS}, {BOTH}")


def _memory(measured: Sequence[Measurement]) -> int:
    return max(peak for run in measured for name, peak in run.memory.items() if name.startswith("python"))
