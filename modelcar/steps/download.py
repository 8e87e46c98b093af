"""Brings a model's files to the claim: only what is needed, only what is missing, every byte checked."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import filelock

from modelcar.claim.downloads import (
    Elsewhere,
    _elsewhere,
    _folder,
    _left_to_fetch,
    _missing,
    _partial,
    _remove_partials,
    _size,
    matches,
    write_snapshot,
)
from modelcar.claim.files import refuse_links
from modelcar.claim.space import check_space, claim_errors
from modelcar.errors import WrongBytesError
from modelcar.hub import selection
from modelcar.hub.client import DEFAULT_REVISION, Hub
from modelcar.hub.paths import RECORD
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.image import layer_digests, layout, proof, recipe
from modelcar.progress import Progress

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
    selected = selection.Selection(
        model=model,
        revision=revision,
        include=include,
        exclude=exclude,
        everything=everything,
        allow_pickle=allow_pickle,
    ).resolve(hub)
    selected.check()
    snapshot, choice = selected.snapshot, selected.choice
    selection.tell(snapshot, choice)
    directory = claim / _folder(snapshot.model) / snapshot.commit
    with claim_errors(directory):
        refuse_links(directory / RECORD, claim)
        directory.mkdir(parents=True, exist_ok=True)
        _open_to_group(directory, claim)
        digests = layer_digests.read_digests(directory)
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
        write_snapshot(snapshot, directory)
        layer_digests.write_digests(directory, digests)
        for note in (RECORD, layer_digests.DIGESTS):
            _open_to_group(directory / note, directory)
        _remove_partials(directory, snapshot)
    return Downloaded(directory, snapshot, choice.saved, sum(file.size for file in missing))


def _largest_first(snapshot: Snapshot) -> list[PublishedFile]:
    return sorted(snapshot.files, key=lambda file: -file.size)


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
        layer = layout.alone(file, path)
        key = recipe.key(layer, self.snapshot) if layer else ""
        if layer is None or key in self.digests or path.is_symlink():
            return matches(file, path, allow_pickle=self.snapshot.allows_pickle(file.path))
        try:
            self.digests[key] = proof.digest(layer, self.snapshot)
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
