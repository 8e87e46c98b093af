"""`python -m benchmarks`: measures the figures and writes them down."""

import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from benchmarks import build, direct, download, memory, mirror, peers, per_link, report, signing, stream, xet
from benchmarks.place import MOST_ON_DISK, prepared

SUBJECTS: tuple[ModuleType, ...] = (build, direct, download, mirror, stream, per_link, xet, memory, signing)
LARGE_SUBJECTS: tuple[ModuleType, ...] = (direct, stream, per_link, memory)
ORDER = [
    *(name for subject in SUBJECTS for name in subject.FIGURES),
    *(name for subject in LARGE_SUBJECTS for name in subject.LARGE_FIGURES),
    *stream.HUGE_FIGURES,
]
LARGE_MIB, HUGE_MIB = 8 << 10, 48 << 10
MOST_LARGE_RUNS = 3
"""The request's recipe alone takes minutes for 8 GiB."""

_INSIDE = "MODELCAR_BENCHMARK_INSIDE"


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="A figure or a subject (build, direct, download, …); repeatable")
    ] = None,
    size_mib: Annotated[int, typer.Option(help="The model's size")] = 1024,
    runs: Annotated[int, typer.Option(help="Measured runs of each side", min=1)] = 5,
    large: Annotated[bool, typer.Option(help="Then measure what depends on size with a model of 8 GiB")] = False,
    huge: Annotated[bool, typer.Option(help="Measure nothing but one stream of a model of 48 GiB")] = False,
) -> None:
    """Measures the project's speed, disk and memory figures, and writes results.json and the table in README.md."""
    chosen = _chosen(only or [])
    _enter_own_mounts()
    # So that being told to end leaves as little behind as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    with peers.ours() as program:
        if huge:
            _measure_huge(program)
        else:
            _measure(program, chosen, only or [], size_mib << 20, runs, large=large)


def _measure(program: Path, subjects: list[ModuleType], only: list[str], size: int, runs: int, *, large: bool) -> None:
    for subject in subjects:
        if not only or {_title(subject), *subject.FIGURES} & set(only):
            print(_title(subject), flush=True)
            with prepared(program, size, subject.SHARDS, times_on_disk=_room(subject)) as place:
                report.write(subject.measure(place, runs), ORDER)
        if (large and subject in LARGE_SUBJECTS) or set(_large(subject)) & set(only):
            print(f"{_title(subject)}, 8 GiB", flush=True)
            with prepared(program, LARGE_MIB << 20, subject.LARGE_SHARDS, times_on_disk=_room(subject)) as place:
                report.write(subject.measure_large(place, min(runs, MOST_LARGE_RUNS)), ORDER)


def _measure_huge(program: Path) -> None:
    print("stream, 48 GiB", flush=True)
    with prepared(program, HUGE_MIB << 20, stream.HUGE_SHARDS, zeros=True) as place:
        report.write(stream.measure_huge(place), ORDER)


def _chosen(only: list[str]) -> list[ModuleType]:
    asked = {subject: {_title(subject), *subject.FIGURES, *_large(subject)} for subject in SUBJECTS}
    names = set().union(*asked.values())
    if unknown := set(only) - names:
        raise typer.BadParameter(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    return [subject for subject in SUBJECTS if not only or asked[subject] & set(only)]


def _large(subject: ModuleType) -> tuple[str, ...]:
    return subject.LARGE_FIGURES if subject in LARGE_SUBJECTS else ()


def _room(subject: ModuleType) -> int:
    return getattr(subject, "TIMES_ON_DISK", MOST_ON_DISK)


def _title(subject: ModuleType) -> str:
    return subject.__name__.rpartition(".")[2]


def _enter_own_mounts() -> None:
    """Starts this program anew in a mount namespace of its own: its mounts end with it, whatever ends it."""
    if os.geteuid() != 0:
        sys.exit("the benchmarks mount file systems of their own to measure disks: run them as root")
    if _INSIDE not in os.environ:
        os.environ[_INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, "-m", "benchmarks", *sys.argv[1:]])


if __name__ == "__main__":
    typer.run(main)
