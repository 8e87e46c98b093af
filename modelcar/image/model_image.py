"""An image of a model before it is made: its files in their layers, on a base. All else follows from these."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from modelcar.hub.snapshot import Snapshot
from modelcar.image import recipe
from modelcar.image.annotations import FILES, describe
from modelcar.image.base_image import BaseImage
from modelcar.image.manifest import Assembled, ModelLayer, assemble
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
    """

    snapshot: Snapshot
    layers: tuple[Layer, ...]
    base: BaseImage

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
