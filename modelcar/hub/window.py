"""Parts of a file that somebody reads: what arrived of them, and which connections are at work on them."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

Fetch = Callable[["Window"], Iterator[bytes]]
"""A function that brings a window's bytes from `Window.position` to `Window.end`, in chunks of at most 1 MiB."""


@dataclass(eq=False)
class Window:
    """A part of a file that one connection brings, or several if the first falls silent.

    Attributes:
        reading: The read that it is a part of.
        position: The next byte that is missing.
        end: The byte after its last one.
        chunks: What arrived and was not handed on yet.
        reserved: Bytes of memory that are kept for it.
        connections: Those that are at work on it.
        is_unbroken: Whether it is the rest of the file, over one connection.
    """

    reading: "Reading"
    position: int
    end: int
    chunks: deque[bytes] = field(default_factory=deque)
    reserved: int = 0
    connections: "list[Connection]" = field(default_factory=list)
    attempt: int = 0
    refusals: int = 0
    silences: int = 0
    is_unbroken: bool = False
    is_dropped: bool = False

    @property
    def is_handed_on(self) -> bool:
        """Tells whether all of it arrived and was handed on."""
        return self.position == self.end and not self.chunks

    def take_over_rest(self) -> None:
        """Makes this the file's last window: the server gives the file only as a whole."""
        self.reading.owner.take_over_rest(self)


@dataclass(eq=False)
class Connection:
    """A thread's own state."""

    heard: float = 0.0
    is_receiving: bool = False
    is_silent: bool = False
    is_pausing: bool = False


class Owner(Protocol):
    """The one that reads ahead."""

    lock: threading.Lock

    def take_over_rest(self, window: "Window") -> None:
        """Makes a window the last one of its file."""


class Reading:
    """A file, or a part of one, that somebody reads."""

    def __init__(self, owner: Owner, fetch: Fetch, name: str, start: int, end: int) -> None:
        self.owner = owner
        self.fetch = fetch
        self.name = name
        self.handed_on = start
        self.next_window = start
        self.end = end
        self.windows: deque[Window] = deque()
        self.again: deque[Window] = deque()
        self.error: BaseException | None = None
        self.arrived = threading.Condition(owner.lock)

    @property
    def ahead(self) -> int:
        """Bytes that were asked for and not handed on."""
        return self.next_window - self.handed_on
