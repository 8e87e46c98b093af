"""Display of a run: a table that changes on a terminal, lines anywhere else."""

import json
import sys
import time
from dataclasses import asdict
from datetime import datetime
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from modelcar.cli.server.run_view import CANCELLED, DONE, FAILED, RUNNING, SKIPPED, WAITING, RunView, Step
from modelcar.progress import duration

SECONDS_BETWEEN_LINES = 30.0
"""Place where progress is printed as lines, one of them for a step that does not change but for its bytes."""

_SIGNS = {WAITING: "·", RUNNING: "▸", DONE: "✓", FAILED: "✗", SKIPPED: "-", CANCELLED: "■"}
_STYLES = {RUNNING: "bold", DONE: "green", FAILED: "bold red", SKIPPED: "dim", CANCELLED: "yellow", WAITING: "dim"}


class TableDisplay:
    """A live table, for a terminal.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._trouble = ""

    def __enter__(self) -> "TableDisplay":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, run: RunView) -> None:
        """Shows what is known now."""
        self._trouble = ""
        self._live.update(run_table(run), refresh=True)

    def line(self, step: str, text: str) -> None:
        """Shows a line of a step's log above the table."""
        self._live.console.print(Text(f"[{step}] {text}"), soft_wrap=True)

    def trouble(self, text: str) -> None:
        """Shows what hinders us, once."""
        if text != self._trouble:
            self._trouble = text
            self._live.console.print(Text(text, style="yellow"), soft_wrap=True)


class LineDisplay:
    """A line for each change, for a log.

    Args:
        out: Where the lines go.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._shown: dict[str, str] = {}
        self._when: dict[str, float] = {}

    def __enter__(self) -> "LineDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, run: RunView) -> None:
        """Writes what changed; bytes only now and then."""
        for step in run.steps:
            # Bytes change at each look, why a step waits is news each time.
            news = f"{step.state} {step.note if step.state == WAITING else step.node}"
            since = time.monotonic() - self._when.get(step.title, 0.0)
            is_late = step.state == RUNNING and since >= SECONDS_BETWEEN_LINES
            if (self._shown.get(step.title, f"{WAITING} ") != news) or is_late:
                self._shown[step.title], self._when[step.title] = news, time.monotonic()
                self._write(f"{datetime.now():%H:%M:%S} {_line(step)}")

    def line(self, step: str, text: str) -> None:
        """Writes a line of a step's log."""
        self._write(f"[{step}] {text}")

    def trouble(self, text: str) -> None:
        """Writes what hinders us, once."""
        if self._shown.get("") != text:
            self._shown[""] = text
            self._write(text)

    def _write(self, text: str) -> None:
        # In one piece, for the logs of several steps come from threads.
        self._out.write(f"{text}\n")
        self._out.flush()


def run_table(run: RunView) -> Table:
    """A run's steps."""
    table = Table(
        title=Text(f"{run.name}  {run.state.lower()}  {duration(run.seconds)}"),
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        show_header=False,
    )
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for step in run.steps:
        style = _STYLES[step.state]
        took = duration(step.seconds) if step.seconds else ""
        where = f"on {step.node.partition('.')[0]}" if step.node else ""
        note = Text(" ".join(filter(None, (step.note, where))))
        table.add_row(
            Text(_SIGNS[step.state], style), Text(step.title, style), Text(step.state, style), Text(took), note
        )
    return table


def show_end(run: RunView, out: IO[str]) -> None:
    """Says how a run ended, and what to do now."""
    lines = [""]
    if run.is_well and run.image:
        lines.append(f"image       {run.image}")
        if run.model:
            lines.append(f"registered  {run.model}, version {run.version}")
        lines.append(f"to serve    storageUri: oci://{run.image}")
        if run.unchanged:
            lines.append("all of it was there already")
    elif run.is_well:
        lines.append(f"{run.name} succeeded in {duration(run.seconds)}")
    elif run.has_ended and not run.error:
        lines.append(f"{run.name} was cancelled" if run.state == "CANCELED" else f"{run.name}: {run.state.lower()}")
    lines += [f"not shown: {reason}" for reason in run.hidden]
    print("\n".join(lines), file=out, flush=True)


def as_json(run: RunView) -> str:
    """A run as one line of JSON."""
    return json.dumps(asdict(run), default=str)


def display(*, to_stderr: bool) -> "TableDisplay | LineDisplay":
    """The display that suits where the output goes."""
    out = sys.stderr if to_stderr else sys.stdout
    console = Console(file=out, highlight=False)
    return TableDisplay(console) if console.is_terminal else LineDisplay(out)


def _line(step: Step) -> str:
    took = f"in {duration(step.seconds)}" if step.state in (DONE, FAILED) and step.seconds else ""
    where = f"on {step.node}" if step.node and step.state == RUNNING else ""
    return " ".join(filter(None, (f"{step.title}:", step.state, step.note, took, where)))
