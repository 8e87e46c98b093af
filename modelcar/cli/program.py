"""The `modelcar` command as a process: it ends in time and with one line, from its first moment on."""

import sys

from modelcar.cli.encoding import write_in_any_encoding
from modelcar.records.termination_message import exit_with_one_line

PATIENCE_SECONDS = 2.5
"""Time in which the terminal is tidied up after Ctrl-C; then the last line is written in any case."""

CLEAR_LINE = "\r\x1b[2K"
"""Code that takes away what is on the terminal's line, such as a bar."""


def main() -> None:
    """Runs the command."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    with exit_with_one_line(patience=PATIENCE_SECONDS, before=CLEAR_LINE if is_terminal else ""):
        write_in_any_encoding()
        # Only here: it takes a second, in which Ctrl-C must not end in a traceback either.
        from modelcar.cli.app import main as command

        command()


if __name__ == "__main__":
    main()
