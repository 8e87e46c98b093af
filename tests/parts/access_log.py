"""Reads docker-registry's access log."""

import re
from pathlib import Path
from typing import NamedTuple

_ENTRY = re.compile(r'"(?P<method>[A-Z]+) (?P<target>\S+) HTTP/[\d.]+" (?P<status>\d{3}) (?P<size>\d+) ')


class Request(NamedTuple):
    """One answered request; `size` counts the bytes of the answer's body."""

    method: str
    path: str
    status: int
    size: int
    query: str


def read_access_log(log: Path) -> list[Request]:
    """Reads the requests that were answered so far.

    Args:
        log: Access log in the combined format.

    Returns:
        The requests in the order in which their answers were finished.
    """
    return [_request(entry) for entry in _ENTRY.finditer(log.read_text())]


def _request(entry: re.Match[str]) -> Request:
    path, _, query = entry["target"].partition("?")
    return Request(entry["method"], path, int(entry["status"]), int(entry["size"]), query)
