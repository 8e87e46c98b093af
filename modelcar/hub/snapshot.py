"""A model at one commit: what the Hub published, and the record of it that a download leaves beside the files."""

import fnmatch
import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modelcar.hub.paths import MAX_NAME_BYTES, check_places, safe_path

READ_BYTES = 1 << 20
ALL_FILES = "*"
"""Pattern for all files that may hold pickles."""


_MODEL = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


class Origin(BaseModel):
    """Origin of a file that was made of a published one (modelcar.hub.reshard).

    Attributes:
        path: The published file.
        identity: Its published hash, with the kind in front.
        part: What of it the file holds: a hash of what stands before the bytes, and which bytes.
        tensors: Names of the tensors in the file with the SHA-256 of each; empty until they were read.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    identity: str
    part: str
    tensors: tuple[tuple[str, str], ...] = ()


class PublishedFile(BaseModel):
    """A file of a model repository, as the Hub describes it.

    Attributes:
        path: Its path in the repository, with forward slashes.
        size: Its size in bytes.
        sha256: Of its bytes, where the Hub keeps it as a large file (LFS); else empty.
        git_blob: Its git object id (sha1), where it is an ordinary file in git; else empty.
        folder: The folder of the image's /models that it lies in, such as a version's number; empty for none.
        origin: The published file that this one was made of; None for a published one.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    size: Annotated[int, Field(ge=0, lt=1 << 60)]
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    git_blob: Annotated[str, Field(pattern="^([0-9a-f]{40})?$")] = ""
    folder: Annotated[str, Field(pattern="^([1-9][0-9]{0,8})?$")] = ""
    origin: Origin | None = None

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        return safe_path(path)

    @property
    def place(self) -> str:
        """Its path below the image's /models."""
        return f"{self.folder}/{self.path}" if self.folder else self.path

    @property
    def identity(self) -> str:
        """The published hash with its kind in front; of a file that was made of one, with what of it was taken."""
        if self.origin is not None:
            return f"{self.origin.identity}/{self.origin.part}"
        return f"sha256:{self.sha256}" if self.sha256 else f"git:{self.git_blob}"


class Card(BaseModel):
    """The Hub's words on a model beside its files: its card and its own look at the configuration.

    Attributes:
        library: The library that loads it (`transformers`, `timm`, …); empty if it is not named.
        task: What it does (`text-generation`, …); empty if it is not named.
        config: The Hub's excerpt of config.json.
        gguf: The Hub's excerpt of a GGUF header.
        base_models: Hub ids of the models it was made from.
        is_adapter: Whether it says that the model is an adapter, such as a LoRA.
    """

    model_config = ConfigDict(frozen=True)

    library: str = ""
    task: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    gguf: dict[str, Any] = Field(default_factory=dict)
    base_models: tuple[str, ...] = ()
    is_adapter: bool = False


class Serving(BaseModel):
    """Instructions to serve a model in an image.

    Attributes:
        model_class: The layout: `transformers`, `gguf`, `sklearn` …
        model_format: The format as KServe's serving runtimes call it; the layout's name where none of them has it.
        runtime: The server, as people call it.
        arguments: What to add to the server's arguments, a word each.
        path: What the server is pointed at, relative to /models; empty for all of it.
        gpus: GPUs of 80 GB that hold it; 0 where processors do.
        memory_bytes: Memory that it takes when served, of the GPUs together or of the pod.
        trust_remote_code: Whether the server must run code from the repository.
        code_from: Other repositories whose code it loads.
        base_model: The model that an adapter is served on; empty for others.
        limits: What it cannot do, or what has to be known before, a sentence each.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_class: str = "other"
    model_format: str = ""
    runtime: str = ""
    arguments: tuple[str, ...] = ()
    path: str = ""
    gpus: int = 0
    memory_bytes: int = 0
    trust_remote_code: bool = False
    code_from: tuple[str, ...] = ()
    base_model: str = ""
    limits: tuple[str, ...] = ()

    def as_json(self) -> str:
        """Writes it for an image's annotation, without what is empty."""
        return json.dumps(self.model_dump(exclude_defaults=True), separators=(",", ":"), sort_keys=True)

    @classmethod
    def read(cls, written: str) -> "Serving | None":
        """Reads what `as_json` wrote; None if it is something else."""
        try:
            return cls.model_validate_json(written)
        except ValidationError:
            return None


class Snapshot(BaseModel):
    """A model repository at one commit, or the part of it that is taken.

    Attributes:
        model: Its id on the Hub, `organisation/name`.
        commit: The commit, 40 hex digits.
        created: When the commit was made.
        source: The model's page on the Hub.
        licence: Its licence as an SPDX expression; empty if the model card names none.
        licence_name: What the card calls a licence that SPDX does not know.
        licence_link: Where the card says that it stands.
        base_models: Hub ids of the models it was made from.
        base_model_relation: How it was made from them: `finetune`, `quantized`, `adapter`, `merge`; empty if unsaid.
        quantization: The scheme in which its weights are quantized, such as `w4a16`; empty if they are not.
        serving: How to serve it; None where nothing was chosen yet.
        allow_pickle: Glob patterns of the files that may hold Python pickles, which run code when they are loaded.
        max_shard_layer: The largest layer, in bytes, for which files were cut (modelcar.hub.reshard); 0 if none was.
        files: Its files.
        card: What the Hub says of it beside its files; no part of what is noted.
    """

    model: Annotated[str, Field(max_length=MAX_NAME_BYTES)]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    created: datetime
    source: str
    licence: str = ""
    licence_name: str = ""
    licence_link: str = ""
    base_models: tuple[str, ...] = ()
    base_model_relation: str = ""
    quantization: str = ""
    serving: Serving | None = None
    allow_pickle: tuple[str, ...] = ()
    max_shard_layer: int = 0
    files: tuple[PublishedFile, ...]
    card: Card = Field(default_factory=Card, exclude=True, repr=False)

    @field_validator("model")
    @classmethod
    def _is_a_name(cls, model: str) -> str:
        # A directory on the claim is called after it.
        if not _MODEL.fullmatch(model):
            raise ValueError(f"{model!r} is no model's id")
        return model

    @field_validator("allow_pickle", mode="before")
    @classmethod
    def _may_be_all_or_none(cls, allowed: Any) -> Any:
        return (ALL_FILES,) if allowed is True else () if allowed is False else allowed

    @field_validator("files")
    @classmethod
    def _each_has_a_place(cls, files: tuple[PublishedFile, ...]) -> tuple[PublishedFile, ...]:
        check_places([file.path for file in files])
        return files

    @cached_property
    def by_path(self) -> dict[str, PublishedFile]:
        """The files, by their places in the image."""
        return {file.place: file for file in self.files}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other values for some fields."""
        copied = super().model_copy(update=update, deep=deep)
        # A cached property is copied as well, and would still tell of the files before.
        vars(copied).pop("by_path", None)
        return copied

    @property
    def folder(self) -> str:
        """The folder of the image's /models that its files lie in; empty for none."""
        return self.files[0].folder if self.files else ""

    def placed(self, folder: str) -> Self:
        """Returns the same with its files in a folder of the image's /models."""
        files = tuple(file.model_copy(update={"folder": folder}) for file in self.files)
        return self.model_copy(update={"files": files})

    def allows_pickle(self, path: str) -> bool:
        """Tells whether a file may hold a pickle: it was named, or all were allowed."""
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self.allow_pickle)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)
