"""Working directories on the claim: nothing large is ever written to a node's own disk."""

import errno
import fcntl
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.filesize import decimal

from modelcar.errors import ClaimError

PATH = Path(os.environ.get("MODELCAR_CLAIM", "/modelcar"))
"""Where the claim is: mounted there in a pod; `modelcar run` names a directory of this machine instead."""

SPARE_BYTES = 64 << 20
"""Room that is left on the claim for file systems' own needs."""

FULL = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
_BROKEN = (errno.EIO, errno.ESTALE)
LARGEST_NOTE = 64 << 20
"""Bytes of a file that we wrote ourselves; the record of 100,000 files takes 20 MB."""

_PREFIX = "build-"


def check_space(directory: Path, needed: int, remedy: str) -> None:
    """Fails early where the claim has too little room.

    Args:
        directory: A directory on the claim.
        needed: Bytes that will be written.
        remedy: What to do about it.

    Raises:
        ClaimError: Fewer bytes are free; says both figures.
    """
    free = shutil.disk_usage(directory).free
    if needed and needed + SPARE_BYTES > free:
        raise ClaimError(
            f"the claim at {directory} is too small: {decimal(needed)} more are needed and {decimal(free)} are free",
            remedy,
        )


@contextmanager
def claim_errors(directory: Path) -> Iterator[None]:
    """Names the claim as the cause where its file system refuses.

    Raises:
        ClaimError: It is full, or cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ClaimError(
                f"the claim at {directory} is full", "Enlarge it and run again: what is there is kept"
            ) from None
        if error.errno in UNWRITABLE:
            raise ClaimError(
                f"the claim cannot be written: {error.filename or directory}: {error.strerror}",
                "Mount it read-write, and let group 0 write (fsGroup)",
            ) from None
        if error.errno in (*_IN_THE_WAY, *_BROKEN):
            raise ClaimError(
                f"the claim cannot be used: {error.filename or directory}: {error.strerror}",
                f"Look what lies there, or remove {directory} and run again",
            ) from None
        raise


def refuse_links(path: Path, top: Path) -> None:
    """Refuses a path with a symbolic link in it: a claim has other users, and a link may lead to what is not theirs.

    Args:
        path: What will be read or written; it need not be there.
        top: A directory above it; neither that nor what is above it is looked at.

    Raises:
        ClaimError: The path, or a directory between, is a symbolic link.
    """
    for place in (path, *path.parents):
        if place == top:
            return
        if place.is_symlink():
            raise ClaimError(
                f"{place} is a symbolic link, which is not followed",
                f"Remove it, and run again: rm {shlex.quote(str(place))}",
            )


def open_file(path: Path) -> int:
    """Opens an ordinary file to be read: no symbolic link, and nothing that would keep us waiting, such as a pipe.

    Returns:
        The file's descriptor.

    Raises:
        OSError: It cannot be opened, or is something else (ELOOP).
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.ELOOP, "it is no ordinary file", str(path))
    return opened


def read(note: Path) -> bytes:
    """A file that we wrote ourselves.

    Raises:
        ClaimError: It is too large to be that.
        OSError: It cannot be read.
    """
    with os.fdopen(open_file(note), "rb") as file:
        content = file.read(LARGEST_NOTE + 1)
    if len(content) > LARGEST_NOTE:
        raise ClaimError(f"{note} has more than {decimal(LARGEST_NOTE)}", "Remove it, and run the download again")
    return content


def write(note: Path, content: bytes) -> None:
    """Writes a file in one step: it is there whole or not at all. What is in its place is replaced, never followed."""
    new = note.with_suffix(f".{os.getpid()}")
    new.unlink(missing_ok=True)
    with new.open("xb") as file:
        file.write(content)
    new.replace(note)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A working directory on the claim for one build, gone afterwards, also when the build failed.

    A build that was killed leaves its directory behind; the next one removes it. A directory that a running build holds
    is known by the lock on it and left alone.

    Args:
        parent: Where to make it.
    """
    with claim_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(parent)
        place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # What the build starts holds the lock as well, for it may outlive a build that is killed.
        os.set_inheritable(lock.fileno(), True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def remove_abandoned(parent: Path) -> int:
    """Removes what killed builds left behind; a directory that a running build holds is locked, and stays.

    Args:
        parent: Where builds made their working directories.

    Returns:
        How many were removed.
    """
    return sum(_remove_if_abandoned(place) for place in parent.glob(f"{_PREFIX}*"))


def _remove_if_abandoned(place: Path) -> bool:
    if place.is_symlink() or (place / "lock").is_symlink():
        return False
    try:
        with (place / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
            return True
    except OSError:
        return False
