"""A model at one commit: what the Hub published, and the record of it that a download leaves beside the files."""

import hashlib
import os
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from modelcar.errors import ClaimError, UnsafeNameError, WrongBytesError

RECORD = Path(".modelcar", "snapshot.json")
"""Where a download leaves its record, within the snapshot's directory."""

LONGEST_NAME = 255
READ_BYTES = 1 << 20


class Hasher(Protocol):
    """The part of hashlib's objects that is used here."""

    def update(self, data: bytes, /) -> None:
        """Takes in more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


class PublishedFile(BaseModel):
    """A file of a model repository, as the Hub describes it.

    Attributes:
        path: Its path in the repository, with forward slashes.
        size: Its size in bytes.
        sha256: Of its bytes, where the Hub keeps it as a large file (LFS); else empty.
        git_blob: Its git object id (sha1), where it is an ordinary file in git; else empty.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    size: int
    sha256: str = ""
    git_blob: str = ""

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        return safe_path(path)

    @property
    def identity(self) -> str:
        """The published hash with its kind in front."""
        return f"sha256:{self.sha256}" if self.sha256 else f"git:{self.git_blob}"

    def hasher(self) -> Hasher:
        """A new hash of the kind that was published."""
        if self.sha256:
            return hashlib.sha256()
        # Git's object id: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)

    def is_hash(self, hexdigest: str) -> bool:
        """Whether this is the published hash."""
        return hexdigest == (self.sha256 or self.git_blob)

    def matches(self, file: Path) -> bool:
        """Whether a file on disk has exactly the published bytes."""
        try:
            if file.is_symlink() or file.stat().st_size != self.size:
                return False
            hasher = self.hasher()
            with file.open("rb", buffering=0) as opened:
                while chunk := opened.read(READ_BYTES):
                    hasher.update(chunk)
        except FileNotFoundError:
            return False
        return self.is_hash(hasher.hexdigest())


class Snapshot(BaseModel):
    """A model repository at one commit, or the part of it that is taken.

    Attributes:
        model: Its id on the Hub, `organisation/name`.
        commit: The commit, 40 hex digits.
        created: When the commit was made.
        source: The model's page on the Hub.
        licence: Its licence as the model card names it; empty if it names none.
        base_models: Hub ids of the models it was made from.
        quantization: The quantization method in its configuration; empty if it is not quantized.
        files: Its files.
    """

    model: str
    commit: str
    created: datetime
    source: str
    licence: str = ""
    base_models: tuple[str, ...] = ()
    quantization: str = ""
    files: tuple[PublishedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def write(self, directory: Path) -> None:
        """Leaves the record in a directory, in one step: it is there whole or not at all."""
        record = directory / RECORD
        record.parent.mkdir(parents=True, exist_ok=True)
        new = record.with_suffix(f".{os.getpid()}")
        new.write_text(self.model_dump_json(indent=1) + "\n")
        new.replace(record)

    def check_sizes(self, directory: Path) -> None:
        """Looks, without reading any, whether all files lie in a directory.

        Raises:
            WrongBytesError: One is gone, or its size is not the published one.
        """
        for file in self.files:
            path = directory / file.path
            if not path.is_file():
                raise WrongBytesError(f"{path} is gone", "Run the download again")
            if path.stat().st_size != file.size:
                raise WrongBytesError(
                    f"{path} has {path.stat().st_size} bytes, not {file.size}", "Run the download again"
                )

    @classmethod
    def read(cls, directory: Path) -> "Snapshot":
        """The record of the download in a directory.

        Raises:
            ClaimError: There is none, or it cannot be read.
        """
        try:
            return cls.model_validate_json((directory / RECORD).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise ClaimError(f"{directory} holds no finished download", "Run the download step first") from None
        except ValidationError as error:
            raise WrongBytesError(
                f"{directory / RECORD} is damaged: {error.errors()[0]['msg']}", "Remove it and run the download again"
            ) from None


def safe_path(path: str) -> str:
    """A path from a repository, if it can be used as it stands below a directory.

    Raises:
        UnsafeNameError: It would lead out of the directory, or is a name that file systems or tar cannot keep.
    """
    parts = path.split("/")
    encoded = path.encode(errors="surrogatepass")
    if (
        any(part in ("", ".", "..") for part in parts)
        or any(len(part.encode(errors="surrogatepass")) > LONGEST_NAME for part in parts)
        or any(byte < 0x20 or byte == 0x7F for byte in encoded)
        or "\\" in path
        or any("\ud800" <= character <= "\udfff" for character in path)
    ):
        raise UnsafeNameError(
            f"the repository has a file named {path!r}, which cannot be used as it stands",
            "Use another revision, or ask its owner to rename the file",
        )
    return path
