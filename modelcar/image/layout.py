"""A model's files parted into layers: each large file its own, small ones together, none too large.

Layers of whole files mean that a new commit of a model moves only the files that changed, and that several can be sent
at once. Small files, which change most, are never in a layer with weights.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.filesize import decimal

from modelcar.claim.files import OnDisk
from modelcar.claim.folder import Folder
from modelcar.errors import BuildError
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.image.recipe import MODELS
from modelcar.oci.tar_writer import Entry, Layer, Reader, tar_order

MAX_LAYER_SIZE = 20 * 10**9
"""Bytes. Quay's default MAXIMUM_LAYER_SIZE is 20G, counted over the whole upload."""

OWN_LAYER_SIZE = 1 << 20
"""Bytes of a file from which on it has a layer of its own, as long as there are layers enough."""

WEIGHTS_SIZE = 32 << 20
"""Bytes from which on files are taken to be weights, where there are too many for layers of their own: they are put
together with other weights, and tokenizers and indexes among themselves."""

MAX_LAYERS = 100
"""Docker's storage stacks 125 layers at most (moby, layer store); the rest is left to the base image."""


ReaderOf = Callable[[PublishedFile], Reader]


def on_disk(folder: Folder) -> Callable[[PublishedFile], OnDisk]:
    """Returns readers of the files of a finished download."""
    return lambda file: OnDisk(folder, file.path)


def part(snapshot: Snapshot, reader_of: ReaderOf, max_layer_size: int = MAX_LAYER_SIZE) -> list[Layer]:
    """Parts a snapshot's files into layers; the same files are always parted in the same way.

    Args:
        snapshot: The files.
        reader_of: Gives where a file's bytes come from.
        max_layer_size: The largest layer that the registry takes, in bytes.

    Raises:
        BuildError: A file alone is larger than that. A file cannot span two layers.
    """
    together = OWN_LAYER_SIZE
    sized = _sized(snapshot.files, reader_of)
    layers = _parted(sized, together, max_layer_size)
    while len(layers) > MAX_LAYERS:
        if together >= max_layer_size:
            raise BuildError(
                f"{snapshot.model} makes {len(layers)} layers of {decimal(max_layer_size)}, too many for an image",
                "Raise max_layer_size, if your registry takes larger layers (Quay: MAXIMUM_LAYER_SIZE)",
            )
        together = min(together + (together >> 2), max_layer_size)
        layers = _parted(sized, together, max_layer_size)
    for layer in layers:
        if layer.size > max_layer_size:
            name = layer.entries[0].path.removeprefix(f"{MODELS}/")
            raise BuildError(
                f"{name} makes a layer of {decimal(layer.size)}, and max_layer_size is {decimal(max_layer_size)}",
                _smaller(name),
            )
    return layers


def alone(file: PublishedFile, reader: Reader) -> Layer | None:
    """Returns the layer that a file makes, if it is large enough to make its own.

    Args:
        file: The file.
        reader: Gives its bytes.
    """
    return Layer((_entry(file, lambda _file: reader),)) if file.size >= OWN_LAYER_SIZE else None


def _smaller(name: str) -> str:
    """Returns the remedy for a file that no layer holds, as its format has one."""
    raised = "raise max_layer_size if your registry takes more (Quay: MAXIMUM_LAYER_SIZE)"
    file = name.rpartition("/")[2]
    cut = "Have it cut into smaller files, tensor by tensor: reshard=true"
    if file.startswith("consolidated") and file.endswith(".safetensors"):
        return f"{cut}; or {raised}"
    if file.endswith(".safetensors"):
        return f"{cut}; or publish it in smaller shards (save_pretrained(…, max_shard_size='5GB')), or {raised}"
    if file.endswith(".gguf"):
        return f"{cut}; or publish it in parts (llama-gguf-split --split --split-max-size 15G), or {raised}"
    return f"Leave the file out with --exclude, or {raised}"


def tightest_limit(layers: Sequence[Layer]) -> int:
    """Returns the least max_layer_size, in bytes, under which the files of these layers are parted as they are.

    Files are put together one after the other as long as they fit, so a smaller limit that still lets each layer pass
    parts nothing else. An image need not say, therefore, under which limit it was made.
    """
    return max(sum(Layer((entry,)).size for entry in layer.entries) for layer in layers)


@dataclass(frozen=True)
class _Sized:
    """A file, and the bytes of the layer that it would make alone."""

    entry: Entry
    alone: int


def _sized(files: Iterable[PublishedFile], reader_of: ReaderOf) -> list[_Sized]:
    entries = [_entry(file, reader_of) for file in sorted(files, key=lambda file: tar_order(file.path))]
    return [_Sized(entry, Layer((entry,)).size) for entry in entries]


def _parted(files: Sequence[_Sized], together: int, max_layer_size: int) -> list[Layer]:
    """Parts files: larger ones than `together` bytes alone, others with their like, up to that many bytes a layer."""
    small = [file for file in files if file.entry.size < OWN_LAYER_SIZE]
    medium = [file for file in files if OWN_LAYER_SIZE <= file.entry.size < WEIGHTS_SIZE]
    weights = [file for file in files if file.entry.size >= WEIGHTS_SIZE]
    return _together(weights, together) + _together(medium, together) + _together(small, max_layer_size)


def _together(files: Iterable[_Sized], max_layer_size: int) -> list[Layer]:
    groups: list[list[Entry]] = []
    size = 0
    for file in files:
        if not groups or size + file.alone > max_layer_size:
            groups.append([])
            size = 0
        groups[-1].append(file.entry)
        size += file.alone
    return [Layer(tuple(group)) for group in groups]


def _entry(file: PublishedFile, reader_of: ReaderOf) -> Entry:
    return Entry(f"{MODELS}/{file.place}", reader_of(file), file.size)
