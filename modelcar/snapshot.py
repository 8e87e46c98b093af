"""A model at one commit: what the Hub published, and the record of it that a download leaves beside the files."""

import hashlib
import os
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modelcar import claim
from modelcar.errors import ClaimError, UnsafeNameError, WeightsError, WrongBytesError
from modelcar.pickles import HEAD_BYTES, is_pickle
from modelcar.safetensors_header import SUFFIX, PassingHeader

RECORD = Path(".modelcar", "snapshot.json")
"""Where a download leaves its record, within the snapshot's directory."""

LONGEST_NAME, LONGEST_PATH = 255, 2048
"""Bytes. Linux takes 4096 for a path; before this one stand the claim's or the builder's directories."""

READ_BYTES = 1 << 20

PICKLE_REMEDY = (
    "Choose a revision that has safetensors (https://huggingface.co/spaces/safetensors/convert makes one), leave them "
    "out with --exclude, or, if you trust their owner like your own code, --allow-pickle (the pipeline's allow_pickle)"
)

_MODEL = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
_CHANGES_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNPRINTED = ("Cc", "Cs", "Zl", "Zp")


class Hasher(Protocol):
    """The part of hashlib's objects that is used here."""

    def update(self, data: bytes, /) -> None:
        """Takes in more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


class FileCheck:
    """A file's bytes held against what was published, while they pass.

    Args:
        file: The file; its bytes are taken in from the beginning.
        allow_pickle: Whether it may begin as a pickle does.
    """

    def __init__(self, file: "PublishedFile", *, allow_pickle: bool) -> None:
        self._file = file
        self._allow_pickle = allow_pickle
        self._head = b""
        # Git's object id: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        self._hash: Hasher = (
            hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        )
        self._header = PassingHeader(file.size) if file.path.endswith(SUFFIX) else None

    def take(self, data: bytes) -> None:
        """Takes in the next bytes."""
        self._hash.update(data)
        self._head += data[: HEAD_BYTES - len(self._head)]
        if self._header is not None:
            self._header.take(data)

    def is_right(self) -> bool:
        """Whether all the bytes were the published ones.

        Raises:
            WeightsError: They were, but they are a pickle, or no safetensors file though they are called one.
        """
        if self._hash.hexdigest() != (self._file.sha256 or self._file.git_blob):
            return False
        if self._header is not None and self._header.problem:
            raise WeightsError(
                f"{self._file.path}, as its owner published it, {self._header.problem}",
                f"Nothing can load it: choose another revision, or --exclude {shlex.quote(self._file.path)}",
            )
        if not self._allow_pickle and is_pickle(self._head):
            raise WeightsError(
                f"{self._file.path} is a Python pickle, which runs code when it is loaded", PICKLE_REMEDY
            )
        return True


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
    size: Annotated[int, Field(ge=0, lt=1 << 60)]
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    git_blob: Annotated[str, Field(pattern="^([0-9a-f]{40})?$")] = ""

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        return safe_path(path)

    @property
    def identity(self) -> str:
        """The published hash with its kind in front."""
        return f"sha256:{self.sha256}" if self.sha256 else f"git:{self.git_blob}"

    def matches(self, file: Path, *, allow_pickle: bool = False) -> bool:
        """Whether a file on disk has exactly the published bytes.

        Args:
            file: The file on disk.
            allow_pickle: Whether it may be a pickle.

        Raises:
            WeightsError: It has, but is a broken safetensors file, or a pickle.
        """
        try:
            if file.is_symlink() or file.stat().st_size != self.size:
                return False
            check = FileCheck(self, allow_pickle=allow_pickle)
            with os.fdopen(claim.open_file(file), "rb", buffering=0) as opened:
                while chunk := opened.read(READ_BYTES):
                    check.take(chunk)
        except FileNotFoundError:
            return False
        return check.is_right()


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
        allow_pickle: Whether its files may hold Python pickles, which run code when they are loaded.
        files: Its files.
    """

    model: Annotated[str, Field(max_length=LONGEST_NAME)]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    created: datetime
    source: str
    licence: str = ""
    base_models: tuple[str, ...] = ()
    quantization: str = ""
    allow_pickle: bool = False
    files: tuple[PublishedFile, ...]

    @field_validator("model")
    @classmethod
    def _is_a_name(cls, model: str) -> str:
        # A directory on the claim is called after it.
        if not _MODEL.fullmatch(model):
            raise ValueError(f"{model!r} is no model's id")
        return model

    @field_validator("files")
    @classmethod
    def _each_has_a_place(cls, files: tuple[PublishedFile, ...]) -> tuple[PublishedFile, ...]:
        _check_places([file.path for file in files])
        return files

    @cached_property
    def by_path(self) -> dict[str, PublishedFile]:
        """The files, by their paths."""
        return {file.path: file for file in self.files}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other values for some fields."""
        copied = super().model_copy(update=update, deep=deep)
        # A cached property is copied as well, and would still tell of the files before.
        vars(copied).pop("by_path", None)
        return copied

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def write(self, directory: Path) -> None:
        """Leaves the record in a directory, in one step: it is there whole or not at all."""
        record = directory / RECORD
        record.parent.mkdir(parents=True, exist_ok=True)
        claim.write(record, (self.model_dump_json(indent=1) + "\n").encode())

    def check_sizes(self, directory: Path) -> None:
        """Looks, without reading any, whether all files lie in a directory.

        Raises:
            WrongBytesError: One is gone, or its size is not the published one.
            ClaimError: One is a symbolic link, or behind one.
        """
        for file in self.files:
            path = directory / file.path
            claim.refuse_links(path, directory)
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
        claim.refuse_links(directory / RECORD, directory)
        try:
            return cls.model_validate_json(claim.read(directory / RECORD))
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
    if (
        any(part in ("", ".", "..") for part in parts)
        or any(_bytes(part) > LONGEST_NAME for part in parts)
        or _bytes(path) > LONGEST_PATH
        or "\\" in path
        or any(unicodedata.category(character) in _UNPRINTED for character in path)
        or _CHANGES_DIRECTION.search(path)
        # On claims whose file system takes capitals for small letters as well.
        or parts[0].casefold() == RECORD.parent.name
    ):
        shown = path if len(path) <= LONGEST_NAME else f"{path[:LONGEST_NAME]}…"
        raise _unsafe(f"the repository has a file named {shown!r}, which cannot be used as it stands")
    return path


def _check_places(paths: Sequence[str]) -> None:
    """Sees that each file can lie beside the others.

    Raises:
        UnsafeNameError: Two have one name, or one has the name of a directory.
    """
    for path, count in Counter(paths).items():
        if count > 1:
            raise _unsafe(f"the repository lists the file {path!r} {count} times")
    directories = {path[:place] for path in paths for place, letter in enumerate(path) if letter == "/"}
    for path in directories.intersection(paths):
        raise _unsafe(f"the repository has a file {path!r} and a directory of that name")


def _unsafe(what: str) -> UnsafeNameError:
    return UnsafeNameError(what, "Use another revision, or ask its owner to rename the file")


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
