"""An image as its registry has it, of which nothing is believed yet."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelcar.errors import UnsoundImageError, WrongBytesError
from modelcar.image import annotations
from modelcar.image.base_image import BaseImage
from modelcar.image.recipe import RECIPE_VERSION
from modelcar.oci import spec
from modelcar.oci.registry import Repository, Stored
from modelcar.steps.verify.result import Link, broken, not_proved, proved

MAX_PLATFORMS = 64
MAX_LAYERS = 1000
"""Layers of all platforms together. Docker's storage stacks some 125 in an image."""

_SAID = (
    annotations.MODEL,
    annotations.RECIPE,
    spec.REVISION,
    spec.CREATED,
    spec.TITLE,
    spec.BASE_DIGEST,
    spec.BASE_NAME,
)


@dataclass(frozen=True)
class FoundImage:
    """An image as its registry has it.

    Attributes:
        repository: Where it is.
        top: What the reference names.
        said: What it says of itself.
        manifests: The manifests of its platforms.
    """

    repository: Repository
    top: Stored
    said: dict[str, str]
    manifests: tuple[Stored, ...]

    @property
    def model(self) -> str:
        """The model that it says to hold."""
        return self.said[annotations.MODEL]

    @property
    def commit(self) -> str:
        """The commit that it says to hold."""
        return self.said[spec.REVISION]

    @property
    def layers(self) -> dict[str, spec.Descriptor]:
        """The layers of all platforms, by their digests, each once."""
        return {layer.digest: layer for stored in self.manifests for layer in stored.manifest().layers}

    def model_layers(self, base: BaseImage | None) -> Sequence[spec.Descriptor]:
        """Returns the layers above the base's, lowest first: of the first platform, for all must have the same.

        Args:
            base: The base; None where it could not be read, and the image's own word must do.
        """
        layers = self.manifests[0].manifest().layers
        if base is None:
            return [layer for layer in layers if annotations.FILES in (layer.annotations or {})]
        return layers[len(base.variants[0].layers) :]


def read_image(repository: Repository, top: Stored) -> tuple[FoundImage | None, Link]:
    """Reads the manifests of an image; None if there is nothing to go on with, and why."""
    said = top.annotations()
    if not set(_SAID) <= said.keys():
        return None, broken("image", "it does not say which model it holds: no image of this project")
    version = said.get(annotations.VERSION, "1")
    if version != str(RECIPE_VERSION):
        remedy = "verify it with that version, or make it anew"
        return None, not_proved("image", f"it says it is of recipe {version}, and this is {RECIPE_VERSION}: {remedy}")
    try:
        manifests = _manifests(repository, top)
        if sum(len(stored.manifest().layers) for stored in manifests) > MAX_LAYERS:
            raise UnsoundImageError(f"it has more than {MAX_LAYERS} layers")
    except (WrongBytesError, UnsoundImageError) as error:
        return None, broken("image", str(error))
    platforms = f"{len(manifests)} platform{'s' * (len(manifests) > 1)}"
    detail = f"{top.digest}, {platforms}, of {said[annotations.MODEL]}"
    return FoundImage(repository, top, said, manifests), proved("image", detail)


def _manifests(repository: Repository, top: Stored) -> tuple[Stored, ...]:
    if not top.is_index:
        return (top,)
    entries = top.index().manifests
    if not 0 < len(entries) <= MAX_PLATFORMS:
        raise UnsoundImageError(f"its index names {len(entries)} manifests")
    manifests = tuple(repository.manifest(entry.digest) for entry in entries)
    if any(stored.is_index for stored in manifests):
        raise UnsoundImageError("its index names another index")
    return manifests
