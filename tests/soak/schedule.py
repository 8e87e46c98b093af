"""A schedule of faults, drawn from a seed: of which proxy, and which kill, full disk and ended token."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.parts.fault_proxy import FaultProxy

STATUSES = (200, 201, 202, 204, 400, 401, 403, 404, 408, 409, 416, 429, 500, 502, 503, 504)
LONGEST = 1_300_000
"""Bytes: a little more than the largest file."""

_KINDS = (
    "reset",
    "reset_answer",
    "truncate",
    "status",
    "status",
    "drop",
    "lose_answer",
    "delay",
    "throttle",
    "corrupt",
)
_METHODS = ("", "", "GET", "HEAD", "POST", "PATCH", "PATCH", "PUT")


@dataclass(frozen=True)
class Fault:
    """One fault of one proxy: the name of the proxy's method and its arguments."""

    proxy: str
    kind: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Schedule:
    """What happens to one run.

    Attributes:
        seed: What it was drawn from.
        faults: Faults of the proxies.
        kill_at: As which part of the run's requests arrives the process is killed; None for never.
        kill_after: Seconds from there on.
        kill_family: Whether what it started dies with it.
        full_at: As which part of its requests arrives a disk is full; None for never.
        full_disk: Which disk.
        link_seconds: How long the Hub's links to large files last; 0 for ever.
        is_slow: Whether uploads are so slow that tokens end under way.
        has_before: Whether the tags hold an earlier commit's image when the run begins.
    """

    seed: int
    faults: tuple[Fault, ...]
    kill_at: float | None
    kill_after: float
    kill_family: bool
    full_at: float | None
    full_disk: str
    link_seconds: float
    is_slow: bool
    has_before: bool = field(default=False)


def draw(step: str, seed: int, proxies: list[str], disks: list[str]) -> Schedule:
    """Draws a schedule.

    Args:
        step: For which step.
        seed: The same seed gives the same schedule.
        proxies: The proxies that the step's requests go through.
        disks: The disks that it or a server writes to.
    """
    chance = random.Random(f"{step} {seed}")
    faults = tuple(_fault(chance, chance.choice(proxies)) for _ in range(chance.randint(0, 6)))
    return Schedule(
        seed,
        faults,
        kill_at=chance.uniform(0, 1.1) if chance.random() < 0.4 else None,
        kill_after=chance.choice((0, 0, chance.uniform(0, 0.1))),
        kill_family=chance.random() < 0.5,
        full_at=chance.uniform(0, 1) if chance.random() < 0.2 else None,
        full_disk=chance.choice(disks or [""]),
        link_seconds=chance.choice((0, 0, 0.2, 1)),
        is_slow=chance.random() < 0.1,
        has_before=chance.random() < 0.5,
    )


def _fault(chance: random.Random, proxy: str) -> Fault:
    kind = chance.choice(_KINDS)
    options: dict[str, Any] = {"method": chance.choice(_METHODS), "skip": chance.randint(0, 12)}
    times = chance.choice((1, 1, 2, 3, None if kind in ("reset", "status", "drop") and chance.random() < 0.3 else 4))
    at = chance.choice((0, 1, chance.randrange(500), chance.randrange(LONGEST)))
    if kind in ("reset", "reset_answer", "truncate"):
        options |= {"after": at}
    elif kind == "status":
        options |= {"code": chance.choice(STATUSES)}
    elif kind == "delay":
        options |= {"seconds": chance.choice((0.01, 0.1, 0.5, 5.0)), "skip": chance.randint(0, 20)}
        times = 1
    elif kind == "throttle":
        options |= {"bytes_per_second": chance.choice((1_000_000, 4_000_000))}
    elif kind == "corrupt":
        kind, options = _corruption(chance, proxy, at)
    return Fault(proxy, kind, {**options, "times": times})


def _corruption(chance: random.Random, proxy: str, at: int) -> tuple[str, dict[str, Any]]:
    """Wrong bytes, where something can tell that they are wrong.

    No hash stands for the Hub's lists, for what the Model Registry says, or for a manifest on its way to a tag: against
    those TLS is the guard.
    """
    skip = chance.randint(0, 4)
    if proxy in ("hub", "cdn"):
        return "corrupt_answer", {
            "method": "GET",
            "path": "/resolve/" if proxy == "hub" else "/cdn/",
            "at": at,
            "skip": skip,
        }
    if proxy == "model_registry":
        return "delay", {"seconds": 0.1}
    choices = (
        ("corrupt", "PATCH", "/blobs/"),
        ("corrupt", "PUT", "/manifests/sha256:"),
        ("corrupt_answer", "GET", "/blobs/"),
        ("corrupt_answer", "GET", "/manifests/"),
    )
    kind, method, path = chance.choice(choices)
    return kind, {
        "method": method,
        "path": path,
        "at": at if "/blobs/" in path else chance.randrange(900),
        "skip": skip,
    }


class Requests:
    """Counts the requests that arrive at several proxies, and does what is due as one arrives.

    Args:
        proxies: The proxies.
    """

    def __init__(self, proxies: Mapping[str, FaultProxy]) -> None:
        self.count = 0
        self._ended = False
        self._due: dict[int, list[Callable[[], None]]] = {}
        self._lock = threading.Lock()
        for proxy in proxies.values():
            proxy.arrived = self._arrive

    def at(self, number: int, action: Callable[[], None]) -> None:
        """Has something done as the request of this number arrives, counted from 1."""
        self._due.setdefault(max(number, 1), []).append(action)

    def end(self) -> None:
        """Does nothing more as requests arrive."""
        with self._lock:
            self._ended = True

    def _arrive(self) -> None:
        with self._lock:
            self.count += 1
            for action in () if self._ended else self._due.pop(self.count, ()):
                action()


def show(schedule: Schedule, proxies: Mapping[str, FaultProxy]) -> None:
    """Lets the proxies show a schedule's faults."""
    for fault in schedule.faults:
        getattr(proxies[fault.proxy], fault.kind)(**fault.options)
    if schedule.is_slow:
        for name in ("target", "mirror"):
            if name in proxies:
                proxies[name].throttle(700_000, method="PATCH")
