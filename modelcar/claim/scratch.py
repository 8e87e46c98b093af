"""Working directories of builds on the claim, removed when the build ends or was killed."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelcar.claim.folder import Folder
from modelcar.claim.space import claim_errors
from modelcar.errors import ClaimError

_PREFIX = "build-"
_LOCK = "lock"


@contextmanager
def scratch(parent: Folder) -> Iterator[Path]:
    """Makes a working directory on the claim for one build; it is gone afterwards, also when the build failed.

    A build that was killed leaves its directory behind; the next one removes it. A directory that a running build holds
    is known by the lock on it and left alone.

    Args:
        parent: Where to make it.
    """
    with claim_errors(parent.path):
        remove_abandoned(parent)
        name, lock = _make(parent)
    try:
        # What the build starts holds the lock as well, for it may outlive a build that is killed.
        os.set_inheritable(lock, True)
        yield parent.path / name
    finally:
        parent.remove_tree(name)
        os.close(lock)


def _make(parent: Folder) -> tuple[str, int]:
    while True:
        name = f"{_PREFIX}{secrets.token_hex(8)}"
        lock = parent.open_file(f"{name}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if parent.is_the_file(f"{name}/{_LOCK}", lock):
            return name, lock
        # Another build took it for abandoned before it was locked.
        os.close(lock)


def remove_abandoned(parent: Folder) -> int:
    """Removes what killed builds left behind; a directory that a running build holds is locked, and stays.

    Args:
        parent: Where builds made their working directories.

    Returns:
        How many were removed.
    """
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
