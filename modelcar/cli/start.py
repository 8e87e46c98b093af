"""The first moment of the `modelcar` command: Ctrl-C ends it in one line from here on, while Python reads the rest."""

import os
import signal
from contextlib import suppress
from types import FrameType

from modelcar.errors import INTERRUPTED


def main() -> None:
    """Runs the command."""
    signal.signal(signal.SIGINT, _end)
    # Only here: what it imports takes longer than a key.
    from modelcar.cli.program import main as program

    program()


def _end(number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, f"error: {INTERRUPTED}\n".encode())
    os._exit(128 + number)
