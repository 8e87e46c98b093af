"""Hashes that stand for an image and for each of its layers before any byte is read."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.oci.tar_writer import Entry, Layer, tar_order

MODELS = "models"
"""The directory in the image that KServe serves from (https://kserve.github.io/website, modelcars)."""

RECIPE_VERSION = 2
"""Version of the recipe, raised when the same files would give other layers, configs or manifests than before."""


def recipe(layers: Sequence[Layer], base_digest: str, snapshot: Snapshot) -> str:
    """Hashes all that decides what the image will be, known before any byte is read.

    Two images of the same commit with the same recipe are the same image.
    """
    parts = [_identities(published(entry, snapshot) for entry in layer.entries) for layer in layers]
    written = json.dumps([RECIPE_VERSION, base_digest, parts], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(written.encode()).hexdigest()


def key(layer: Layer, snapshot: Snapshot) -> str:
    """Hashes what a layer holds, see files_key."""
    return files_key(published(entry, snapshot) for entry in layer.entries)


def files_key(files: Iterable[PublishedFile]) -> str:
    """Hashes what a layer of these files holds, by their published hashes: known before any byte is read.

    It stands at the layer in the image's manifest, so that a later run finds a layer that it need not send again.
    """
    written = json.dumps([RECIPE_VERSION, _identities(files)])
    return "sha256:" + hashlib.sha256(written.encode()).hexdigest()


def published(entry: Entry, snapshot: Snapshot) -> PublishedFile:
    """Returns what the Hub published of a layer's entry."""
    return snapshot.by_path[entry.path.removeprefix(f"{MODELS}/")]


def _identities(files: Iterable[PublishedFile]) -> list[list[str]]:
    """Lists a layer's files in the order in which they are in it."""
    ordered = sorted(files, key=lambda file: tar_order(file.path))
    return [[f"{MODELS}/{file.place}", file.identity] for file in ordered]
