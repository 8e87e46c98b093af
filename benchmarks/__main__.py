"""`python -m benchmarks`: measures the figures and writes them down."""

import os
import signal
import sys
from types import ModuleType
from typing import Annotated

import typer

from benchmarks import build, download, memory, mirror, report
from benchmarks.place import prepared

SUBJECTS: tuple[ModuleType, ...] = (build, download, mirror, memory)
ORDER = [name for subject in SUBJECTS for name in subject.FIGURES] + [f"{name}_at_8_gib" for name in memory.FIGURES]
LARGE_MIB = 8192
_INSIDE = "MODELCAR_BENCHMARK_INSIDE"


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="A figure, or build, download, mirror, memory; repeatable")
    ] = None,
    size_mib: Annotated[int, typer.Option(help="The model's size")] = 1024,
    runs: Annotated[int, typer.Option(help="Measured runs of each side", min=1)] = 5,
    large: Annotated[bool, typer.Option(help="Measure memory once more, with a model of 8 GiB")] = False,
) -> None:
    """Measures the project's speed, disk and memory figures, and writes results.json and the table in README.md."""
    chosen = _chosen(only or [])
    _enter_own_mounts()
    # So that being told to end leaves as little behind as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    for subject in chosen:
        print(_title(subject), flush=True)
        with prepared(size_mib << 20, subject.SHARDS) as place:
            report.write(subject.measure(place, runs), ORDER)
    if large:
        print("memory, 8 GiB", flush=True)
        with prepared(LARGE_MIB << 20, memory.SHARDS) as place:
            report.write(memory.measure_large(place, "_at_8_gib"), ORDER)


def _chosen(only: list[str]) -> list[ModuleType]:
    names = {name for subject in SUBJECTS for name in (_title(subject), *subject.FIGURES)}
    if unknown := set(only) - names:
        raise typer.BadParameter(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    return [subject for subject in SUBJECTS if not only or {_title(subject), *subject.FIGURES} & set(only)]


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
