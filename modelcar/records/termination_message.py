"""A step's last words: one line in the container's termination log, whatever ends the step, and an end in time."""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from modelcar import pod
from modelcar.errors import INTERRUPTED, ModelcarError
from modelcar.progress import clear_terminal

ERROR = "error: "
"""Mark before the line that says why a step failed."""

TIDY_SECONDS = 3.0
"""Time that a process that was told to end may tidy up. Then it ends, even if it still waits for a server."""

_SIGNALLED = {
    signal.SIGINT: INTERRUPTED,
    signal.SIGTERM: "told to end (SIGTERM). Run the same command again to go on where it stopped",
}
_OUTPUT_IS_GONE = (errno.EPIPE, errno.EBADF)
_OUTPUT_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class EndedError(SystemExit):
    """The process was told to end by a signal. Passes through whatever catches errors, and lets it tidy up."""


@contextmanager
def exit_with_one_line(patience: float = 0.0, before: str = "", tidy: float = TIDY_SECONDS) -> Iterator[None]:
    """Ends the process with one line and a non-zero exit, never a traceback, when a step fails in a way it can name.

    The line goes to stderr and to the container's termination log. SIGINT (Ctrl-C) and SIGTERM (a pod that is being
    deleted) become an ordinary exit, so that whatever was begun is tidied up; but only for a while.

    Args:
        patience: Seconds that the tidying up may take before the line is written in any case. Default: none, as a pod
            may have less than one.
        before: What goes before a signal's line, such as what clears a terminal's line. Default: nothing.
        tidy: Seconds after which the process ends in any case.
    """
    _open_missing_streams()
    with _Signals(patience, before, tidy) as signals:
        try:
            try:
                yield
            except SystemExit:
                sys.stdout.flush()
                raise
            sys.stdout.flush()
        except ModelcarError as error:
            _last_words(f"{ERROR}{error}")
            raise SystemExit(1) from None
        except (EndedError, KeyboardInterrupt):
            signals.say()
            raise SystemExit(128 + signals.number) from None
        except OSError as error:
            if not _is_of_stdout(error):
                raise
            raise SystemExit(_leave_stdout(error)) from None


class _Signals:
    """Turns SIGINT and SIGTERM into an exit that comes in time.

    Python runs a signal's handler in the main thread, between two of its own steps, and joins all threads at its end:
    a name server or a registry that does not answer would hold up both. So a thread of our own hears of the signal
    too, by the file descriptor to which Python writes it (signal.set_wakeup_fd), and ends the process if nothing else
    does.
    """

    def __init__(self, patience: float, before: str, tidy: float) -> None:
        self._patience, self._before, self._tidy = patience, before, tidy
        self.number = int(signal.SIGINT)
        self._lock = threading.Lock()
        self._said = False
        self._heard = False
        self._is_main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "_Signals":
        # In another thread, as in a notebook's, signals are somebody else's matter.
        if self._is_main:
            self._read_end, self._write_end = os.pipe()
            os.set_blocking(self._write_end, False)
            self._fd_before = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
            self._handlers_before = {number: signal.signal(number, self._handle) for number in _SIGNALLED}
            threading.Thread(target=self._watch, args=(self._read_end,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # After a signal all stays as it is: the interpreter's own end may have to be cut short, too.
        if self._is_main and not self._heard:
            for number, handler in self._handlers_before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._fd_before)
            os.close(self._write_end)

    def say(self) -> None:
        """Says, once, why the process ends."""
        with self._lock:
            if not self._said:
                self._said = True
                clear_terminal()
                _last_words(f"{ERROR}{_SIGNALLED[signal.Signals(self.number)]}", self._before)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._heard:
            # Asked a second time: no more tidying up.
            os._exit(128 + number)
        self.number, self._heard = number, True
        raise EndedError(128 + number)

    def _watch(self, read_end: int) -> None:
        while heard := os.read(read_end, 1):
            if heard[0] in _SIGNALLED:
                self.number = heard[0]
                # In yet another thread: where stderr leads may be full, and nobody reads it.
                last_words = threading.Timer(self._patience, self.say)
                last_words.daemon = True
                last_words.start()
                time.sleep(self._tidy)
                os._exit(128 + self.number)
        os.close(read_end)


def _open_missing_streams() -> None:
    """Gives the process streams to write to where it was started without: Python then has None in their place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def _is_of_stdout(error: OSError) -> bool:
    """Tells whether an error is that of writing to stdout: then a single character cannot be written either."""
    if error.filename is not None or error.errno not in (*_OUTPUT_IS_GONE, *_OUTPUT_IS_FULL):
        return False
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except OSError as again:
        return again.errno == error.errno
    except ValueError:
        # It is no file, as where a test takes what is written.
        return False
    return False


def _leave_stdout(error: OSError) -> int:
    """Leaves a stdout that takes nothing any more; gives the exit code."""
    # Python flushes it once more at its end, and would complain.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno in _OUTPUT_IS_GONE:
        # As of any program whose reader, such as `head`, has seen enough.
        return 128 + signal.SIGPIPE
    _last_words(f"{ERROR}cannot write to stdout: {error.strerror}. Make room where it is written to, and run again")
    return 1


def _last_words(line: str, before: str = "") -> None:
    with suppress(OSError, ValueError):
        print(f"{before}{line}", file=sys.stderr, flush=True)
    leave(line)


def leave(line: str) -> None:
    """Adds a line to the container's termination log, if there is one."""
    path = Path(os.environ.get(pod.LOCAL_TERMINATION_LOG, pod.TERMINATION_LOG))
    with suppress(OSError):
        if path.exists():
            with path.open("a") as log:
                log.write(line + "\n")
