"""A place with files of a model that no Hub published."""

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

READ_BYTES = 1 << 20


class Shelf(Protocol):
    """Place with files that nobody published."""

    @property
    def uri(self) -> str:
        """Name that a person gives it; no part of a path on this machine is in it."""

    @property
    def model(self) -> str:
        """Id that it would have on the Hub, `somewhere/name`."""

    def sizes(self) -> Mapping[str, int]:
        """Returns the files' sizes by their paths."""

    def hashes(self) -> Mapping[str, str]:
        """Returns the SHA-256 of those files of which it is known without reading them again, by their paths."""

    def read(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """Gives the bytes of a file from an offset to before another."""

    def close(self) -> None:
        """Ends all reads."""


def name_of(text: str) -> str:
    """Returns a text as a part of a model's id."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.") or "model"
