"""Brings a model's files to the claim: only what is needed, only what is missing, every byte checked."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

from modelcar import layers, weights
from modelcar.claim import check_space, claim_errors, refuse_links
from modelcar.errors import ModelcarError, WrongBytesError
from modelcar.hub import DEFAULT_REVISION, Hub
from modelcar.progress import Progress
from modelcar.snapshot import RECORD, PublishedFile, Snapshot

PARALLEL_FILES = 8
"""As `hf download` has it."""

ATTEMPTS = 2
FILE_MODE, DIRECTORY_MODE = 0o664, 0o775
"""Group 0 may do what the owner may: the next step may run under another random UID."""


Elsewhere = dict[PublishedFile, list[Path]]


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
    allow_pickle: bool = False,
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
        allow_pickle: Take files that run code when they are loaded.

    Raises:
        HubError: The Hub refused.
        SelectionError: The patterns leave nothing, or match nothing.
        ClaimError: The claim is full or read-only.
        WrongBytesError: A file has other bytes than were published, twice.
        WeightsError: A file was published broken, or is a pickle and may not be.
    """
    hub = Hub()
    whole = hub.snapshot(model, revision)
    choice = weights.choose(whole.files, include, exclude, everything=everything)
    snapshot = whole.model_copy(update={"files": choice.taken, "allow_pickle": allow_pickle})
    if not allow_pickle:
        weights.refuse_pickles(choice)
    weights.tell(snapshot, choice)
    directory = claim / _folder(snapshot.model) / snapshot.commit
    with claim_errors(directory):
        refuse_links(directory / RECORD, claim)
        directory.mkdir(parents=True, exist_ok=True)
        _open_to_group(directory, claim)
        digests = layers.read_digests(directory)
        elsewhere = _elsewhere(directory)
        missing = _missing(directory, snapshot, elsewhere)
        _check_space(directory, missing)
        with (
            Progress("download" if missing else "check", snapshot.size) as progress,
            ThreadPoolExecutor(PARALLEL_FILES) as pool,
        ):
            run = _Run(hub, snapshot, directory, elsewhere, digests, progress)
            jobs = [pool.submit(run.bring, file) for file in _largest_first(snapshot)]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                progress.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        snapshot.write(directory)
        layers.write_digests(directory, digests)
        for note in (RECORD, layers.DIGESTS):
            _open_to_group(directory / note, directory)
        _remove_partials(directory, snapshot)
    return Downloaded(directory, snapshot, choice.saved, sum(file.size for file in missing))


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


def _largest_first(snapshot: Snapshot) -> list[PublishedFile]:
    return sorted(snapshot.files, key=lambda file: -file.size)


def _elsewhere(directory: Path) -> Elsewhere:
    """Other commits' copies of files, by their records. A record that cannot be read tells of none."""
    found: Elsewhere = {}
    for other in directory.parent.iterdir():
        if other == directory or other.is_symlink() or not (other / RECORD).is_file():
            continue
        with suppress(ModelcarError):
            for file in Snapshot.read(other).files:
                found.setdefault(file, []).append(other)
    return found


def _there(directory: Path, file: PublishedFile) -> bool:
    path = directory / file.path
    return path.is_file() and not path.is_symlink() and path.stat().st_size == file.size


def _check_space(directory: Path, missing: Sequence[PublishedFile]) -> None:
    needed = _left_to_fetch(directory, missing)
    check_space(directory, needed, f"Enlarge it, or remove older downloads in {directory.parent.parent}")


@dataclass(frozen=True)
class _Run:
    """One download under way.

    Attributes:
        hub: Where the files come from.
        snapshot: The files.
        directory: Where they go.
        elsewhere: Directories of other commits that have a file too.
        digests: Digests of layers, by their keys: what is hashed here need not be hashed again for the image.
        progress: Is told of every byte.
    """

    hub: Hub
    snapshot: Snapshot
    directory: Path
    elsewhere: Elsewhere
    digests: dict[str, str]
    progress: Progress

    def bring(self, file: PublishedFile) -> None:
        """Makes sure that a file is in the directory with the published bytes."""
        path = self.directory / file.path
        with claim_errors(self.directory):
            # A link in the file's own place is replaced.
            refuse_links(path.parent, self.directory)
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._is_right(file, path) or self._link_from_another_commit(file):
                self.progress.advance(file.size)
            else:
                self._fetch(file)
            _open_to_group(path, self.directory)

    def _fetch(self, file: PublishedFile) -> None:
        partial = _partial(self.directory, file)
        refuse_links(partial, self.directory)
        partial.parent.mkdir(parents=True, exist_ok=True)
        if not partial.is_file():
            partial.unlink(missing_ok=True)
        _open_to_group(partial.parent, self.directory)
        with filelock.FileLock(f"{partial}.lock"):
            if self._is_right(file, self.directory / file.path):
                self.progress.advance(file.size)
                return
            for _attempt in range(ATTEMPTS):
                self.hub.fetch(self.snapshot, file, partial, self.progress.advance)
                if self._is_right(file, partial):
                    partial.replace(self.directory / file.path)
                    return
                print(f"{file.path} arrived with other bytes than were published; it is fetched again", flush=True)
                self.progress.advance(-_size(partial))
                partial.unlink(missing_ok=True)
            (self.directory / file.path).unlink(missing_ok=True)
        raise WrongBytesError(
            f"{file.path} of {self.snapshot.model} arrived {ATTEMPTS} times with other bytes than its published "
            f"{file.identity}",
            "Something between here and the Hub alters it: check proxies and mirrors",
        )

    def _link_from_another_commit(self, file: PublishedFile) -> bool:
        for other in self.elsewhere.get(file, ()):
            source = other / file.path
            refuse_links(source, other)
            if self._is_right(file, source):
                (self.directory / file.path).unlink(missing_ok=True)
                os.link(source, self.directory / file.path)
                return True
        return False

    def _is_right(self, file: PublishedFile, path: Path) -> bool:
        """Whether a file on disk has the published bytes; the same pass gives the digest of the layer it will make."""
        layer = layers.alone(file, path)
        key = layers.key(layer, self.snapshot) if layer else ""
        if layer is None or key in self.digests or path.is_symlink():
            return file.matches(path, allow_pickle=self.snapshot.allow_pickle)
        try:
            self.digests[key] = layers.digest(layer, self.snapshot)
        except WrongBytesError:
            return False
        return True


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
