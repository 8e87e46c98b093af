"""The faults that the Hub can be told to show, to judge how a client bears them."""

import threading
from dataclasses import dataclass
from enum import Enum, auto


class RangeLie(Enum):
    """How an answer to a byte range can be wrong."""

    IGNORED = auto()
    """200 and the whole file."""

    SHIFTED = auto()
    """Other bytes than those asked for, and a Content-Range that says so."""

    MISLABELLED = auto()
    """Other bytes under the Content-Range that was asked for."""

    SHORTENED = auto()
    """Only the first half of the range, said in Content-Range."""

    OTHER_SIZE = auto()
    """A Content-Range of a file of another size."""

    UNLABELLED = auto()
    """206 without Content-Range."""


class Refusal(Enum):
    """What becomes of connections above a server's limit."""

    STATUS = auto()
    """503."""

    RESET = auto()
    """They are closed."""

    SILENCE = auto()
    """They wait until others are closed."""


@dataclass
class _Fault:
    target: str
    value: int
    left: int | None
    skip: int = 0


class Faults:
    """Faults which wait for the requests they are meant for; each is used up after its number of times."""

    def __init__(self) -> None:
        """Start without any fault."""
        self.delay = 0.0
        self._lock = threading.Lock()
        self._corrupt: list[_Fault] = []
        self._cut: list[_Fault] = []
        self._status: list[_Fault] = []
        self._ranges: list[_Fault] = []

    def add_range(self, target: str, lie: RangeLie, times: int | None, skip: int = 0) -> None:
        """Let answers to byte ranges of a file be wrong, after so many that are right."""
        self._ranges.append(_Fault(target, lie.value, times, skip))

    def take_range(self, target: str) -> RangeLie | None:
        """How this answer to a byte range shall be wrong, if at all."""
        taken = self._take([fault for fault in self._ranges if fault.target == target])
        return None if taken is None else RangeLie(taken)

    def add_corrupt(self, target: str, times: int | None, skip: int = 0) -> None:
        """Let bodies of a file come with one wrong byte, after so many that are right."""
        self._corrupt.append(_Fault(target, 0, times, skip))

    def add_cut(self, target: str, after: int, times: int | None) -> None:
        """Let connections break after so many bytes of a file."""
        self._cut.append(_Fault(target, after, times))

    def add_status(self, part: str, code: int, times: int | None) -> None:
        """Let requests whose path contains `part` be answered by a status alone."""
        self._status.append(_Fault(part, code, times))

    def clear(self) -> None:
        """Forget every fault."""
        self.delay = 0.0
        for faults in (self._corrupt, self._cut, self._status, self._ranges):
            faults.clear()

    def take_corrupt(self, target: str) -> bool:
        """Whether this body of the file shall be wrong."""
        return self._take([fault for fault in self._corrupt if fault.target == target]) is not None

    def take_cut(self, target: str) -> int | None:
        """After how many bytes this body of the file shall break, if at all."""
        return self._take([fault for fault in self._cut if fault.target == target])

    def take_status(self, path: str) -> int | None:
        """By which status this request shall be refused, if at all."""
        return self._take([fault for fault in self._status if fault.target in path])

    def _take(self, faults: list[_Fault]) -> int | None:
        with self._lock:
            for fault in faults:
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.left is None:
                    return fault.value
                if fault.left > 0:
                    fault.left -= 1
                    return fault.value
        return None
