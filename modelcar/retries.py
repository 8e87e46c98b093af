"""Retries of transient errors, with exponential backoff."""

import math
import random
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

import tenacity

from modelcar.errors import ModelcarError

ATTEMPTS = 6
MAX_WAIT_SECONDS = 60.0
"""The longest pause of our own choice."""

MAX_RETRY_AFTER_SECONDS = 900.0
"""The longest pause that a server may ask for; GHCR asks for 300. What asks for more is given up at once."""

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ModelcarError) and error.may_pass


def pause_before(attempt: int, error: ModelcarError | None = None) -> float:
    """Seconds to wait: what the server asked for, or at random within a growing bound, so that clients spread out."""
    backoff = random.uniform(0, min(0.5 * 2**attempt, MAX_WAIT_SECONDS))  # noqa: S311
    return max(min(error.retry_after if error else 0.0, MAX_RETRY_AFTER_SECONDS), backoff)


def pause(seconds: float) -> float:
    """Waits, and returns how long: what waits for long counts its pauses, as tests let them pass at once."""
    time.sleep(seconds)
    return seconds


def read_retry_after(text: str, date: str = "") -> float:
    """Returns the seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3); 0 if it says nothing that we know.

    Args:
        text: The header: seconds, which some write with a fraction, or a date.
        date: The answer's `Date`, by whose clock such a date counts; empty for this machine's.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until, now = _read_date(text), _read_date(date) or datetime.now(UTC)
    return max(math.ceil((until - now).total_seconds()), 0.0) if until else 0.0


def _read_date(text: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


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
"""Decorator of a function that can be called again after an error that may pass (ModelcarError.may_pass)."""


def resume_reading(read: Callable[[int], Iterator[bytes]], offset: int) -> Iterator[bytes]:
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
