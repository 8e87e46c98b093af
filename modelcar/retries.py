"""Trying again, with growing pauses, what failed in a way that may pass."""

import random
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import tenacity

from modelcar.errors import ModelcarError

ATTEMPTS = 6
LONGEST_WAIT_SECONDS = 60.0


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ModelcarError) and error.may_pass


def pause_before(attempt: int, error: ModelcarError | None = None) -> float:
    """Seconds to wait: what the server asked for, or at random within a growing bound, so that clients spread out."""
    backoff = random.uniform(0, min(0.5 * 2**attempt, LONGEST_WAIT_SECONDS))  # noqa: S311
    return min(max(error.retry_after if error else 0.0, backoff), LONGEST_WAIT_SECONDS)


def pause(seconds: float) -> None:
    """Waits so many seconds."""
    time.sleep(seconds)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return pause_before(state.attempt_number, error if isinstance(error, ModelcarError) else None)


def _give_up(state: tenacity.RetryCallState) -> NoReturn:
    """Raises the last error, which a caller that tries again too must not take for one that may pass."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, ModelcarError)
    error.may_pass = False
    raise error


retrying = tenacity.retry(
    retry=tenacity.retry_if_exception(_may_pass),
    wait=_pause,
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    retry_error_callback=_give_up,
)
"""Decorates a function that can be called again after an error that may pass (ModelcarError.may_pass)."""


def getting_further(work: Callable[[], None], reached: Callable[[], int]) -> None:
    """Calls again what goes on where it ended, although it fails, as long as it gets further each few times.

    Args:
        work: What to call.
        reached: How far it has got.

    Raises:
        ModelcarError: Several attempts got no further, or it would not help to try again.
    """
    attempt, best = 0, reached()
    while True:
        try:
            return work()
        except ModelcarError as error:
            now = reached()
            attempt = 1 if now > best else attempt + 1
            best = max(best, now)
            if not error.may_pass or attempt >= ATTEMPTS:
                raise
            time.sleep(pause_before(attempt, error))


def going_on(read: Callable[[int], Iterator[bytes]], offset: int) -> Iterator[bytes]:
    """Reads a stream to its end although connections break: each attempt begins where the one before it ended.

    Args:
        read: Gives the bytes from an offset on.
        offset: Where to begin.

    Raises:
        ModelcarError: Several attempts brought no more bytes, or it would not help to try again.
    """
    position, attempt = offset, 0
    while True:
        try:
            for chunk in read(position):
                yield chunk
                position += len(chunk)
                attempt = 0
            return
        except ModelcarError as error:
            attempt += 1
            if not error.may_pass or attempt >= ATTEMPTS:
                raise
            time.sleep(pause_before(attempt, error))
