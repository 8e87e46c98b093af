"""Builds cosign, and runs it without a network."""

import os
import subprocess
from pathlib import Path

from tests.parts.go_programs import go_programs


def cosign_program() -> Path:
    """Builds cosign unless the cache has it.

    Returns:
        The program.
    """
    return go_programs("cosign", Path(__file__).parent) / "cosign"


def cosign(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs cosign with a home of its own, so that nothing of this machine's user is read or written.

    Args:
        folder: The home.
        arguments: Its arguments.
        variables: More variables of its environment.

    Returns:
        How it ended.
    """
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    return subprocess.run([cosign_program(), *arguments], check=False, capture_output=True, text=True, env=env)
