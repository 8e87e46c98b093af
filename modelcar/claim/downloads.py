"""Downloads on the claim: one directory a commit, with a record of what the Hub published."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from modelcar.claim import files
from modelcar.claim.files import READ_BYTES
from modelcar.errors import ClaimError, ModelcarError, WrongBytesError
from modelcar.hub.file_check import FileCheck
from modelcar.hub.paths import RECORD
from modelcar.hub.snapshot import PublishedFile, Snapshot

Elsewhere = dict[PublishedFile, list[Path]]


def bytes_to_fetch(snapshot: Snapshot, claim: Path) -> int:
    """How many of a snapshot's bytes a download to a claim would still fetch; none of them is read."""
    directory = claim / _folder(snapshot.model) / snapshot.commit
    if not directory.parent.is_dir():
        return snapshot.size
    return _left_to_fetch(directory, _missing(directory, snapshot, _elsewhere(directory)))


def _missing(directory: Path, snapshot: Snapshot, elsewhere: Elsewhere) -> list[PublishedFile]:
    return [file for file in snapshot.files if not _there(directory, file) and file not in elsewhere]


def _left_to_fetch(directory: Path, missing: Sequence[PublishedFile]) -> int:
    return sum(file.size - _size(_partial(directory, file)) for file in missing)


def _folder(model: str) -> str:
    return model.replace("/", "--")


def _elsewhere(directory: Path) -> Elsewhere:
    """Other commits' copies of files, by their records. A record that cannot be read tells of none."""
    found: Elsewhere = {}
    for other in directory.parent.iterdir():
        if other == directory or other.is_symlink() or not (other / RECORD).is_file():
            continue
        with suppress(ModelcarError):
            for file in read_snapshot(other).files:
                found.setdefault(file, []).append(other)
    return found


def _there(directory: Path, file: PublishedFile) -> bool:
    path = directory / file.path
    return path.is_file() and not path.is_symlink() and path.stat().st_size == file.size


def _partial(directory: Path, file: PublishedFile) -> Path:
    name = hashlib.sha256(f"{file.path}\0{file.identity}".encode()).hexdigest()
    return directory / RECORD.parent / "partial" / name


def _remove_partials(directory: Path, snapshot: Snapshot) -> None:
    """Removes what earlier attempts left; a download of other files that goes on beside this one keeps its own."""
    for file in snapshot.files:
        partial = _partial(directory, file)
        partial.unlink(missing_ok=True)
        partial.with_name(f"{partial.name}.lock").unlink(missing_ok=True)
    with suppress(OSError):
        (directory / RECORD.parent / "partial").rmdir()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def write_snapshot(snapshot: Snapshot, directory: Path) -> None:
    """Leaves the record of a download in its directory, in one step: it is there whole or not at all."""
    note = directory / RECORD
    note.parent.mkdir(parents=True, exist_ok=True)
    files.write(note, (snapshot.model_dump_json(indent=1) + "\n").encode())


def read_snapshot(directory: Path) -> Snapshot:
    """Reads the record of the download in a directory.

    Raises:
        ClaimError: There is none, or it cannot be read.
        WrongBytesError: It is damaged.
    """
    note = directory / RECORD
    files.refuse_links(note, directory)
    try:
        return Snapshot.model_validate_json(files.read(note))
    except (FileNotFoundError, NotADirectoryError):
        raise ClaimError(f"{directory} holds no finished download", "Run the download step first") from None
    except ValidationError as error:
        raise WrongBytesError(
            f"{note} is damaged: {error.errors()[0]['msg']}", "Remove it and run the download again"
        ) from None


def check_sizes(snapshot: Snapshot, directory: Path) -> None:
    """Checks that all files are there with the published size, without reading them.

    Raises:
        WrongBytesError: One is gone, or its size is not the published one.
        ClaimError: One is a symbolic link, or behind one.
    """
    for file in snapshot.files:
        path = directory / file.path
        files.refuse_links(path, directory)
        if not path.is_file():
            raise WrongBytesError(f"{path} is gone", "Run the download again")
        if path.stat().st_size != file.size:
            raise WrongBytesError(f"{path} has {path.stat().st_size} bytes, not {file.size}", "Run the download again")


def matches(file: PublishedFile, path: Path, *, allow_pickle: bool = False) -> bool:
    """Tells whether a file on disk has exactly the published bytes.

    Args:
        file: What was published.
        path: The file on disk.
        allow_pickle: Whether it may be a pickle.

    Raises:
        WeightsError: It has, but is a broken safetensors file, or a pickle.
    """
    try:
        if path.is_symlink() or path.stat().st_size != file.size:
            return False
        check = FileCheck(file, allow_pickle=allow_pickle)
        with os.fdopen(files.open_file(path), "rb", buffering=0) as opened:
            while chunk := opened.read(READ_BYTES):
                check.take(chunk)
    except FileNotFoundError:
        return False
    return check.is_right()
