"""Files on the claim, which has other users: no symbolic link is followed."""

import errno
import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from modelcar.errors import ClaimError, WrongBytesError

READ_BYTES = 1 << 20
LARGEST_NOTE = 64 << 20
"""Bytes of a file that we wrote ourselves; the record of 100,000 files takes 20 MB."""


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


@dataclass(frozen=True)
class OnDisk:
    """A file on this machine.

    Attributes:
        path: Where it is.
    """

    path: Path

    def read(self, offset: int) -> Iterator[bytes]:
        """The bytes from an offset to the end.

        Raises:
            WrongBytesError: The file is gone.
            ClaimError: It cannot be read.
        """
        try:
            with os.fdopen(open_file(self.path), "rb", buffering=0) as file:
                file.seek(offset)
                while chunk := file.read(READ_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise WrongBytesError(f"{self.path} is gone", "Run the download again") from None
        except OSError as error:
            raise ClaimError(f"cannot read {self.path}: {error.strerror}") from None

    def __str__(self) -> str:
        return str(self.path)
