"""An image of a model before it is made: its files in their layers, on a base. All else follows from these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from modelcar.hub.file_check import RangeReader
from modelcar.hub.reshard import Resharded, reshard
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.image import layout, recipe
from modelcar.image.annotations import FILES, describe
from modelcar.image.base_image import BaseImage, open_base_image
from modelcar.image.manifest import Assembled, ModelLayer, assemble
from modelcar.image.request import ImageRequest
from modelcar.oci import spec
from modelcar.oci.tar_writer import Layer


def describe_layer(layer: Layer, key: str, digest: str) -> spec.Descriptor:
    """Describes a layer as manifests name it.

    Args:
        layer: The layer.
        key: A hash of what is in it (modelcar.image.recipe).
        digest: Its digest.
    """
    return spec.descriptor(spec.LAYER, digest, layer.size, annotations={FILES: key})


@dataclass(frozen=True)
class ModelImage:
    """An image that is to be made, or that is held against one that was.

    Attributes:
        snapshot: The files, as the Hub published them.
        layers: The same files in layers (modelcar.image.layout).
        base: The image under them.
        resharded: What proves the files that were cut; None where none was.
    """

    snapshot: Snapshot
    layers: tuple[Layer, ...]
    base: BaseImage
    resharded: Resharded | None = None

    @classmethod
    def of(cls, snapshot: Snapshot, reader_of: Callable[[PublishedFile], RangeReader], request: ImageRequest) -> Self:
        """Parts files into layers, as an image is asked for, on the base that is asked for.

        Args:
            snapshot: The files.
            reader_of: Gives readers of their bytes.
            request: The image that is asked for.

        Raises:
            BuildError: A file is too large for a layer.
        """
        if not request.reshard:
            layers = layout.part(snapshot, reader_of, request.max_layer_size)
            return cls(snapshot, tuple(layers), open_base_image(request.base_image))
        resharded = reshard(snapshot, reader_of, request.max_layer_size)
        resharded.check()
        cut = resharded.apply(snapshot)
        layers = layout.part(cut, resharded.reader, request.max_layer_size)
        return cls(cut, tuple(layers), open_base_image(request.base_image), resharded)

    @property
    def proved(self) -> Snapshot:
        """The files with the hashes of all: for those that were cut, the published ones are read once.

        Raises:
            WrongBytesError: One of them is not what the Hub published.
        """
        return self.resharded.prove(self.snapshot) if self.resharded else self.snapshot

    @cached_property
    def recipe(self) -> str:
        """The hash of all that decides what the image will be."""
        return recipe.recipe(self.layers, self.base.digest, self.snapshot)

    @cached_property
    def annotations(self) -> dict[str, str]:
        """Annotations of the image; those about its base are added when it is assembled."""
        return describe(self.snapshot, self.recipe)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys of the layers (modelcar.image.recipe), in their order."""
        return tuple(recipe.key(layer, self.snapshot) for layer in self.layers)

    def layer_of(self, digests: Mapping[str, str]) -> dict[str, str]:
        """Returns the digest of the layer that each file is in, by the file's path in the repository.

        Args:
            digests: The digests of all layers, by their keys.
        """
        return {
            recipe.published(entry, self.snapshot).path: digests[key]
            for layer, key in zip(self.layers, self.keys, strict=True)
            for entry in layer.entries
        }

    def assemble(self, digests: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> Assembled:
        """Makes the image's documents.

        Args:
            digests: The digests of all layers, by their keys.
            annotations: What the image says of itself, where the Hub cannot be asked; None for what follows from it.
        """
        layers = [
            ModelLayer(describe_layer(layer, key, digests[key]), layer.title)
            for layer, key in zip(self.layers, self.keys, strict=True)
        ]
        return assemble(self.base, layers, dict(self.annotations if annotations is None else annotations))
