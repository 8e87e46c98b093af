"""A wire of a certain speed, for servers whose bytes shall not come faster than over a network."""

import threading
import time
from collections.abc import Iterable

PIECE_BYTES = 1 << 18

CATCH_UP_SECONDS = 0.01
"""Time that a wire makes up for, which was lost because a thread woke up late."""


class Wire:
    """What all connections of a server share.

    Args:
        rate: Bytes a second, of all connections together.
    """

    def __init__(self, rate: float) -> None:
        """Start with an idle wire."""
        self._rate = rate
        self._lock = threading.Lock()
        self._idle_from = 0.0

    def reserve(self, length: int) -> float:
        """Takes the next turn for so many bytes; returns the seconds until they are through."""
        with self._lock:
            now = time.monotonic()
            self._idle_from = max(self._idle_from, now - CATCH_UP_SECONDS) + length / self._rate
            return self._idle_from - now


def send(wires: Iterable[Wire], length: int) -> None:
    """Waits until so many bytes have been through wires that follow each other."""
    seconds = max((wire.reserve(length) for wire in wires), default=0.0)
    if seconds > 0:
        time.sleep(seconds)
