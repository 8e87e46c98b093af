"""A Hub that gives each connection a small share of the line, as the real one does: ours against aria2c."""

import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.pairs import Runs, Side, alternate
from benchmarks.place import MODEL, Place, check_files, check_image, files, published, size_of
from benchmarks.pod import Measurement
from benchmarks.report import Figure, mib, ratio
from tests.parts.hub import Hub

FIGURES = (
    "stream_per_link_over_aria2",
    "download_per_link_over_aria2",
    "stream_per_link_over_aria2_8_files",
    "download_per_link_over_aria2_8_files",
    "stream_per_link_rss_mib",
    "stream_per_link_over_no_limit",
    "stream_over_line_1_gbit",
    "stream_over_line_10_gbit",
    "download_read_back",
    "stream_cpu_over_minimum",
)
SHARDS = LARGE_SHARDS = 16
"""Layers in flight at most: each goes into a registry over one connection."""

TIMES_ON_DISK = 4
LARGE_FIGURES = (
    *(f"stream_over_line_{line}_{size}" for line in ("1_gbit", "10_gbit") for size in ("at_8_gib", "at_48_gib")),
    "stream_per_link_over_aria2_at_4_gib",
    "download_per_link_over_aria2_at_4_gib",
    "stream_cpu_over_minimum_at_8_gib",
)
LINK = 20_000_000
"""Bytes a second of each connection."""

LINES = {"1_gbit": 125_000_000, "10_gbit": 1_250_000_000}
"""Bytes a second of lines, by what figures call them."""

