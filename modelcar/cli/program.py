"""The `modelcar` command as a process: it ends in time and with one line, from its first moment on."""

from modelcar.records.termination_message import exit_with_one_line


def main() -> None:
    """Runs the command."""
    with exit_with_one_line():
        # Only here: it takes a second, in which Ctrl-C must not end in a traceback either.
        from modelcar.cli.app import main as command

        command()


if __name__ == "__main__":
    main()
