"""Checks that are run many times with random changes, each of which a number brings back."""

from collections.abc import Callable
from random import Random

import pytest


def fuzzed(request: pytest.FixtureRequest, check: Callable[[Random], None], times: int = 1) -> None:
    """Runs a check as often as --mutations says, from the seed on that --soak-seed says.

    Hypothesis would want a check to draw the same whenever it has drawn the same before; what a registry has kept
    from earlier changes decides here, too.

    Args:
        request: The test's.
        check: The check; takes what to draw from.
        times: How many times as often.
    """
    runs = times * request.config.getoption("--mutations")
    first = runs * request.config.getoption("--soak-seed")
    for seed in range(first, first + runs):
        try:
            check(Random(seed))
        except BaseException as error:
            error.add_note(f"with Random({seed})")
            raise
