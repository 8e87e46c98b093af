"""Source of a model's files: the Hub, a folder or a bucket, all behind one face."""

import os
from collections.abc import Callable
from typing import Any, Protocol, Self

from modelcar import pod
from modelcar.errors import SourceError
from modelcar.hub.client import Hub
from modelcar.hub.own_source import OwnSource
from modelcar.hub.shelves import FolderShelf, S3Shelf
from modelcar.hub.snapshot import PublishedFile, Snapshot

_FOLDERS = ("/", "./", "../", "~/")


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


def open_source(model: str, transport: str = "http") -> Source:
    """Opens the source of a model.

    Args:
        model: A model's id on the Hub, `organisation/name`; a folder, which begins with `/`, `./`, `../` or `~/`; or
            `s3://bucket/folder`.
        transport: What brings the files of a Hub.

    Raises:
        SourceError: There is no such kind of source, or it is a folder and this is a pod of a pipeline.
    """
    if is_folder(model):
        # Whoever may start a run is not, for that, one who may read the Secrets and the claim that its pods mount.
        if pod.POD_NAME in os.environ:
            raise SourceError(f"{model} is a folder, which is read on your own machine alone", "Put it into S3: s3://…")
        return OwnSource(FolderShelf(model))
    if model.startswith("s3://"):
        return OwnSource(S3Shelf(model))
    if "://" in model:
        kinds = "organisation/name for Hugging Face, s3://bucket/folder, or ./folder"
        raise SourceError(f"models cannot be read from {model.partition('://')[0]}://", f"Write {kinds}")
    return Hub(transport)


def is_folder(model: str) -> bool:
    """Tells whether what is asked for is a folder of this machine."""
    return model in (".", "..") or model.startswith(_FOLDERS)


def is_own(model: str) -> bool:
    """Tells whether what is asked for is no model of the Hub's."""
    return is_folder(model) or "://" in model
