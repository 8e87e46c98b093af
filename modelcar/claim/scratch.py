"""Working directories of builds on the claim, removed when the build ends or was killed."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from modelcar.claim.folder import Folder
from modelcar.claim.space import claim_errors
from modelcar.errors import ClaimError
from modelcar.hub.paths import DOWNLOAD_NOTE

_PREFIX = "build-"
_LOCK = "lock"


@contextmanager
def scratch(parent: Folder) -> Iterator[Path]:
    """Makes a working directory on the claim for one build; it is gone afterwards, also when the build failed.

    A build that was killed leaves its directory behind; the next one removes it. A directory that a running build holds
    is known by the lock on it and left alone.

    Args:
        parent: Where to make it; if this user may not write there, it is made in `.modelcar` at the claim's top.
    """
    with ExitStack() as opened:
        with claim_errors(parent.path):
            place = opened.enter_context(_writable(parent))
            name, lock = _make(place)
        try:
            # What the build starts holds the lock as well, for it may outlive a build that is killed.
            os.set_inheritable(lock, True)
            yield place.path / name
        finally:
            place.remove_tree(name)
            os.close(lock)


@contextmanager
def _writable(parent: Folder) -> Iterator[Folder]:
    """Opens the directory in which builds work, without what killed ones left there."""
    if parent.is_writable():
        remove_abandoned(parent)
        yield parent
        return
    # Where a pod has a user namespace of its own, nobody in it may write into a directory whose owner is not mapped
    # into it, and OpenShift's random users are not. The claim's top belongs to root, who is.
    with Folder(parent.top / DOWNLOAD_NOTE.parent, parent.top, create=True) as top:
        remove_abandoned(top)
        yield top


def _make(parent: Folder) -> tuple[str, int]:
    while True:
        name = f"{_PREFIX}{secrets.token_hex(8)}"
        lock = parent.open_file(f"{name}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if parent.is_the_file(f"{name}/{_LOCK}", lock):
            return name, lock
        # Another build took it for abandoned before it was locked.
        os.close(lock)


def remove_all_abandoned(claim: Path) -> int:
    """Removes what killed builds left behind anywhere on a claim; what a running build holds is locked, and stays.

    Args:
        claim: Where the claim is mounted.

    Returns:
        How many working directories were removed.
    """
    count = 0
    for path in (claim, *claim.glob("*/*")):
        # What is a link, or behind one, is nobody's download.
        with suppress(OSError, ClaimError), Folder(path / DOWNLOAD_NOTE.parent, claim) as folder:
            count += remove_abandoned(folder)
    return count


def remove_abandoned(parent: Folder) -> int:
    """Removes what killed builds left behind in one directory; returns how many working directories that were."""
    return sum(_remove_if_abandoned(parent, name) for name in parent.names() if name.startswith(_PREFIX))


def _remove_if_abandoned(parent: Folder, name: str) -> bool:
    with suppress(OSError, ClaimError):
        lock = parent.open_file(f"{name}/{_LOCK}", os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            parent.remove_tree(name)
            return True
        finally:
            os.close(lock)
    return False
