"""A terminal for a command."""

import os
import pty
import subprocess
from collections.abc import Sequence


def shown_on_terminal(command: Sequence[str], **variables: str) -> tuple[int, bytes]:
    """Runs a command on a terminal of its own.

    Args:
        command: The command.
        variables: More variables of its environment.

    Returns:
        Its exit code, and all that it showed.
    """
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **variables}
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(controller)
    return process.wait(), shown
