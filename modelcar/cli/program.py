"""The `modelcar` command as a process: it ends in time and with one line, from its first moment on."""

import os
import signal
import sys
from contextlib import suppress

from modelcar.cli.encoding import write_in_any_encoding
from modelcar.pod import CLEAR_LINE
from modelcar.records.termination_message import exit_with_one_line

PATIENCE_SECONDS, TIDY_SECONDS = 1.4, 1.8
"""Seconds after Ctrl-C until the last line is written in any case, and until the command ends in any case."""

_SIGNALLED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def main() -> None:
    """Runs the command."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    try:
        with exit_with_one_line(PATIENCE_SECONDS, CLEAR_LINE if is_terminal else "", TIDY_SECONDS):
            write_in_any_encoding()
            # Only here: it takes a second, in which Ctrl-C must not end in a traceback either.
            from modelcar.cli.app import main as command

            command()
    except SystemExit as end:
        if end.code not in _SIGNALLED:
            raise
        # All is tidied up. Python's own end takes half a second more, with kfp and its libraries.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(end.code)


if __name__ == "__main__":
    main()
