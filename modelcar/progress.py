"""Progress of long work: a live line on a terminal, a printed line every few seconds anywhere else."""

import os
import sys
import threading
from collections.abc import Callable
from typing import IO

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Task, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Display

from modelcar.errors import StoppedError

SECONDS_BETWEEN_LINES = 5.0
TERMINAL = "MODELCAR_TERMINAL"
"""Names the terminal that a live display may use although stdout is a pipe, as it is under kfp's local runner."""


class Progress:
    """Bytes done of a total, with rate and time left. Safe to advance from several threads.

    Args:
        verb: What is being done, such as `download`.
        total: Bytes in all.
    """

    def __init__(self, verb: str, total: int) -> None:
        self._terminal = _open_terminal()
        self._display = Display(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(file=self._terminal or sys.stdout),
            transient=True,
        )
        self._task: TaskID = self._display.add_task(verb, total=total)
        self._ended = threading.Event()
        self._stopped = threading.Event()
        self._printer = threading.Thread(target=self._print_lines, daemon=True)
        self._live = self._display.console.is_terminal

    def __enter__(self) -> "Progress":
        if self._live:
            self._display.start()
        else:
            self._printer.start()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        if self._live:
            self._display.stop()
        else:
            self._printer.join()
        if error_type is None:
            print(_summary(self._state()), flush=True)
        if self._terminal is not None:
            self._terminal.close()

    def stop(self) -> None:
        """Ends the work of other threads, at the next byte that they count."""
        self._stopped.set()

    def advance(self, count: int) -> None:
        """Counts more bytes as done; a negative number takes back what has to be done again.

        Raises:
            StoppedError: The work was stopped.
        """
        if count > 0 and self._stopped.is_set():
            raise StoppedError("stopped")
        self._display.advance(self._task, count)

    def _state(self) -> Task:
        return self._display.tasks[0]

    def _print_lines(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LINES):
            print(_line(self._state()), flush=True)


def silent(_count: int) -> None:
    """Counts nothing; for callers that show no progress."""


Count = Callable[[int], None]


def _open_terminal() -> IO[str] | None:
    if TERMINAL not in os.environ or sys.stdout.isatty():
        return None
    try:
        return open(os.environ[TERMINAL], "w")
    except OSError:
        return None


def _line(task: Task) -> str:
    total = task.total or 0
    share = f" ({task.percentage:.0f}%)" if total else ""
    rate = f", {decimal(int(task.speed))}/s" if task.speed else ""
    left = f", {_clock(task.time_remaining)} left" if task.time_remaining is not None else ""
    return f"{task.description}: {decimal(int(task.completed))} of {decimal(int(total))}{share}{rate}{left}"


def _summary(task: Task) -> str:
    seconds = max(task.elapsed or 0.0, 0.001)
    rate = f", {decimal(int(task.completed / seconds))}/s" if task.completed else ""
    return f"{task.description}: {decimal(int(task.completed))} in {seconds:.1f} s{rate}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
