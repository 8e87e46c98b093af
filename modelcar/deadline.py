"""Bound on work that may never end, whatever a server sends now and then."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class DeadlineError(Exception):
    """Work that did not end in time. It is no ModelcarError: whoever asked knows what that means, and the remedy."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Does work in a thread of its own, which is left behind where it takes too long.

    A client's own time-outs are mostly of each read: a server that sends a byte now and then never meets them.

    Args:
        seconds: The longest that it may take.
        work: What to do.

    Returns:
        What the work returned.

    Raises:
        DeadlineError: It has not ended. Whatever the work itself raises is raised as it is.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise DeadlineError
    return results[0]
