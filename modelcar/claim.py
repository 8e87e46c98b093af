"""Working directories on the claim: nothing large is ever written to a node's own disk."""

import errno
import fcntl
import os
import shutil
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
        raise


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
    try:
        with (place / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
            return True
    except OSError:
        return False
