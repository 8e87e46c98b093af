"""Layers in flight: more while that brings more bytes a second, fewer when a registry says that it is too
much.
"""

import threading
import time
from types import TracebackType
from typing import Protocol

FIRST, MIN_LAYERS, MAX_LAYERS = 4, 2, 16
"""Layers in flight: at the start, and the bounds."""

PREPARED = 4
"""Layers more than that on which work is begun: while some send, others wait for a registry to bring to disk what it
has.
"""

CHUNKS = 4
"""Chunks of a layer that wait to be sent."""

WINDOW_SECONDS = 2.0
"""Time that is measured before the number is changed."""

CLIMB_SECONDS = 0.5
"""The same at the beginning: the number doubles until that brings nothing, so that a fast line is filled soon."""

GAIN = 1.05
"""Gain that more layers must bring, at least, to stay: less is the measurement's own noise."""

_STEP = 1.5
_REST_WINDOWS = 10
"""Windows without another attempt, after more layers brought nothing."""


class Turn(Protocol):
    """Held while the bytes of a layer are read and sent, and not while registries put them away."""

    @property
    def chunks(self) -> int:
        """Chunks of 1 MiB between reading and sending, for each registry."""

    def __enter__(self) -> object:
        """Waits for a turn."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Gives it to the next."""

    def moved(self, count: int) -> None:
        """Counts bytes that were sent."""


class AnyTime:
    """A turn that is never waited for."""

    chunks = CHUNKS

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None

    def moved(self, count: int) -> None:
        """Counts nothing."""


ANY_TIME: Turn = AnyTime()


class Turns:
    """Turns for the layers of one run. Safe to use from several threads.

    Args:
        most: The most layers in flight; what is sent to several registries at once takes more memory for each.
        first: Layers in flight at the start.

    Attributes:
        limit: The layers that may be in flight at the moment.
        held: Those that are.
        waiting: Those that wait for their turn.
    """

    def __init__(self, most: int = MAX_LAYERS, first: int = FIRST) -> None:
        self.limit = min(first, most)
        self._most = most
        self._free = threading.Condition()
        self.held = 0
        self._prepared = 0
        self.waiting = 0
        self._bytes = 0
        self._began = time.monotonic()
        self._was_full = True
        self._before = 0.0
        self._raised_from = 0
        self._climbing = True
        # The first measurement is of connections that come up.
        self._rest = 1

    @property
    def chunks(self) -> int:
        """Fewer the more layers there are: sixteen, and what is read ahead for them, stay below 256 MiB of memory."""
        return CHUNKS if self.limit <= MAX_LAYERS // 2 else 1

    def __enter__(self) -> "Turns":
        with self._free:
            self.waiting += 1
            try:
                self._free.wait_for(lambda: self.held < self.limit)
            finally:
                self.waiting -= 1
            self.held += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._free:
            self.held -= 1
            self._free.notify_all()

    def prepare(self) -> "_Prepared":
        """Returns what is held from a layer's first request to its last: some more than are in flight."""
        return _Prepared(self)

    def moved(self, count: int) -> None:
        """Counts bytes that were sent; now and then, the number of layers in flight follows from them."""
        now = time.monotonic()
        with self._free:
            self._bytes += count
            self._was_full = self._was_full and self.held >= self.limit
            if now - self._began >= (CLIMB_SECONDS if self._climbing else WINDOW_SECONDS):
                self._measure(self._bytes / (now - self._began))
                self._bytes, self._began, self._was_full = 0, now, True

    def slow_down(self) -> None:
        """Halves the number: a registry limits us, or did not answer in time. At most once for each window."""
        with self._free:
            self._climbing = False
            if self._rest <= _REST_WINDOWS - 1:
                self.limit = max(self.limit // 2, MIN_LAYERS)
                self._raised_from, self._rest, self._before = 0, _REST_WINDOWS, 0.0

    def _measure(self, rate: float) -> None:
        if self._raised_from and rate < GAIN * self._before:
            # More of them brought nothing: fewer take less memory, and are done sooner each.
            self.limit, self._raised_from, self._rest = self._raised_from, 0, _REST_WINDOWS
            self._climbing = False
            return
        self._before, self._raised_from = max(rate, self._before if self._raised_from else 0.0), 0
        if self._rest:
            self._rest -= 1
        elif self._was_full and self.waiting and self.limit < self._most:
            self._raised_from = self.limit
            more = 2 * self.limit if self._climbing else max(int(self.limit * _STEP), self.limit + 1)
            self.limit = min(more, self._most)
            self._free.notify_all()


class _Prepared:
    """The room for one layer more than are in flight."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def __enter__(self) -> None:
        turns = self._turns
        with turns._free:
            turns._free.wait_for(lambda: turns._prepared < turns.limit + PREPARED)
            turns._prepared += 1

    def __exit__(self, *_: object) -> None:
        with self._turns._free:
            self._turns._prepared -= 1
            self._turns._free.notify_all()
