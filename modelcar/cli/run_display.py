"""Display of a run on this machine: a line for each step, with its log only where it failed or was asked for."""

import re
import sys
from collections.abc import Callable
from shutil import get_terminal_size
from textwrap import wrap
from typing import IO

from rich.filesize import decimal
from rich.text import Text

from modelcar.cli.words import in_options
from modelcar.pod import CLEAR_LINE
from modelcar.progress import duration
from modelcar.records.step_record import StepRecord
from modelcar.records.termination_message import ERROR

_STARTED = re.compile(r"Executing task '(?P<step>[\w-]+)'")
_PROGRESS = re.compile(r"[a-z]+: .+ of .+\(\d+%\)")
_OF_KFP = ("[KFP Executor", "---")
_SHOW_CURSOR = "\x1b[?25h"
_INDENT = "    "
_NAMES = 14
"""Columns of the steps' names."""


class RunDisplay:
    """Display of the steps; it also stands in for the stdout that kfp's runner writes its log to.

    Args:
        out: Where it goes.
        last_record: Returns what the last step recorded.
        verbose: Whether all that kfp and the steps say is shown.
    """

    def __init__(self, out: IO[str], last_record: Callable[[], StepRecord | None], *, verbose: bool) -> None:
        self._out = out
        self._is_terminal = out.isatty() and not verbose
        self._columns = log_columns()
        self._last_record = last_record
        self._verbose = verbose
        self._step = ""
        self._lines: list[str] = []
        self._in_json = False

    def kfp_says(self, line: str) -> None:
        """Takes a line of the runner's log."""
        said = Text.from_ansi(line).plain
        if self._verbose:
            self._write(said)
        if found := _STARTED.search(said):
            self._begin(found["step"])

    def step_says(self, line: str) -> None:
        """Takes a line of a step's log."""
        if not self._is_wanted(line):
            return
        self._lines.append(line)
        if self._verbose or (not self._is_terminal and _PROGRESS.match(line)):
            self._write(_INDENT + line)

    def step_ends(self, code: int) -> None:
        """Takes a step's exit code."""
        record = self._last_record()
        if code != 0:
            took, note = "", "failed"
        elif record is None or record.step.replace("_", "-") != self._step:
            # A step that has nothing to do records nothing; a report is not asked for.
            took, note = "", "" if self._step == "report" else "not asked for"
        else:
            took, note = duration(record.seconds) if record.seconds >= 1 else "", _note(record)
        line = f"{'✓' if code == 0 else '✗'} {self._step:{_NAMES}}{took:9} {note}".rstrip()
        self._write(f"{CLEAR_LINE if self._is_terminal else ''}{line}")
        if code and not self._verbose:
            self._write_log()

    def interrupted(self) -> None:
        """Leaves the terminal as it was: without what the step was drawing."""
        if self._is_terminal:
            self._out.write(CLEAR_LINE + _SHOW_CURSOR)
            self._out.flush()

    def _begin(self, step: str) -> None:
        self._step, self._lines, self._in_json = step, [], False
        if self._is_terminal:
            # What the step draws takes its place, and then the line that says how it ended.
            self._out.write(f"▸ {step}")
            self._out.flush()

    def _write_log(self) -> None:
        """Writes the step's log, but for its last word, with which the run ends."""
        lines = self._lines[:-1] if self._lines and self._lines[-1].startswith(ERROR) else self._lines
        for line in map(in_options, lines):
            hanging = " " * (len(line) - len(line.lstrip()))
            parts = wrap(line, self._columns, subsequent_indent=hanging) if self._is_terminal else [line]
            for part in parts:
                self._write((_INDENT + part).rstrip())

    def _is_wanted(self, line: str) -> bool:
        """Tells whether a line is the step's own: kfp's executor shows its inputs, as JSON, above all."""
        if self._in_json:
            self._in_json = line.rstrip() != "}"
            return False
        said = line.strip()
        self._in_json = said.startswith("[KFP Executor") and said.endswith("Got executor_input:")
        return bool(said) and not said.startswith(_OF_KFP)

    def _write(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


def log_columns() -> int:
    """Returns the columns of a step's log on the terminal."""
    return max(get_terminal_size().columns - len(_INDENT), 20)


class LineWriter:
    """A stream that hands over whole lines, for what prints to stdout.

    Args:
        take: Takes each line.
    """

    encoding = "utf-8"

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._line = ""

    def write(self, text: str) -> int:
        """Takes any piece of text."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def flush(self) -> None:
        """Does nothing: lines are handed over when they are whole."""

    def isatty(self) -> bool:
        """Tells that it is no terminal."""
        return False


def out_for(*, to_stderr: bool) -> IO[str]:
    """Returns where a display goes: what reads JSON reads stdout."""
    return sys.stderr if to_stderr else sys.stdout


def _note(record: StepRecord) -> str:
    if record.step == "preflight":
        what = "all of it is there already" if record.unchanged else decimal(record.size)
        return f"{what}, commit {record.commit}" if record.commit else what
    if record.unchanged:
        return "was there already"
    if record.entry:
        return " version ".join(record.entry.rsplit(" ", 1))
    return decimal(record.moved_bytes) if record.moved_bytes else ""
