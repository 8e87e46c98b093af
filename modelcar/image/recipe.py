"""Hashes that stand for an image and for each of its layers before any byte is read."""

import hashlib
import json
from collections.abc import Sequence

from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.oci.tar_writer import Entry, Layer

MODELS = "models"
"""The directory in the image that KServe serves from (https://kserve.github.io/website, modelcars)."""


_RECIPE = 1
"""Raise when the same files would give other layers than before."""


def recipe(layers: Sequence[Layer], base_digest: str, snapshot: Snapshot) -> str:
    """A hash of all that decides what the image will be, known before any byte is read.

    Two images of the same commit with the same recipe are the same image.
    """
    parts = [[[entry.path, published(entry, snapshot).identity] for entry in layer.entries] for layer in layers]
    written = json.dumps([_RECIPE, base_digest, parts], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(written.encode()).hexdigest()


def key(layer: Layer, snapshot: Snapshot) -> str:
    """What a layer holds, by its files' published hashes: known before any byte is read.

    It stands at the layer in the image's manifest, so that a later run finds a layer that it need not send again.
    """
    files = [[entry.path, published(entry, snapshot).identity] for entry in layer.entries]
    written = json.dumps([_RECIPE, files])
    return "sha256:" + hashlib.sha256(written.encode()).hexdigest()


def published(entry: Entry, snapshot: Snapshot) -> PublishedFile:
    """What the Hub published of a layer's entry."""
    return snapshot.by_path[entry.path.removeprefix(f"{MODELS}/")]
