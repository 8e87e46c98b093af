"""A wire of a certain speed, for servers whose bytes shall not come faster than over a network."""

import threading
import time

PIECE_BYTES = 1 << 18


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

    def send(self, length: int) -> None:
        """Waits until so many bytes have been through."""
        with self._lock:
            now = time.monotonic()
            self._idle_from = max(self._idle_from, now) + length / self._rate
            left = self._idle_from - now
        time.sleep(left)
