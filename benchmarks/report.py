"""Keeps the figures: as numbers in results.json, and as a table in README.md."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.pairs import Runs

FOLDER = Path(__file__).parent
RESULTS, README = FOLDER / "results.json", FOLDER / "README.md"
BEGIN, END = "<!-- figures: written by python -m benchmarks -->", "<!-- end of figures -->"
_HEAD = ("| figure | value | target | ours | the other |", "|---|---:|---|---|---|")


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: Its fixed name.
        value: The number.
        ours: What was measured of ours, as shown.
        peer: What was measured of the other side, as shown.
        target: What the number must not exceed, if it is a promise.
        run: What was run, as shown.
    """

    name: str
    value: float
    ours: str
    peer: str
    target: float | None
    run: str

    def row(self) -> str:
        """The figure's line of the table."""
        met = "" if self.target is None else f"≤ {self.target:g} {'✓' if self.value <= self.target else '✗'}"
        return f"| `{self.name}` | {self.value:g} | {met} | {self.ours} | {self.peer} |"

    def note(self) -> str:
        """The figure's line of what was run."""
        return f"- `{self.name}`: {self.run}"


def ratio(name: str, ours: Runs, peer: Runs, target: float | None = None) -> Figure:
    """The figure of how long ours takes, measured by how long the other takes: medians of wall time."""
    run = f"{ours.side.shown}; against {peer.side.shown}"
    return Figure(name, round(ours.seconds / peer.seconds, 3), ours.spread, peer.spread, target, run)


def mib(size: int) -> float:
    """Bytes as MiB, to a tenth."""
    return round(size / (1 << 20), 1)


def write(figures: Sequence[Figure], order: Sequence[str]) -> None:
    """Puts figures into results.json and the table; those that were not measured now stay as they are.

    Args:
        figures: What was measured.
        order: All names, as the table has them.
    """
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept |= {figure.name: figure.value for figure in figures}
    kept |= {"commit": _commit(), "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "machine": _machine()}
    ordered = {name: kept[name] for name in (*order, "commit", "date", "machine") if name in kept}
    RESULTS.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")
    before, _, rest = README.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = _lines(table, "| `") | {figure.name: figure.row() for figure in figures}
    notes = _lines(table, "- `") | {figure.name: figure.note() for figure in figures}
    lines = [*_HEAD, *(rows[name] for name in order if name in rows)]
    lines += ["", "What was run:", "", *(notes[name] for name in order if name in notes)]
    measured = f"Last written at commit {kept['commit']}, {kept['date']}, on {kept['machine']}."
    README.write_text("\n".join([before + BEGIN, "", *lines, "", measured, "", END + after]))


def _lines(text: str, start: str) -> dict[str, str]:
    return {line.split("`")[1]: line for line in text.splitlines() if line.startswith(start)}


def _commit() -> str:
    asked = ["git", "-C", str(FOLDER), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def _machine() -> str:
    model = _field(Path("/proc/cpuinfo").read_text().splitlines(), "model name") or platform.machine()
    memory = int(_field(Path("/proc/meminfo").read_text().splitlines(), "MemTotal").split()[0]) / (1 << 20)
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, Linux {platform.release()}"


def _field(lines: Iterable[str], name: str) -> str:
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
