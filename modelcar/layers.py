"""How a model's files are parted into layers: each large file its own, small ones together, none too large.

Layers of whole files mean that a new commit of a model moves only the files that changed, and that several can be sent
at once.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError
from rich.filesize import decimal

from modelcar import claim
from modelcar.errors import BuildError, ClaimError, WrongBytesError
from modelcar.oci import spec
from modelcar.oci.layer import Entry, Layer, OnDisk, Piece, Source
from modelcar.snapshot import FileCheck, PublishedFile, Snapshot

MODELS = "models"
"""The directory in the image that KServe serves from (https://kserve.github.io/website, modelcars)."""

MAX_LAYER_SIZE = 20 * 10**9
"""Bytes. Quay's default MAXIMUM_LAYER_SIZE is 20G, counted over the whole upload."""

OWN_LAYER_SIZE = 1 << 20
MOST_LAYERS = 100
"""Docker's storage stacks 125 layers at most (moby, layer store); the rest is left to the base image."""

_RECIPE = 1
"""Raise when the same files would give other layers than before."""

DIGESTS = Path(".modelcar", "layers.json")
_DIGESTS = TypeAdapter(dict[str, spec.Digest])

SourceOf = Callable[[PublishedFile], Source]


def on_disk(directory: Path) -> SourceOf:
    """Files from a finished download."""
    return lambda file: OnDisk(directory / file.path)


def part(snapshot: Snapshot, source_of: SourceOf, max_layer_size: int = MAX_LAYER_SIZE) -> list[Layer]:
    """Parts a snapshot's files into layers; the same files are always parted in the same way.

    Args:
        snapshot: The files.
        source_of: Gives where a file's bytes come from.
        max_layer_size: The largest layer that the registry takes, in bytes.

    Raises:
        BuildError: A file alone is larger than that. A file cannot span two layers.
    """
    own = OWN_LAYER_SIZE
    layers = _parted(snapshot.files, source_of, own, max_layer_size)
    while len(layers) > MOST_LAYERS:
        if all(file.size < own for file in snapshot.files):
            raise BuildError(
                f"{snapshot.model} makes {len(layers)} layers of {decimal(max_layer_size)}, too many for an image",
                "Raise max_layer_size, if your registry takes larger layers (Quay: MAXIMUM_LAYER_SIZE)",
            )
        own *= 2
        layers = _parted(snapshot.files, source_of, own, max_layer_size)
    for layer in layers:
        if layer.size > max_layer_size:
            name = layer.entries[0].path.removeprefix(f"{MODELS}/")
            raise BuildError(
                f"{name} makes a layer of {decimal(layer.size)}, and max_layer_size is {decimal(max_layer_size)}",
                "Publish the model in smaller shards (save_pretrained(…, max_shard_size='5GB')), leave the file out "
                "with --exclude, or raise max_layer_size if your registry takes more (Quay: MAXIMUM_LAYER_SIZE)",
            )
    return layers


def alone(file: PublishedFile, path: Path) -> Layer | None:
    """The layer that a file on disk makes, if it is large enough to make its own.

    Args:
        file: The file.
        path: Where it lies for now.
    """
    return Layer((_entry(file, lambda _file: OnDisk(path)),)) if file.size >= OWN_LAYER_SIZE else None


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


class Proof(Protocol):
    """What is known of a layer's bytes at the end of a pass over them."""

    position: int

    def take(self, piece: Piece) -> None:
        """Takes in the next piece; what was taken in before, as after a broken connection, is passed over."""

    def digest(self) -> str:
        """The layer's digest, now that all of it was taken in.

        Raises:
            WrongBytesError: A file's bytes are not what was published.
            WeightsError: A file was published broken.
        """


class Hashed(Proof):
    """The link from the Hub's hashes to a layer's digest: one pass over the bytes gives both.

    Args:
        layer: The layer whose stream will be taken in.
        snapshot: What was published.
    """

    def __init__(self, layer: Layer, snapshot: Snapshot) -> None:
        self._layer = layer
        self._published = {entry.path: published(entry, snapshot) for entry in layer.entries}
        self._files = {
            path: FileCheck(file, allow_pickle=snapshot.allow_pickle) for path, file in self._published.items()
        }
        self._whole = hashlib.sha256()
        self.position = 0

    def take(self, piece: Piece) -> None:
        """Hashes the piece, for its file and for the layer."""
        data = piece.data[max(self.position - piece.position, 0) :]
        self._whole.update(data)
        if piece.entry is not None:
            self._files[piece.entry.path].take(data)
        self.position += len(data)

    def digest(self) -> str:
        """The layer's digest; each of its files has the hash that was published."""
        for entry in self._layer.entries:
            if not self._files[entry.path].is_right():
                identity = self._published[entry.path].identity
                raise WrongBytesError(
                    f"{entry.source} is not what the Hub published ({identity})", "Run the download again"
                )
        return f"sha256:{self._whole.hexdigest()}"


class Noted(Proof):
    """A digest that an earlier pass over the same bytes gave; the registry holds what it receives against it.

    Args:
        digest: The digest.
    """

    def __init__(self, digest: str) -> None:
        self._digest = digest
        self.position = 0

    def take(self, piece: Piece) -> None:
        """Hashes nothing."""
        self.position = max(self.position, piece.position + len(piece.data))

    def digest(self) -> str:
        """The digest that was noted."""
        return self._digest


def read_digests(directory: Path) -> dict[str, str]:
    """Digests of layers, by their keys, that a pass over this download's bytes gave; empty if none was noted."""
    try:
        return dict(_DIGESTS.validate_json(claim.read(directory / DIGESTS)))
    except (OSError, ClaimError, ValidationError):
        return {}


def write_digests(directory: Path, digests: dict[str, str]) -> None:
    """Notes them beside the download. The note only saves time, so a claim that cannot be written does not matter."""
    with suppress(OSError):
        claim.write(directory / DIGESTS, _DIGESTS.dump_json({**read_digests(directory), **digests}))


def digest(layer: Layer, snapshot: Snapshot) -> str:
    """The digest that a layer will have, from its files' bytes, each of which must be what the Hub published.

    Raises:
        WrongBytesError: A file's bytes are not what was published.
    """
    proof = Hashed(layer, snapshot)
    for piece in layer.pieces():
        proof.take(piece)
    return proof.digest()


def check_noted(layer: Layer, snapshot: Snapshot, noted: str) -> None:
    """Says why a registry refused a layer whose digest had been noted, if it is our side's fault.

    Raises:
        WrongBytesError: A file was altered since, or the note was.
    """
    if digest(layer, snapshot) != noted:
        raise WrongBytesError(f"the digest noted for {layer.title} is wrong", f"Remove {DIGESTS} from the download")


def _parted(files: Iterable[PublishedFile], source_of: SourceOf, own: int, max_layer_size: int) -> list[Layer]:
    ordered = sorted(files, key=lambda file: file.path)
    large = [Layer((_entry(file, source_of),)) for file in ordered if file.size >= own]
    return large + _together([_entry(file, source_of) for file in ordered if file.size < own], max_layer_size)


def _together(entries: Sequence[Entry], max_layer_size: int) -> list[Layer]:
    groups: list[list[Entry]] = []
    size = 0
    for entry in entries:
        alone = Layer((entry,)).size
        if not groups or size + alone > max_layer_size:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += alone
    return [Layer(tuple(group)) for group in groups]


def _entry(file: PublishedFile, source_of: SourceOf) -> Entry:
    return Entry(f"{MODELS}/{file.path}", source_of(file), file.size)