FAST_LINK = 100_000_000
SMALL_MEMORY = 400 << 20
ONE, EIGHT, QUARTER, HALF = "example/one-file", "example/eight-files", "example/quarter", "example/half"
EXTRAPOLATED = 48 << 30
OURS_STREAM = "`stream(model, A)`"
OURS_BOTH = "`stream(model, A, mirror=B)`"
OURS_DOWNLOAD = "`download(model, claim)`"
ARIA2 = "`aria2c -x16 -s16 -j8 --file-allocation=none -d $CLAIM/x -i URLS`"
HUB = ", from a Hub that gives each connection 20 MB/s"
FAR = {
    line: f"from a Hub and into a registry at lines of {line.partition('_')[0]} Gbit/s each, 100 MB/s for a connection"
    for line in LINES
}
MINIMUM = (
    "`openssl sha256 FILE …` twice, `curl --location --output /dev/null FILE …`, and "
    "`curl --upload-file FILE UPLOAD?digest=DIGEST …`"
)
_IMAGE = "example/llama:1.0"


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures downloads and streams over connections that are slow each."""
    publish(place, ONE, [400 << 20])
    publish(place, EIGHT, [100 << 20] * 8)
    with place.hub(connection_rate=LINK) as hub:
        one, eight = (_against_aria2(place, hub, model, runs) for model in (ONE, EIGHT))
    figures = [*one[:2], *(_renamed(figure) for figure in eight[:2]), *one[3:], eight[2]]
    return [*figures, *_lines(place, min(runs, 3)), *_costs(place, runs)]


def _against_aria2(place: Place, hub: str, model: str, runs: int) -> list[Figure]:
    sides = (
        Side("stream", OURS_STREAM + HUB, lambda: _stream(place, hub, model)),
        Side("download", OURS_DOWNLOAD + HUB, lambda: _download(place, hub, model)),
        Side("aria2c", ARIA2 + HUB, lambda: _aria2(place, hub, model)),
        Side("into two", OURS_BOTH + HUB, lambda: _stream(place, hub, model, two=True)),
        Side("no limit", OURS_STREAM, lambda: _stream(place, place.hub_url, model)),
    )
    stream, download, aria2, both, no_limit = alternate(sides, runs)
    most = max(peak for run in both.measurements for name, peak in run.memory.items() if name.startswith("python"))
    return [
        ratio(FIGURES[0], stream, aria2, target=1.25),
        ratio(FIGURES[1], download, aria2, target=1.15),
        Figure(FIGURES[4], mib(most), f"{mib(most):.0f} MiB", "", 256, OURS_BOTH + HUB),
        ratio("stream_per_link_over_no_limit", stream, no_limit, target=1.1),
    ]


def _renamed(figure: Figure) -> Figure:
    return Figure(f"{figure.name}_8_files", figure.value, figure.ours, figure.peer, figure.target, figure.run)


def _lines(place: Place, runs: int) -> Iterator[Figure]:
    for line in LINES:
        ours = _over_line(place, line, MODEL, runs)
        yield _over_least(f"stream_over_line_{line}", line, ours.seconds, place.size, 1.10, ours.spread)


def measure_large(place: Place, runs: int) -> list[Figure]:
    """Measures streams over lines at two sizes, of which what 48 GiB would take follows, one large file over slow
    connections, and a stream's processor.
    """
    publish(place, QUARTER, [place.size // 4 // LARGE_SHARDS >> 20 << 20] * LARGE_SHARDS)
    lines = [figure for line in LINES for figure in _lines_at_sizes(place, line, min(runs, 3))]
    return [*lines, *_large_file(place, runs), _over_minimum(place, LARGE_FIGURES[-1], runs)]


def _large_file(place: Place, runs: int) -> Iterator[Figure]:
    publish(place, HALF, [place.size // 2 >> 20 << 20])
    with place.hub(connection_rate=LINK) as hub:
        sides = (
            Side("stream", OURS_STREAM + HUB, lambda: _stream(place, hub, HALF)),
            Side("download", OURS_DOWNLOAD + HUB, lambda: _download(place, hub, HALF)),
            Side("aria2c", ARIA2 + HUB, lambda: _aria2(place, hub, HALF)),
        )
        stream, download, aria2 = alternate(sides, runs)
    yield ratio("stream_per_link_over_aria2_at_4_gib", stream, aria2, target=1.25)
    yield ratio("download_per_link_over_aria2_at_4_gib", download, aria2, target=1.15)


def _lines_at_sizes(place: Place, line: str, runs: int) -> Iterator[Figure]:
    small, large = (size_of(place, model) for model in (QUARTER, MODEL))
    quarter, whole = (_over_line(place, line, model, runs) for model in (QUARTER, MODEL))
    yield _over_least(f"stream_over_line_{line}_at_8_gib", line, whole.seconds, large, 1.10, whole.spread)
    each = (whole.seconds - quarter.seconds) / (large - small)
    seconds = whole.seconds + each * (EXTRAPOLATED - large)
    shown = (
        f"{seconds:.1f} s, from {quarter.spread} for {small / 1e9:.2f} GB and {whole.spread} for {large / 1e9:.2f} GB"
    )
    yield _over_least(f"stream_over_line_{line}_at_48_gib", line, seconds, EXTRAPOLATED, 1.05, shown)


def _over_line(place: Place, line: str, model: str, runs: int) -> Runs:
    """Measures streams whose Hub and registry are each at the far end of a line."""
    with place.hub(rate=LINES[line], connection_rate=FAST_LINK) as hub:
        side = Side(line, f"{OURS_STREAM}, {FAR[line]}", lambda: _stream_far(place, hub, model, LINES[line]))
        (ours,) = alternate((side,), runs)
    return ours


def _over_least(name: str, line: str, seconds: float, size: int, target: float, shown: str) -> Figure:
    least = size / LINES[line]
    needed = f"{size / 1e9:.2f} GB need {least:.1f} s"
    return Figure(name, round(seconds / least, 3), shown, needed, target, f"{OURS_STREAM}, {FAR[line]}")


def _costs(place: Place, runs: int) -> list[Figure]:
    """Measures what a download reads back with little memory, and what a stream takes of the processor."""
    back = [_download(place, place.hub_url, MODEL, memory=SMALL_MEMORY).read for _ in range(min(runs, 3))]
    limited = f"{OURS_DOWNLOAD} in a pod with 400 MiB of memory; bytes read from the claim's device"
    return [
        Figure(
            "download_read_back",
            round(max(back) / place.size, 3),
            f"{mib(max(back))} MiB",
            f"{mib(place.size)} MiB of weights",
            0.02,
            limited,
        ),
        _over_minimum(place, "stream_cpu_over_minimum", runs),
    ]


def _over_minimum(place: Place, name: str, runs: int) -> Figure:
    """Measures what a stream takes of the processor, against what it cannot do without."""
    sides = (
        Side("stream", OURS_STREAM, lambda: _stream(place, place.hub_url, MODEL)),
        Side("minimum", MINIMUM, lambda: _minimum(place)),
    )
    taken, needed = (_processor(side) for side in alternate(sides, runs))
    shown = f"{taken:.2f} s of processor"
    return Figure(name, round(taken / needed, 3), shown, f"{needed:.2f} s", 1.15, f"{OURS_STREAM}; against {MINIMUM}")


def _processor(runs: Runs) -> float:
    return statistics.median(run.processor for run in runs.measurements)


def _stream(place: Place, hub: str, model: str, *, two: bool = False) -> Measurement:
    with place.new_registry() as first, place.new_registry() as second:
        targets = [f"{registry.host}/{_IMAGE}" for registry in (first, second)[: 1 + two]]
        measured = place.stream(model, *targets, hub=hub)
        for target in targets:
            check_image(target, size_of(place, model))
    return measured


def _stream_far(place: Place, hub: str, model: str, rate: float) -> Measurement:
    with place.new_far_registry(rate, FAST_LINK) as host:
        target = f"{host}/{_IMAGE}"
        measured = place.stream(model, target, hub=hub)
        check_image(target, size_of(place, model))
    return measured


def _download(place: Place, hub: str, model: str, memory: int = 0) -> Measurement:
    with place.new_directory() as work:
        measured = place.download(model, work, hub=hub, memory=memory)
        check_files(work, size_of(place, model))
    return measured


def _aria2(place: Place, hub: str, model: str) -> Measurement:
    with place.new_directory() as work:
        urls = work / "urls"
        urls.write_text(
            "".join(f"{hub}/{model}/resolve/main/{name}\n out={name}\n" for name in published(place, model))
        )
        command: list[str | Path] = ["aria2c", "--quiet", "-x16", "-s16", "-j8", "--file-allocation=none"]
        measured = place.pods.run([*command, "-d", work, "-i", urls])
        check_files(work, size_of(place, model))
    return measured


def _minimum(place: Place) -> Measurement:
    """Measures what nobody can do without, each by a program of its own; adds up their processor seconds."""
    from benchmarks import build, stream

    paths = [place.downloaded / name for name in files(place.downloaded)]
    parts = (
        place.pods.run(["openssl", "sha256", *paths]),
        place.pods.run(["openssl", "sha256", *paths]),
        stream.down(place),
        build.curl(place),
    )
    return Measurement(sum(part.seconds for part in parts), {}, parts[0].disk, sum(part.processor for part in parts))


def publish(place: Place, model: str, sizes: Sequence[int]) -> None:
    """Publishes files of such sizes on the Hub, which nothing can compress."""
    with tempfile.TemporaryDirectory(dir=place.hub_root.parent) as folder:
        sources: dict[str, Path] = {}
        for number, size in enumerate(sizes, 1):
            # Parts of one model by their names: of files with names of their own one would have to be chosen.
            path = Path(folder) / f"weights-{number:05}-of-{len(sizes):05}.gguf"
            with path.open("wb") as file:
                for _ in range(size >> 20):
                    file.write(os.urandom(1 << 20))
            sources[path.name] = path
        Hub(place.hub_root).publish(model, dict(sources))
