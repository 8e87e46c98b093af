"""A file on this machine, read as the Hub's files are."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from modelcar.claim.folder import Folder
from modelcar.errors import ClaimError, WrongBytesError

READ_BYTES = 1 << 20


@dataclass(frozen=True)
class OnDisk:
    """A file on this machine.

    Attributes:
        folder: A directory above it, held open.
        relative: Its path below that; no link on the way is followed.
    """

    folder: Folder
    relative: str

    @classmethod
    def at(cls, path: Path) -> Self:
        """Gives the file at a path."""
        return cls(Folder(path.parent), path.name)

    @property
    def path(self) -> Path:
        """The path, for error messages."""
        return self.folder.path / self.relative

    @property
    def size(self) -> int:
        """Bytes in it, or -1 where it is no ordinary file."""
        return self.folder.size(self.relative)

    def open(self) -> int:
        """Returns a descriptor of the file, which must be an ordinary one."""
        return self.folder.open_file(self.relative)

    def link_to(self, path: Path) -> None:
        """Links the file to another path on the same file system."""
        self.folder.link_to(self.relative, path)

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Gives the bytes from `start` to `end` (by default all), in chunks of at most 1 MiB.

        Raises:
            WrongBytesError: The file is gone.
            ClaimError: It cannot be read, or is a link, or behind one.
        """
        try:
            with os.fdopen(self.open(), "rb", buffering=0) as file:
                file.seek(start)
                while chunk := file.read(READ_BYTES if end is None else max(min(READ_BYTES, end - file.tell()), 0)):
                    yield chunk
        except FileNotFoundError:
            raise WrongBytesError(f"{self.path} is gone", "Run the download again") from None
        except OSError as error:
            raise ClaimError(f"cannot read {self.path}: {error.strerror}") from None

    def __str__(self) -> str:
        return str(self.path)
