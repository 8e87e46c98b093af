"""A wait for what comes when it comes: however busy the machine is, only a hang ends it."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 1800.0
"""Ends a hang, and nothing else."""


def until(found: Callable[[], Any], told: Callable[[], object] | str = "it") -> Any:
    """Asks again and again, with short pauses, until there is an answer, and gives it.

    Args:
        found: What is asked; what counts as false is no answer.
        told: What is waited for, for an error message.

    Raises:
        AssertionError: There was none for a very long time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := found()):
        if time.monotonic() > deadline:
            what = told if isinstance(told, str) else told()
            raise AssertionError(f"waited for {PATIENCE_SECONDS:.0f} s: {what}")
        time.sleep(0.1)
    return answer
