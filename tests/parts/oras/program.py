"""Builds oras, and runs it."""

import os
import subprocess
from pathlib import Path

from tests.parts.go_programs import go_programs


def oras(folder: Path, *arguments: str) -> str:
    """Runs oras with a home of its own, to its end; it must succeed.

    Args:
        folder: The home, which is also where it writes files.
        arguments: Its arguments.

    Returns:
        What it prints.
    """
    program = go_programs("oras", Path(__file__).parent) / "oras"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run([program, *arguments], check=False, capture_output=True, text=True, env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout
