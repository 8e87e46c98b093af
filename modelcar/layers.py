"""How a model's files are parted into layers: each large file its own, small ones together, none too large.

Layers of whole files mean that a new commit of a model moves only the files that changed, and that several can be sent
at once.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.filesize import decimal

from modelcar.errors import BuildError, WrongBytesError
from modelcar.oci.layer import Entry, Layer
from modelcar.snapshot import Hasher, PublishedFile, Snapshot

MODELS = "models"
"""The directory in the image that KServe serves from (https://kserve.github.io/website, modelcars)."""

MAX_LAYER_SIZE = 20 * 10**9
"""Bytes. Quay's default MAXIMUM_LAYER_SIZE is 20G, counted over the whole upload."""

OWN_LAYER_SIZE = 1 << 20
MOST_LAYERS = 100
"""Docker's storage stacks 125 layers at most (moby, layer store); the rest is left to the base image."""

_RECIPE = 1
"""Raise when the same files would give other layers than before."""


def part(snapshot: Snapshot, directory: Path, max_layer_size: int = MAX_LAYER_SIZE) -> list[Layer]:
    """Parts a snapshot's files into layers; the same files are always parted in the same way.

    Args:
        snapshot: The files.
        directory: Where they are.
        max_layer_size: The largest layer that the registry takes, in bytes.

    Raises:
        BuildError: A file alone is larger than that. A file cannot span two layers.
    """
    own = OWN_LAYER_SIZE
    layers = _parted(snapshot.files, directory, own, max_layer_size)
    while len(layers) > MOST_LAYERS:
        if all(file.size < own for file in snapshot.files):
            raise BuildError(
                f"{snapshot.model} makes {len(layers)} layers of {decimal(max_layer_size)}, too many for an image",
                "Raise max_layer_size, if your registry takes larger layers (Quay: MAXIMUM_LAYER_SIZE)",
            )
        own *= 2
        layers = _parted(snapshot.files, directory, own, max_layer_size)
    for layer in layers:
        if layer.size > max_layer_size:
            name = layer.entries[0].path.removeprefix(f"{MODELS}/")
            raise BuildError(
                f"{name} makes a layer of {decimal(layer.size)}, and max_layer_size is {decimal(max_layer_size)}",
                "Publish the model in smaller shards (save_pretrained(…, max_shard_size='5GB')), leave the file out "
                "with --exclude, or raise max_layer_size if your registry takes more (Quay: MAXIMUM_LAYER_SIZE)",
            )
    return layers


def recipe(layers: Sequence[Layer], base_digest: str, snapshot: Snapshot) -> str:
    """A hash of all that decides what the image will be, known before any byte is read.

    Two images of the same commit with the same recipe are the same image.
    """
    identities = {f"{MODELS}/{file.path}": file.identity for file in snapshot.files}
    parts = [[[entry.path, identities[entry.path]] for entry in layer.entries] for layer in layers]
    written = json.dumps([_RECIPE, base_digest, parts], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(written.encode()).hexdigest()


def digest(layer: Layer, snapshot: Snapshot) -> str:
    """The digest that a layer will have, from its files' bytes, each of which must be what the Hub published.

    This is the link from the Hub's hashes to the image: one pass over the bytes gives both.

    Raises:
        WrongBytesError: A file's bytes are not what was published.
    """
    published = {f"{MODELS}/{file.path}": file for file in snapshot.files}
    hashers: dict[str, Hasher] = {entry.path: published[entry.path].hasher() for entry in layer.entries}

    def take(entry: Entry, chunk: bytes) -> None:
        hashers[entry.path].update(chunk)

    whole = hashlib.sha256()
    for chunk in layer.chunks(take):
        whole.update(chunk)
    for entry in layer.entries:
        if not published[entry.path].is_hash(hashers[entry.path].hexdigest()):
            raise WrongBytesError(
                f"{entry.source} is not what the Hub published ({published[entry.path].identity})",
                "Run the download again",
            )
    return f"sha256:{whole.hexdigest()}"


def _parted(files: Iterable[PublishedFile], directory: Path, own: int, max_layer_size: int) -> list[Layer]:
    ordered = sorted(files, key=lambda file: file.path)
    large = [Layer((_entry(file, directory),)) for file in ordered if file.size >= own]
    return large + _together([_entry(file, directory) for file in ordered if file.size < own], max_layer_size)


def _together(entries: Sequence[Entry], max_layer_size: int) -> list[Layer]:
    groups: list[list[Entry]] = []
    size = 0
    for entry in entries:
        if not groups or size + Layer((entry,)).size > max_layer_size:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += Layer((entry,)).size
    return [Layer(tuple(group)) for group in groups]


def _entry(file: PublishedFile, directory: Path) -> Entry:
    return Entry(f"{MODELS}/{file.path}", directory / file.path, file.size)
