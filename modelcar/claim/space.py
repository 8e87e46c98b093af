"""Working directories on the claim: nothing large is ever written to a node's own disk."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.filesize import decimal

from modelcar.errors import ClaimError

SPARE_BYTES = 64 << 20
"""Room that is left on the claim for file systems' own needs."""

FULL = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
_BROKEN = (errno.EIO, errno.ESTALE)


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
