"""Brings a model's files to the claim: only what is needed, only what is missing, every byte checked."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import filelock

from modelcar import weights
from modelcar.claim import check_space, claim_errors
from modelcar.errors import WrongBytesError
from modelcar.hub import DEFAULT_REVISION, Hub
from modelcar.progress import Progress
from modelcar.snapshot import RECORD, PublishedFile, Snapshot

PARALLEL_FILES = 8
"""As `hf download` has it."""

ATTEMPTS = 2
FILE_MODE, DIRECTORY_MODE = 0o664, 0o775
"""Group 0 may do what the owner may: the next step may run under another random UID."""


@dataclass(frozen=True)
class Downloaded:
    """What a download brought.

    Attributes:
        directory: Where the files are: below the claim, one directory for each commit.
        snapshot: The files that were taken, with all that the Hub says of the model.
        left_out_bytes: Bytes of duplicates and unwanted files that were not fetched.
        fetched_bytes: Bytes that were missing on the claim when this run began.
    """

    directory: Path
    snapshot: Snapshot
    left_out_bytes: int
    fetched_bytes: int


def download(
    model: str,
    claim: Path,
    *,
    revision: str = DEFAULT_REVISION,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    everything: bool = False,
) -> Downloaded:
    """Downloads a model to the claim and checks every file against the hash that the Hub published.

    The revision is resolved to a commit once, and that commit is what is fetched. Files that are there and right are
    kept; files that another commit of the model left on the claim are linked; a broken download goes on.

    Args:
        model: The model's id on the Hub, `organisation/name`.
        claim: The directory on the claim below which downloads are kept.
        revision: A branch, a tag or a commit.
        include: Glob patterns; where there are any, only what they match is taken.
        exclude: Glob patterns of what not to take.
        everything: Take duplicate weights too.

    Raises:
        HubError: The Hub refused.
        SelectionError: The patterns leave nothing, or match nothing.
        ClaimError: The claim is full or read-only.
        WrongBytesError: A file has other bytes than were published, twice.
    """
    hub = Hub()
    whole = hub.snapshot(model, revision)
    choice = weights.choose(whole.files, include, exclude, everything=everything)
    snapshot = whole.model_copy(update={"files": choice.taken})
    weights.tell(snapshot, choice)
    directory = claim / _folder(snapshot.model) / snapshot.commit
    with claim_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        _open_to_group(directory, claim)
        missing = _missing(directory, snapshot)
        _check_space(directory, missing)
        with (
            Progress("download" if missing else "check", snapshot.size) as progress,
            ThreadPoolExecutor(PARALLEL_FILES) as pool,
        ):
            jobs = [pool.submit(_bring, hub, snapshot, file, directory, progress) for file in _largest_first(snapshot)]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                progress.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        snapshot.write(directory)
        _open_to_group(directory / RECORD, directory)
        shutil.rmtree(directory / RECORD.parent / "partial", ignore_errors=True)
    return Downloaded(directory, snapshot, choice.saved, sum(file.size for file in missing))


def bytes_to_fetch(snapshot: Snapshot, claim: Path) -> int:
    """How many of a snapshot's bytes a download to a claim would still fetch; none of them is read."""
    directory = claim / _folder(snapshot.model) / snapshot.commit
    if not directory.parent.is_dir():
        return snapshot.size
    return _left_to_fetch(directory, _missing(directory, snapshot))


def _missing(directory: Path, snapshot: Snapshot) -> list[PublishedFile]:
    return [file for file in snapshot.files if not _there(directory, file) and not _elsewhere(directory, file)]


def _left_to_fetch(directory: Path, missing: Sequence[PublishedFile]) -> int:
    return sum(file.size - _size(_partial(directory, file)) for file in missing)


def _folder(model: str) -> str:
    return model.replace("/", "--")


def _largest_first(snapshot: Snapshot) -> list[PublishedFile]:
    return sorted(snapshot.files, key=lambda file: -file.size)


def _elsewhere(directory: Path, file: PublishedFile) -> list[Path]:
    """Other commits' copies of a file, by their records."""
    return [
        other / file.path
        for other in directory.parent.iterdir()
        if other != directory and (other / RECORD).is_file() and file in Snapshot.read(other).files
    ]


def _there(directory: Path, file: PublishedFile) -> bool:
    path = directory / file.path
    return path.is_file() and path.stat().st_size == file.size


def _check_space(directory: Path, missing: Sequence[PublishedFile]) -> None:
    needed = _left_to_fetch(directory, missing)
    check_space(directory, needed, f"Enlarge it, or remove older downloads in {directory.parent.parent}")


def _bring(hub: Hub, snapshot: Snapshot, file: PublishedFile, directory: Path, progress: Progress) -> None:
    """Makes sure that a file is in the directory with the published bytes."""
    path = directory / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with claim_errors(directory):
        if file.matches(path) or _link_from_another_commit(file, directory):
            progress.advance(file.size)
        else:
            _fetch(hub, snapshot, file, directory, progress)
        _open_to_group(path, directory)


def _fetch(hub: Hub, snapshot: Snapshot, file: PublishedFile, directory: Path, progress: Progress) -> None:
    partial = _partial(directory, file)
    partial.parent.mkdir(parents=True, exist_ok=True)
    _open_to_group(partial.parent, directory)
    with filelock.FileLock(f"{partial}.lock"):
        if file.matches(directory / file.path):
            progress.advance(file.size)
            return
        for _attempt in range(ATTEMPTS):
            hub.fetch(snapshot, file, partial, progress.advance)
            if file.matches(partial):
                partial.replace(directory / file.path)
                return
            print(f"{file.path} arrived with other bytes than were published; it is fetched again", flush=True)
            progress.advance(-_size(partial))
            partial.unlink(missing_ok=True)
        (directory / file.path).unlink(missing_ok=True)
    raise WrongBytesError(
        f"{file.path} of {snapshot.model} arrived {ATTEMPTS} times with other bytes than its published {file.identity}",
        "Something between here and the Hub alters it: check proxies and mirrors",
    )


def _link_from_another_commit(file: PublishedFile, directory: Path) -> bool:
    for source in _elsewhere(directory, file):
        if file.matches(source):
            (directory / file.path).unlink(missing_ok=True)
            os.link(source, directory / file.path)
            return True
    return False


def _open_to_group(path: Path, top: Path) -> None:
    """Lets group 0 write a path and the directories above it, up to but without the top."""
    for place in (path, *path.parents):
        if place == top:
            return
        mode = DIRECTORY_MODE if place.is_dir() else FILE_MODE
        state = place.stat()
        if state.st_mode & 0o777 != mode and state.st_uid == os.geteuid():
            place.chmod(mode)


def _partial(directory: Path, file: PublishedFile) -> Path:
    name = hashlib.sha256(f"{file.path}\0{file.identity}".encode()).hexdigest()
    return directory / RECORD.parent / "partial" / name


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
