"""Limit on the connections to the Hub: raised while the total speed grows, lowered when the Hub refuses some."""

import time
from collections.abc import Callable
from math import ceil

FIRST, MIN_CONNECTIONS, MAX_CONNECTIONS = 16, 2, 32
"""Connections: at the beginning, at least (unless the Hub refuses a second one), at most."""

INTERVAL_SECONDS = 0.2
GAIN, LOSS = 1.08, 0.8
"""A larger limit stays if the total speed grows by this factor; a speed below this share of the usual one is a loss."""

LOSSES = 5
"""Intervals in a row with a loss before the limit is lowered."""

PROBE_SECONDS = 10.0
"""Time at one limit after which a larger one is tried once more."""

CALM_SECONDS, MAX_CALM_SECONDS = 30.0, 480.0
"""Time after a refusal in which the limit is not raised; twice as long after each further one."""


class ConnectionLimit:
    """The number of connections that may be open at once, over all files.

    It climbs as long as more connections bring more bytes a second, goes back to the last one that did, and tries again
    now and then. A refusal (429, 503, a connection that is not taken) lowers it at once. Not safe for threads.

    Args:
        clock: Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.value = FIRST
        self._bytes = self._receiving = 0
        self._begun = clock()
        self._was_held_back = False
        self._warming_up = False
        self._smaller = FIRST
        self._usual = 0.0
        self._climbing = True
        self._losses = 0
        self._probe_at = 0.0
        self._lowered_at = self._begun - 1
        self._calm = CALM_SECONDS

    def count(self, received: int, receiving: int) -> None:
        """Counts bytes that arrived, and adapts the limit at the end of each interval.

        Args:
            received: Bytes.
            receiving: The number of connections that receive bytes.
        """
        self._bytes += received
        self._receiving = max(self._receiving, receiving)
        now = self._clock()
        if now - self._begun < INTERVAL_SECONDS:
            return
        speed = self._bytes / (now - self._begun)
        # Where the reader was slower than the connections, the speed says nothing about them.
        if not self._was_held_back and 2 * self._receiving > self.value:
            self._adapt(speed, now)
        self._bytes, self._receiving, self._begun, self._was_held_back = 0, 0, now, False

    def hold_back(self) -> None:
        """Notes that a connection had nothing to do: no bytes are wanted, or there is no memory for them."""
        self._was_held_back = True

    def refuse(self, begun: float, receiving: int) -> None:
        """Lowers the limit because the Hub refused a request.

        Args:
            begun: When the request began. What began before the limit was last lowered says nothing new.
            receiving: The number of connections that receive bytes nevertheless.
        """
        if begun > self._lowered_at:
            self.lower(max(receiving, self.value // 2))

    def lower(self, most: int) -> None:
        """Lowers the limit, and leaves it there for a while."""
        now = self._clock()
        self.value = max(1, min(self.value - 1, most))
        self._lowered_at, self._probe_at = now, now + self._calm
        self._calm = min(2 * self._calm, MAX_CALM_SECONDS)
        self._climbing, self._usual, self._losses, self._warming_up = False, 0.0, 0, True

    def _adapt(self, speed: float, now: float) -> None:
        if self._warming_up:
            # New connections take a moment to come up to their speed.
            self._warming_up = False
        elif self._climbing:
            self._climb(speed, now)
        else:
            self._stay(speed, now)

    def _climb(self, speed: float, now: float) -> None:
        if speed >= GAIN * self._usual and self.value < MAX_CONNECTIONS:
            self._raise_from(speed, 2 * self.value)
            return
        if speed < GAIN * self._usual:
            self.value = self._smaller
        self._climbing, self._usual, self._probe_at = False, max(speed, self._usual), now + PROBE_SECONDS

    def _stay(self, speed: float, now: float) -> None:
        self._losses = self._losses + 1 if speed < LOSS * self._usual else 0
        if self._losses >= LOSSES:
            self.value = max(min(MIN_CONNECTIONS, self.value), self.value * 3 // 4)
            self._usual, self._losses, self._warming_up = 0.0, 0, True
        elif now >= self._probe_at and self.value < MAX_CONNECTIONS:
            self._climbing = True
            self._raise_from(self._usual or speed, ceil(1.5 * self.value))
        elif not self._losses:
            self._usual += (speed - self._usual) / 8 if self._usual else speed

    def _raise_from(self, speed: float, value: int) -> None:
        self._usual, self._smaller, self._warming_up = speed, self.value, True
        self.value = min(value, MAX_CONNECTIONS)
