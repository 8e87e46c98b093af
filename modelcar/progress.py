"""Progress of long work: a live line on a terminal, a printed line every few seconds anywhere else."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from rich.filesize import decimal

from modelcar import pod
from modelcar.errors import StoppedError

if TYPE_CHECKING:
    from rich.progress import Progress as Display

SECONDS_BETWEEN_LINES = 5.0
_LINES_FOR_RATE = 6


class Progress:
    """Bytes done of a total, with rate and time left. Safe to advance from several threads.

    Args:
        verb: What is being done, such as `download`.
        total: Bytes in all.
    """

    def __init__(self, verb: str, total: int) -> None:
        self._verb = verb
        self._total = total
        self._done = 0
        # What is shown never goes back: bytes that have to be done again are counted twice.
        self._shown = 0
        self._began = time.monotonic()
        self._seen = deque([(self._began, 0)], _LINES_FOR_RATE)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._stopped = threading.Event()
        self._printer = threading.Thread(target=self._print_lines, daemon=True)
        self._terminal = _open_terminal()
        shown_on = self._terminal or sys.stdout
        self._display = _display(verb, total, shown_on, self._terminal is None) if shown_on.isatty() else None

    def __enter__(self) -> "Progress":
        _SHOWN.append(self)
        if self._display:
            if self._terminal:
                # Somebody else's line stands there, which the first bar would go on with.
                self._terminal.write(pod.CLEAR_LINE)
            self._display.start()
        else:
            self._printer.start()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        _SHOWN.remove(self)
        self._ended.set()
        if self._display:
            self._display.stop()
        else:
            self._printer.join()
        if error_type is None:
            print(self._summary(), flush=True)
        if self._terminal is not None:
            self._terminal.close()

    def clear(self) -> None:
        """Takes the bar away from the terminal, if there is one; the work may go on."""
        if self._display:
            self._display.stop()

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
        with self._lock:
            self._done += count
            self._shown = max(self._shown, self._done)
            if self._display:
                self._display.update(self._display.task_ids[0], completed=self._shown)

    def _print_lines(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LINES):
            print(self._line(), flush=True)

    def _line(self) -> str:
        now, done = time.monotonic(), self._shown
        then, before = self._seen[0]
        self._seen.append((now, done))
        speed = (done - before) / (now - then)
        share = f" ({100 * done / self._total:.0f}%)" if self._total else ""
        rate = f", {decimal(int(speed))}/s, {duration((self._total - done) / speed)} left" if speed > 0 else ""
        return f"{self._verb}: {decimal(done)} of {decimal(self._total)}{share}{rate}"

    def _summary(self) -> str:
        seconds = max(time.monotonic() - self._began, 0.001)
        rate = f", {decimal(int(self._done / seconds))}/s" if self._done else ""
        return f"{self._verb}: {decimal(self._done)} in {seconds:.1f} s{rate}"


_SHOWN: list[Progress] = []
"""Progress of what is under way."""


def clear_terminal() -> None:
    """Takes all bars away, for the last words of a process that does not wait for their ends."""
    for one in tuple(_SHOWN):
        one.clear()


def silent(_count: int) -> None:
    """Counts nothing; for callers that show no progress."""


Count = Callable[[int], None]


def _open_terminal() -> IO[str] | None:
    if pod.TERMINAL not in os.environ or sys.stdout.isatty():
        return None
    try:
        return open(os.environ[pod.TERMINAL], "w")
    except OSError:
        return None


def _display(verb: str, total: int, terminal: IO[str], is_ours: bool) -> "Display":
    # Only here: most steps have no terminal, and start sooner without it.
    from rich import progress
    from rich.console import Console

    display = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(file=terminal),
        transient=True,
        # Else what is printed meanwhile, which somebody else reads, would be shown above the bar.
        redirect_stdout=is_ours,
        redirect_stderr=is_ours,
    )
    display.add_task(verb, total=total)
    return display


def duration(seconds: float) -> str:
    """Returns a duration as people write it: 40 s, 3 min 20 s, 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{rest} s"
