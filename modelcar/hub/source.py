"""Source of a model's files: the Hub, or one of those of modelcar.sources, all behind one face."""

from collections.abc import Callable
from typing import Any, Protocol, Self

from modelcar.hub.snapshot import PublishedFile, Snapshot


class Source(Protocol):
    """Source of a model: what is in it at a commit, and readers of its files."""

    def __enter__(self) -> Self:
        """Opens it."""

    def __exit__(self, *_: object) -> None:
        """Closes it."""

    def snapshot(self, model: str, revision: str = ...) -> Snapshot:
        """Resolves a revision to its commit and lists all that is in it."""

    def peek(self, snapshot: Snapshot) -> Any:
        """Returns a reader of small parts of a commit's files."""

    def readers(self, snapshot: Snapshot) -> Callable[[PublishedFile], Any]:
        """Returns what gives, for each file of a commit, a reader of its bytes."""

    def reader(self, snapshot: Snapshot, file: PublishedFile) -> Any:
        """Returns a reader of a file's bytes, or of any part of them."""

    def branch_of(self, model: str, commit: str) -> str:
        """Finds what a commit is in the history of; empty for nothing."""

    def branches(self, model: str) -> tuple[str, ...]:
        """Names a model's branches."""

    def check_access(self, snapshot: Snapshot, file: PublishedFile) -> None:
        """Checks that a file may be read."""

    def close(self) -> None:
        """Ends all reads."""
