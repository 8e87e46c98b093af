"""Brings a model's files to the claim: only what is needed, only what is missing, every byte checked."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from modelcar.claim.downloads import (
    Elsewhere,
    directory_of,
    find_elsewhere,
    left_to_fetch,
    missing_files,
    open_partial,
    partial_path,
    remove_partials,
    write_record,
)
from modelcar.claim.files import READ_BYTES, OnDisk
from modelcar.claim.folder import Folder
from modelcar.claim.space import check_space, claim_errors
from modelcar.errors import StoppedError, WrongBytesError
from modelcar.hub.file_check import matches
from modelcar.hub.selection import Selection, tell
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.hub.source import Source
from modelcar.image import layer_digests, layout, proof, recipe
from modelcar.oci.tar_writer import Reader
from modelcar.progress import Progress
from modelcar.sources.opening import open_source

PARALLEL_FILES = 8
"""Number of files at once, as in `hf download`."""

ATTEMPTS = 2
SECONDS_BETWEEN_LOOKS = 0.1
"""Time between two looks while another download holds a file."""


@dataclass(frozen=True)
class Downloaded:
    """Result of a download.

    Attributes:
        directory: Where the files are: below the claim, one directory for each commit.
        snapshot: The files that were taken, with all that the Hub says of the model.
        left_out_bytes: Bytes of duplicates and unwanted files that were not fetched.
        fetched_bytes: Bytes that were missing on the claim when this run began.
        record_digest: The SHA-256 of the record that was left beside the files, by which a build knows it again.
    """

    directory: Path
    snapshot: Snapshot
    left_out_bytes: int
    fetched_bytes: int
    record_digest: str


def download(selection: Selection, claim: Path) -> Downloaded:
    """Downloads a model to the claim and checks every file against the hash that the Hub published.

    The revision is resolved to a commit once, and that commit is what is fetched. Files that are there and right are
    kept; files that another commit of the model left on the claim are linked; a broken download goes on.

    Args:
        selection: The model and which of its files are wanted.
        claim: The directory on the claim below which downloads are kept.

    Raises:
        HubError: The Hub refused.
        SelectionError: The patterns leave nothing, or match nothing.
        ClaimError: The claim is full or read-only.
        WrongBytesError: A file has other bytes than were published, twice.
        WeightsError: A file was published broken, or is a pickle and may not be.
    """
    hub = open_source(selection.model, selection.transport, selection.adapters)
    selected = selection.resolve(hub)
    selected.check()
    snapshot, choice = selected.snapshot, selected.choice
    tell(snapshot, choice)
    directory = directory_of(snapshot, claim)
    with (
        claim_errors(directory),
        hub,
        Folder(directory.parent, claim, create=True) as model_folder,
        Folder(directory, claim, create=True).open() as folder,
    ):
        Folder(claim).open_to_group(str(directory.relative_to(claim)))
        elsewhere = find_elsewhere(model_folder, snapshot.commit)
        missing = missing_files(folder, snapshot, elsewhere)
        needed = left_to_fetch(folder, missing)
        check_space(directory, needed, f"Enlarge it, or remove older downloads in {claim}")
        digests: dict[str, str] = {}
        with Progress("download" if missing else "check", snapshot.size) as progress:
            run = _Downloader(hub, snapshot, folder, model_folder, elsewhere, digests, progress, threading.Event())
            run.bring_all()
        record_digest = write_record(snapshot, layer_digests.encoded(digests), folder)
        remove_partials(folder, snapshot)
    fetched = sum(file.size for file in missing)
    return Downloaded(directory, snapshot, choice.saved, fetched, record_digest)


@dataclass(frozen=True)
class _Downloader:
    """One download under way.

    Attributes:
        hub: Where the files come from.
        snapshot: The files.
        folder: Where they go.
        model: The directory that has the model's downloads.
        elsewhere: Directories of other commits that have a file too.
        digests: Takes the digests of layers, by their keys: what is hashed here need not be hashed again for the image.
        progress: Is told of every byte.
        stopped: Set when the work is given up.
    """

    hub: Source
    snapshot: Snapshot
    folder: Folder
    model: Folder
    elsewhere: Elsewhere
    digests: dict[str, str]
    progress: Progress
    stopped: threading.Event

    def bring_all(self) -> None:
        """Brings all files, the largest first; small ones fill the gaps.

        Raises:
            ModelcarError: The first failure; what arrived stays.
        """
        ordered = sorted(self.snapshot.files, key=lambda file: -file.size)
        with ThreadPoolExecutor(PARALLEL_FILES) as pool:
            try:
                for job in as_completed([pool.submit(self.bring, file) for file in ordered]):
                    job.result()
            except BaseException:
                self.stopped.set()
                self.hub.close()
                self.progress.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def bring(self, file: PublishedFile) -> None:
        """Makes sure that a file is in the directory with the published bytes.

        Raises:
            WrongBytesError: It arrives with others, again and again.
        """
        with claim_errors(self.folder.path):
            if not self._is_there(file, self.folder) and not self._link_from_another_commit(file):
                self._fetch(file)
            self.folder.open_to_group(file.path)

    def _is_there(self, file: PublishedFile, folder: Folder) -> bool:
        return folder.size(file.path) == file.size and self._prove(file, OnDisk(folder, file.path))

    def _link_from_another_commit(self, file: PublishedFile) -> bool:
        for commit in self.elsewhere.get(file, ()):
            with self.model.below(commit) as other:
                if self._is_there(file, other):
                    self.folder.link_from(other, file.path)
                    return True
        return False

    def _fetch(self, file: PublishedFile) -> None:
        with self._open_partial(file) as partial:
            if self._is_there(file, self.folder):
                return
            for attempt in range(ATTEMPTS):
                # Several connections may reach several servers, of which one has other bytes.
                reader = _Arriving(partial, file.size, self.hub.reader(self.snapshot, file), unbroken=attempt > 0)
                if self._prove(file, reader):
                    self.folder.move(partial_path(file), file.path)
                    return
                print(f"{file.path} arrived with other bytes than were published; it is fetched again", flush=True)
                partial.truncate(0)
            self.folder.remove(partial_path(file))
            self.folder.remove(file.path)
        raise WrongBytesError(
            f"{file.path} of {self.snapshot.model} arrived {ATTEMPTS} times with other bytes than its published "
            f"{file.identity}",
            "Something between here and the Hub alters it: check proxies and mirrors",
        )

    @contextmanager
    def _open_partial(self, file: PublishedFile) -> Iterator[IO[bytes]]:
        while (opened := open_partial(self.folder, file)) is None:
            if self.stopped.wait(SECONDS_BETWEEN_LOOKS):
                raise StoppedError("stopped")
        with os.fdopen(opened, "r+b", buffering=0) as partial:
            self.folder.open_to_group(partial_path(file))
            yield partial

    def _prove(self, file: PublishedFile, reader: Reader) -> bool:
        """Tells whether a file's bytes are the published ones; the same pass gives the digest of its own layer."""
        counted = _Counted(reader, self.progress, self.stopped)
        layer = layout.alone(file, counted)
        try:
            if layer is not None:
                self.digests[recipe.key(layer, self.snapshot)] = proof.digest(layer, self.snapshot)
                return True
            is_right = matches(file, counted, allow_pickle=self.snapshot.allows_pickle(file.path))
        except WrongBytesError:
            is_right = False
        if not is_right:
            self.progress.advance(-counted.count)
        return is_right


