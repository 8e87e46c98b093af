"""A model at one commit: what the Hub published, and the record of it that a download leaves beside the files."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from modelcar.hub.paths import LONGEST_NAME, check_places, safe_path

READ_BYTES = 1 << 20


_MODEL = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


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
        check_places([file.path for file in files])
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
