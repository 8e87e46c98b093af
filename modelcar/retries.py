"""Trying again, with growing pauses, what failed in a way that may pass."""

import random

import tenacity

from modelcar.errors import ModelcarError

ATTEMPTS = 6
LONGEST_WAIT_SECONDS = 60.0


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ModelcarError) and error.may_pass


def pause_before(attempt: int) -> float:
    """Seconds to wait before another attempt, at random within a growing bound."""
    return random.uniform(0, min(0.5 * 2**attempt, LONGEST_WAIT_SECONDS))  # noqa: S311


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds to wait: what the server asked for, or a random time that grows, so that clients do not fall in step."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ModelcarError) else 0.0
    backoff = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_SECONDS)(state)
    return min(max(asked, backoff), LONGEST_WAIT_SECONDS)


retrying = tenacity.retry(
    retry=tenacity.retry_if_exception(_may_pass),
    wait=_pause,
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    reraise=True,
)
"""Decorates a function that can be called again after an error that may pass (ModelcarError.may_pass)."""
