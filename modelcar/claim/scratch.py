"""Working directories of builds on the claim, removed when the build ends or was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcar.claim.space import claim_errors

_PREFIX = "build-"


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
