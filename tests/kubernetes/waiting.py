"""A wait for what the API server notices only after a moment: a definition, a policy, a right."""

import time
from collections.abc import Callable

GENEROUS_SECONDS = 600.0
"""Ends a hang, and nothing else: a machine may be as busy as it likes."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Asks again and again, with short pauses.

    Args:
        condition: Says whether it is so.
        what: What is waited for, for an error message.

    Raises:
        AssertionError: It was not so for a very long time.
    """
    deadline = time.monotonic() + GENEROUS_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"after {GENEROUS_SECONDS:.0f} s it is not so: {what}"
        time.sleep(0.1)
