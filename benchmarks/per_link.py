"""A Hub that gives each connection a small share of the line, as the real one does: ours against aria2c."""

import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pairs import Runs, Side, alternate
from benchmarks.place import MODEL, Place, check_files, check_image, files, size_of
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
    "download_read_back",
    "stream_cpu_over_minimum",
)
SHARDS = 4
LINK = 20_000_000
"""Bytes a second of each connection."""

GIGABIT = 125_000_000
FAST_LINK = 100_000_000
SMALL_MEMORY = 400 << 20
ONE, EIGHT = "example/one-file", "example/eight-files"
OURS_STREAM = "`stream(model, A)`"
OURS_BOTH = "`stream(model, A, mirror=B)`"
OURS_DOWNLOAD = "`download(model, claim)`"
ARIA2 = "`aria2c -x16 -s16 -j8 --file-allocation=none -d $CLAIM/x -i URLS`"
HUB = ", from a Hub that gives each connection 20 MB/s"
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
    return [*figures, _line(place, runs), *_costs(place, runs)]


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


def _line(place: Place, runs: int) -> Figure:
    """Measures a stream over a line of 1 Gbit/s that connections share, each of which may have 100 MB/s."""
    with place.hub(rate=GIGABIT, connection_rate=FAST_LINK) as hub:
        side = Side("1 Gbit/s", f"{OURS_STREAM}, from a Hub at a line of 1 Gbit/s", lambda: _stream(place, hub, MODEL))
        (ours,) = alternate((side,), min(runs, 3))
    least = place.size / GIGABIT
    shown = f"{place.size / 1e9:.2f} GB need {least:.1f} s"
    return Figure("stream_over_line_1_gbit", round(ours.seconds / least, 3), ours.spread, shown, 1.10, ours.side.shown)


def _costs(place: Place, runs: int) -> list[Figure]:
    """Measures what a download reads back with little memory, and what a stream takes of the processor."""
    back = [_download(place, place.hub_url, MODEL, memory=SMALL_MEMORY).read for _ in range(min(runs, 3))]
    sides = (
        Side("stream", OURS_STREAM, lambda: _stream(place, place.hub_url, MODEL)),
        Side("minimum", MINIMUM, lambda: _minimum(place)),
    )
    ours, least = alternate(sides, runs)
    taken, needed = _processor(ours), _processor(least)
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
        Figure(
            "stream_cpu_over_minimum",
            round(taken / needed, 3),
            f"{taken:.2f} s of processor",
            f"{needed:.2f} s",
            1.15,
            f"{OURS_STREAM}; against {MINIMUM}",
        ),
    ]


def _processor(runs: Runs) -> float:
    return statistics.median(run.processor for run in runs.measurements)


def _stream(place: Place, hub: str, model: str, *, two: bool = False) -> Measurement:
    with place.new_registry() as first, place.new_registry() as second:
        targets = [f"{registry.host}/{_IMAGE}" for registry in (first, second)[: 1 + two]]
        measured = place.stream(model, *targets, hub=hub)
        for target in targets:
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
        urls.write_text("".join(f"{hub}/{model}/resolve/main/{name}\n out={name}\n" for name in _names(place, model)))
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
        for number, size in enumerate(sizes):
            path = Path(folder) / f"model-{number + 1:05}-of-{len(sizes):05}.gguf"
            with path.open("wb") as file:
                for _ in range(size >> 20):
                    file.write(os.urandom(1 << 20))
            sources[path.name] = path
        Hub(place.hub_root).publish(model, dict(sources))


def _names(place: Place, model: str) -> list[str]:
    repository = Hub(place.hub_root).store.load(model)
    assert repository
    return list(repository.commits[repository.branches["main"]].files)
