"""Downloads on the claim: one directory a commit, with a record of what the Hub published."""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from modelcar.claim.files import OnDisk
from modelcar.claim.folder import Folder
from modelcar.claim.space import claim_errors
from modelcar.errors import ClaimError, ModelcarError, WrongBytesError
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.hub.snapshot import PublishedFile, Snapshot

DIGESTS = DOWNLOAD_NOTE.with_name("layers.json")
"""File with the digests of layers that the pass over the arriving bytes gave (modelcar.image.layer_digests)."""

PARTIAL = f"{DOWNLOAD_NOTE.parent}/partial"
"""Folder of the files that have not arrived as a whole."""

Elsewhere = dict[PublishedFile, list[str]]
"""Files that other commits' downloads have, and the names of these downloads' directories."""


@dataclass(frozen=True)
class Download:
    """A finished download, held open: what was checked of it is what is read.

    Attributes:
        folder: Its directory.
        snapshot: What the Hub published of its files, as the record beside them says.
        layer_digests: The record's other half: digests of layers, as the download noted them; empty if there is none.
        record_digest: The SHA-256 of both.
    """

    folder: Folder
    snapshot: Snapshot
    layer_digests: bytes
    record_digest: str

    def reader(self, file: PublishedFile) -> OnDisk:
        """Gives a file's bytes."""
        return OnDisk(self.folder, file.path)

    def check_record(self, digest: str) -> None:
        """Checks that the record is the one that the download left: others may write to a claim as well.

        Args:
            digest: The record's SHA-256, as the download gave it.

        Raises:
            WrongBytesError: It is another one.
        """
        if digest != self.record_digest:
            raise WrongBytesError(
                f"{self.folder.path / DOWNLOAD_NOTE} and {DIGESTS.name} are not the record that the download left: "
                f"they are {self.record_digest}, and that was {digest}",
                "Run the download again, and give the build its record_digest",
            )

    def check_sizes(self) -> None:
        """Checks that all files are there with the published size, without reading them.

        Raises:
            WrongBytesError: One is gone, or its size is not the published one.
            ClaimError: One is a symbolic link, or behind one.
        """
        for file in self.snapshot.files:
            try:
                found = os.fstat(opened := self.folder.open_file(file.path)).st_size
            except FileNotFoundError:
                raise WrongBytesError(f"{self.folder.path / file.path} is gone", "Run the download again") from None
            os.close(opened)
            if found != file.size:
                raise WrongBytesError(
                    f"{self.folder.path / file.path} has {found} bytes, not {file.size}", "Run the download again"
                )


@contextmanager
def open_download(directory: Path) -> Iterator[Download]:
    """Opens the finished download in a directory.

    Raises:
        ClaimError: There is none, or it cannot be read.
        WrongBytesError: Its record is damaged.
    """
    try:
        folder = Folder(directory).open()
    except (FileNotFoundError, NotADirectoryError):
        raise _no_download(directory) from None
    with folder:
        yield Download(folder, *_read_record(folder))


def read_snapshot(directory: Path) -> Snapshot:
    """Reads the record of the download in a directory.

    Raises:
        ClaimError: There is none, or it cannot be read.
        WrongBytesError: It is damaged.
    """
    with open_download(directory) as found:
        return found.snapshot


def write_record(snapshot: Snapshot, layer_digests: bytes, folder: Folder) -> str:
    """Leaves the record of a download in its directory. Its snapshot comes last, whole or not at all.

    Args:
        snapshot: What the Hub published of the files.
        layer_digests: Digests of layers that the pass over the arriving bytes gave.
        folder: The directory.

    Returns:
        The record's SHA-256, by which a later step knows it again.
    """
    content = (snapshot.model_dump_json(indent=1) + "\n").encode()
    folder.write_note(str(DIGESTS), layer_digests)
    folder.write_note(str(DOWNLOAD_NOTE), content)
    return _digest(content, layer_digests)


def directory_of(snapshot: Snapshot, claim: Path) -> Path:
    """Returns where a commit's files lie below the claim."""
    return claim / snapshot.model.replace("/", "--") / snapshot.commit


