"""The `modelcar` command as a process: it ends in time and with one line, from its first moment on."""

from modelcar.cli.encoding import write_in_any_encoding
from modelcar.records.termination_message import exit_with_one_line

PATIENCE_SECONDS = 1.5
"""How long the terminal may be tidied up after Ctrl-C, before the last line is written in any case."""


def main() -> None:
    """Runs the command."""
    with exit_with_one_line(patience=PATIENCE_SECONDS):
        write_in_any_encoding()
        # Only here: it takes a second, in which Ctrl-C must not end in a traceback either.
        from modelcar.cli.app import main as command

        command()


if __name__ == "__main__":
    main()
