"""Measures several ways to do the same thing in turn, because a machine's speed changes from minute to minute."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.pod import Measurement


@dataclass(frozen=True)
class Side:
    """One way to do it.

    Attributes:
        name: What to call it.
        shown: The command, as a reader would type it.
        run: Does it once, anew, and measures only the command itself.
    """

    name: str
    shown: str
    run: Callable[[], Measurement]


@dataclass(frozen=True)
class Runs:
    """All measured runs of one side."""

    side: Side
    measurements: Sequence[Measurement]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(run.seconds for run in self.measurements)

    @property
    def spread(self) -> str:
        """The median with the least and the most."""
        seconds = [run.seconds for run in self.measurements]
        return f"{self.seconds:.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"

    def disk(self, name: str) -> int:
        """The most, over all runs, that a file system grew, in bytes."""
        return max(run.disk[name] for run in self.measurements)


def alternate(sides: Sequence[Side], runs: int) -> list[Runs]:
    """Runs each side once to warm up, then all in turn: A B A B, and so on.

    Args:
        sides: What to compare.
        runs: How often each is measured.

    Returns:
        The runs of each side, in the order given.
    """
    for side in sides:
        _tell(side, "warm-up", side.run())
    taken: list[list[Measurement]] = [[] for _ in sides]
    for number in range(1, runs + 1):
        for side, measurements in zip(sides, taken, strict=True):
            measurements.append(side.run())
            _tell(side, f"run {number}", measurements[-1])
    return [Runs(side, measurements) for side, measurements in zip(sides, taken, strict=True)]


def _tell(side: Side, which: str, measured: Measurement) -> None:
    most = ", ".join(f"{name} {size >> 20}" for name, size in (*measured.disk.items(), *measured.memory.items()))
    print(f"  {side.name}, {which}: {measured.seconds:.2f} s (MiB at most: {most})", flush=True)
