"""A step's last words: one line in the container's termination log instead of a traceback."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from modelcar import pod
from modelcar.errors import ModelcarError

ERROR = "error: "
"""Before the line that says why a step failed."""


@contextmanager
def explained() -> Iterator[None]:
    """Ends the process with one line and a non-zero exit, never a traceback, when a step fails in a way it can name.

    The line goes to stderr and to the container's termination log. A pod that is being deleted gets SIGTERM; it is
    turned into an ordinary exit, so that whatever was begun is tidied up on the way out.
    """
    signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        yield
    except ModelcarError as error:
        _last_words(f"{ERROR}{error}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        _last_words(f"{ERROR}interrupted. Run the same command again to go on where it stopped.")
        raise SystemExit(130) from None


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _last_words(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
    leave(line)


def leave(line: str) -> None:
    """Adds a line to the container's termination log, if there is one."""
    path = Path(os.environ.get(pod.LOCAL_TERMINATION_LOG, pod.TERMINATION_LOG))
    with suppress(OSError):
        if path.exists():
            with path.open("a") as log:
                log.write(line + "\n")
