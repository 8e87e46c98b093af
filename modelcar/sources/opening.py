"""Opening of a model's source by what a person writes for the model."""

import os
from collections.abc import Callable, Sequence

from modelcar import pod
from modelcar.errors import SourceError
from modelcar.hub.client import DEFAULT_REVISION, Hub
from modelcar.hub.snapshot import Snapshot
from modelcar.hub.source import Source
from modelcar.retries import retrying
from modelcar.sources.adapters import WithAdapters
from modelcar.sources.folder import ClaimShelf, FolderShelf
from modelcar.sources.image import ImageShelf
from modelcar.sources.own import OwnSource
from modelcar.sources.s3 import S3Shelf
from modelcar.sources.shelf import Shelf

_FOLDERS = ("/", "./", "../", "~/")
_HUB = "hf://"
ENTRY = "model-registry://"
"""Begins what names an entry of the Model Registry (modelcar.model_registry.artifact_uri)."""

_SHELVES: dict[str, Callable[[str], Shelf]] = {"s3://": S3Shelf, "pvc://": ClaimShelf, "oci://": ImageShelf}
KINDS = (
    "organisation/name for Hugging Face, s3://bucket/folder, pvc://claim/folder, oci://registry/repository:tag, "
    "model-registry://name/version, or ./folder"
)


def open_source(model: str, transport: str = "http", adapters: Sequence[str] = ()) -> Source:
    """Opens the source of a model.

    Args:
        model: A model's id on the Hub, `organisation/name`, with or without `hf://`; a folder, which begins with `/`,
            `./`, `../` or `~/`; `s3://bucket/folder`; `pvc://claim/folder` where that claim is mounted for it;
            `oci://registry/repository:tag` for an image of a model, or an artifact.
        transport: What brings the files of a Hub.
        adapters: LoRA adapters to put beside it, each written as a model is.

    Raises:
        SourceError: There is no such kind of source, or it is a folder and this is a pod of a pipeline.
        UnsafeNameError: What should be an image's name is none.
    """
    if not adapters:
        return _open(model, transport)
    return WithAdapters(_open(model, transport), {written: _open(written, transport) for written in adapters})


def _open(model: str, transport: str) -> Source:
    if is_folder(model):
        # Whoever may start a run is not, for that, one who may read the Secrets and the claim that its pods mount.
        if pod.POD_NAME in os.environ:
            raise SourceError(
                f"{model} is a folder, which is read on your own machine alone",
                "Put it into S3 (s3://…), or on a claim (pvc://…)",
            )
        return OwnSource(FolderShelf(model))
    for scheme, shelf in _SHELVES.items():
        if model.startswith(scheme):
            return OwnSource(shelf(model))
    if model.startswith(_HUB):
        return _Named(model, transport)
    if model.startswith(ENTRY):
        raise SourceError(
            f"{model} is looked up by the preflight alone", "Hand its output `model` on, or name what the entry names"
        )
    if "://" in model:
        raise SourceError(f"models cannot be read from {model.partition('://')[0]}://", f"Write {KINDS}")
    return Hub(transport)


class _Named(Hub):
    """The Hub, for a model that is written as KServe does: hf://organisation/name, and after a colon its revision.

    Args:
        uri: The model.
        transport: How its files come.
    """

    def __init__(self, uri: str, transport: str) -> None:
        super().__init__(transport)
        self._id, _, self._revision = uri.removeprefix(_HUB).partition(":")

    @retrying
    def snapshot(self, model: str, revision: str = DEFAULT_REVISION) -> Snapshot:
        """Resolves a revision to its commit; the one in the model's name, unless another is asked for."""
        wanted = self._revision if self._revision and revision == DEFAULT_REVISION else revision
        return super().snapshot(self._id, wanted)


def is_folder(model: str) -> bool:
    """Tells whether what is asked for is a folder of this machine."""
    return model in (".", "..") or model.startswith(_FOLDERS)


def is_unpublished(model: str) -> bool:
    """Tells whether all files of what is asked for may have to be read, as nobody published their hashes."""
    return is_own(model) and not model.startswith(_HUB)


def is_own(model: str) -> bool:
    """Tells whether what is asked for is no model's id on the Hub."""
    return is_folder(model) or "://" in model
