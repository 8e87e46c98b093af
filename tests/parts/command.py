"""The `modelcar` command within this process, which is much faster than starting one."""

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from modelcar.cli import app


@dataclass(frozen=True)
class Done:
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def modelcar(*words: str) -> Done:
    """Runs a command."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["modelcar", *words]),
    ):
        try:
            app.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Done(code, out.getvalue(), err.getvalue())
