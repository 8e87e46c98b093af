"""Disk use of a step, seen from outside: free bytes on the claim and on the node, looked at while the step runs."""

import os
import threading
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

NODE = Path("/")
"""A container's own root is on the node's file system, the one that the kubelet guards."""

MAX_POINTS = 60
FIRST_INTERVAL = 0.5
"""Seconds between two looks at the beginning. It doubles whenever the points become too many."""

KIB = 1024


class Point(BaseModel):
    """The least that was free within one interval.

    Attributes:
        seconds: When the interval ended, counted from the step's start.
        claim: Free KiB on the claim; None where there is none, or where it is a directory of the node's file system.
        node: Free KiB on the node's own file system; None if it could not be told.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    claim: int | None
    node: int | None

    def joined(self, later: "Point") -> "Point":
        """Both intervals as one. No peak gets lost by it."""
        return Point(seconds=later.seconds, claim=_least(self.claim, later.claim), node=_least(self.node, later.node))


def thinned(points: list[Point]) -> list[Point]:
    """Half as many points; the first stays, for it says what was free before."""
    first, rest = points[:1], points[1:]
    pairs = [rest[index : index + 2] for index in range(0, len(rest), 2)]
    return first + [pair[0].joined(pair[-1]) for pair in pairs]


class DiskWatch:
    """Looks at the free space from time to time, in a thread of its own, until it is left.

    Args:
        claim: Where the claim is, if there is one.
        node: Any directory on the node's own file system.
    """

    def __init__(self, claim: Path, node: Path = NODE) -> None:
        self._claim = claim
        self._node = node
        self._begun = time.monotonic()
        self._interval = FIRST_INTERVAL
        self._points = [self._look()]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "DiskWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._points.append(self._look())

    @property
    def points(self) -> list[Point]:
        """Measurements, in order."""
        return list(self._points)

    def _watch(self) -> None:
        while not self._ended.wait(self._interval):
            self._points.append(self._look())
            if len(self._points) >= MAX_POINTS:
                self._points = thinned(self._points)
                self._interval *= 2

    def _look(self) -> Point:
        seconds = round(time.monotonic() - self._begun, 1)
        try:
            claim = _existing(self._claim)
            separate = claim.stat().st_dev != self._node.stat().st_dev
            return Point(seconds=seconds, claim=_free(claim) if separate else None, node=_free(self._node))
        except OSError:
            # A picture with a hole is no reason for a step to fail.
            return Point(seconds=seconds, claim=None, node=None)


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it: a download makes its own directory on the claim."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _free(path: Path) -> int:
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize // KIB


def _least(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return min(known) if known else None