@dataclass
class _Counted:
    """A file whose bytes are counted as they are read.

    Attributes:
        reader: The file.
        progress: Is told of the bytes.
        stopped: Ends the reading when it is set.
        count: How many bytes were read.
    """

    reader: Reader
    progress: Progress
    stopped: threading.Event
    count: int = 0

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Gives the bytes from an offset to the end."""
        for chunk in self.reader.read(start):
            if self.stopped.is_set():
                raise StoppedError("stopped")
            self.progress.advance(len(chunk))
            self.count += len(chunk)
            yield chunk


@dataclass(frozen=True)
class _Arriving:
    """A file that arrives: what a partial file has of it already, and what is written to that now.

    Attributes:
        partial: The partial file.
        size: Bytes of the whole file.
        source: The file on the Hub.
        unbroken: Whether to read it over one connection.
    """

    partial: IO[bytes]
    size: int
    source: Any
    unbroken: bool

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Gives the bytes from an offset to the end; those that come from the Hub are written first."""
        there = self.partial.seek(0, os.SEEK_END)
        if there > self.size:
            self.partial.truncate(0)
            there = 0
        self.partial.seek(start)
        while chunk := self.partial.read(READ_BYTES):
            yield chunk
        for chunk in self.source.read(there, unbroken=self.unbroken):
            _write(self.partial, chunk)
            yield chunk


def _write(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
