"""Writes docs/command.md: the help of every command, as the command itself shows it."""

import contextlib
import io
import os
import sys
from pathlib import Path
from unittest import mock

from modelcar.cli.app import COMMANDS, main

PAGE = Path(__file__).with_name("command.md")
GROUPS = {"schedule": ("create", "list", "pause", "resume", "delete"), "downloads": ("remove",), "presets": ("show",)}
GROUPS["config"] = ("set", "unset")


def page() -> str:
    """Returns the page."""
    parts = ["# The command", "", "Written by `make docs` from the commands' own help.", ""]
    for name in COMMANDS:
        for words in ([name], *([name, one] for one in GROUPS.get(name, ()))):
            parts += [f"## modelcar {' '.join(words)}", "", "```text", _help(words).strip("\n"), "```", ""]
    return "\n".join(parts)


def _help(words: list[str]) -> str:
    shown = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS="100"),
        mock.patch.object(sys, "argv", ["modelcar", *words, "--help"]),
        contextlib.redirect_stdout(shown),
        contextlib.suppress(SystemExit),
    ):
        main()
    return shown.getvalue()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