def bytes_to_fetch(snapshot: Snapshot, claim: Path) -> int:
    """Returns how many of a snapshot's bytes a download to a claim would still fetch; none of them is read.

    Raises:
        ClaimError: The claim may not be looked into.
    """
    directory = directory_of(snapshot, claim)
    with claim_errors(directory):
        try:
            with Folder(directory.parent, claim) as model:
                elsewhere = find_elsewhere(model, snapshot.commit)
        except (FileNotFoundError, NotADirectoryError):
            return snapshot.size
        try:
            with Folder(directory, claim) as folder:
                return left_to_fetch(folder, missing_files(folder, snapshot, elsewhere))
        except (FileNotFoundError, NotADirectoryError):
            return sum(file.size for file in snapshot.files if file not in elsewhere)


def missing_files(folder: Folder, snapshot: Snapshot, elsewhere: Elsewhere) -> list[PublishedFile]:
    """Returns the files that neither lie in a download's directory, by their size, nor in that of another commit."""
    return [file for file in snapshot.files if folder.size(file.path) != file.size and file not in elsewhere]


def left_to_fetch(folder: Folder, missing: Sequence[PublishedFile]) -> int:
    """Returns the bytes of files that have not arrived."""
    return sum(file.size - max(folder.size(partial_path(file)), 0) for file in missing)


def find_elsewhere(model: Folder, commit: str) -> Elsewhere:
    """Finds other commits' copies of files, by their records. A record that cannot be read tells of none.

    Args:
        model: The directory that has the model's downloads.
        commit: The one whose copies are not looked for.
    """
    found: Elsewhere = {}
    for name in model.names():
        if name == commit:
            continue
        with suppress(ModelcarError, OSError), model.below(name) as other:
            for file in _read_record(other)[0].files:
                found.setdefault(file, []).append(name)
    return found


def partial_path(file: PublishedFile) -> str:
    """Returns where a file lies while it arrives, below its download's directory."""
    name = hashlib.sha256(f"{file.path}\0{file.identity}".encode()).hexdigest()
    return f"{PARTIAL}/{name}"


def remove_partials(folder: Folder, snapshot: Snapshot) -> None:
    """Removes what earlier attempts left; a download of other files that goes on beside this one keeps its own."""
    for file in snapshot.files:
        folder.remove(partial_path(file))
    with suppress(OSError):
        folder.remove_empty(PARTIAL)


def open_partial(folder: Folder, file: PublishedFile) -> int | None:
    """Opens a file's partial file, and locks it.

    Returns:
        Its descriptor; None while another download holds it.

    Raises:
        ClaimError: A directory on the way is a symbolic link.
        OSError: It cannot be written.
    """
    path = partial_path(file)
    if folder.size(path) < 0:
        # A link, or a directory, in its place.
        folder.remove(path)
    opened = folder.open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.is_the_file(path, opened):
            return opened
    except BlockingIOError:
        pass
    os.close(opened)
    return None


def _digest(snapshot: bytes, layer_digests: bytes) -> str:
    parts = [hashlib.sha256(part).digest() for part in (snapshot, layer_digests)]
    return f"sha256:{hashlib.sha256(b''.join(parts)).hexdigest()}"


def _read_layer_digests(folder: Folder) -> bytes:
    try:
        return folder.read_note(str(DIGESTS))
    except (OSError, ClaimError):
        return b""


def _read_record(folder: Folder) -> tuple[Snapshot, bytes, str]:
    note = folder.path / DOWNLOAD_NOTE
    try:
        content = folder.read_note(str(DOWNLOAD_NOTE))
        digests = _read_layer_digests(folder)
        return Snapshot.model_validate_json(content), digests, _digest(content, digests)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_download(folder.path) from None
    except OSError as error:
        raise ClaimError(f"cannot read {note}: {error.strerror}", "Remove it and run the download again") from None
    except ValidationError as error:
        raise WrongBytesError(
            f"{note} is damaged: {error.errors()[0]['msg']}", "Remove it and run the download again"
        ) from None


def _no_download(directory: Path) -> ClaimError:
    return ClaimError(f"{directory} holds no finished download", "Run the download step first")
