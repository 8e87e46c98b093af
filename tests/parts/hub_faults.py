"""The faults that the Hub can be told to show, to judge how a client bears them."""

import threading
from dataclasses import dataclass


@dataclass
class _Fault:
    target: str
    value: int
    left: int | None


class Faults:
    """Faults which wait for the requests they are meant for; each is used up after its number of times."""

    def __init__(self) -> None:
        """Start without any fault."""
        self.delay = 0.0
        self._lock = threading.Lock()
        self._corrupt: list[_Fault] = []
        self._cut: list[_Fault] = []
        self._status: list[_Fault] = []

    def add_corrupt(self, target: str, times: int | None) -> None:
        """Let bodies of a file come with one wrong byte."""
        self._corrupt.append(_Fault(target, 0, times))

    def add_cut(self, target: str, after: int, times: int | None) -> None:
        """Let connections break after so many bytes of a file."""
        self._cut.append(_Fault(target, after, times))

    def add_status(self, part: str, code: int, times: int | None) -> None:
        """Let requests whose path contains `part` be answered by a status alone."""
        self._status.append(_Fault(part, code, times))

    def clear(self) -> None:
        """Forget every fault."""
        self.delay = 0.0
        for faults in (self._corrupt, self._cut, self._status):
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
                if fault.left is None:
                    return fault.value
                if fault.left > 0:
                    fault.left -= 1
                    return fault.value
        return None
