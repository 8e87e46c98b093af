"""Inspection of an image by what it says of itself and what is attached to it. Nothing of it is proved: see verify."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from modelcar.attestation import bundle, cosign, dsse, model_signing, sbom
from modelcar.errors import BuildError, ModelcarError
from modelcar.hub.client import DEFAULT_REVISION, Hub
from modelcar.hub.environment import HUB
from modelcar.image import annotations
from modelcar.oci import referrers, spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored

_KINDS = {
    cosign.SIMPLE_SIGNING: "signature",
    model_signing.MEDIA_TYPE: "signature of the files",
    dsse.IN_TOTO: "provenance",
    sbom.MEDIA_TYPE: "inventory",
    dsse.MEDIA_TYPE: "signed statement",
    bundle.MEDIA_TYPE: "signed bundle",
}
"""Kinds of attachments, by the media type of their content."""


@dataclass(frozen=True)
class Layer:
    """Layer of an image.

    Attributes:
        title: What it holds.
        digest: Its digest.
        bytes: Its size.
    """

    title: str
    digest: str
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """An image, as it says of itself.

    Attributes:
        image: The image, pinned to its digest.
        model: The model's id.
        source: Where it comes from.
        commit: The commit, or the hash of its list of files.
        licence: The licence.
        created: When the commit was made.
        bytes: Bytes of the layers of one platform.
        weights_bytes: Bytes of the model's files.
        form: `modelcar` for tar layers, `artifact` for raw ones.
        platforms: The platforms.
        base: The image under the model.
        model_format: The format as KServe calls it.
        quantization: How the weights are quantized.
        recipe: The hash of what decided, with the commit, what it is.
        attached: What is attached to it, each kind with its number.
        layers: The layers of one platform, in order.
    """

    image: str
    model: str
    source: str
    commit: str
    licence: str
    created: str
    bytes: int
    weights_bytes: int
    form: str
    platforms: tuple[str, ...]
    base: str
    model_format: str
    quantization: str
    recipe: str
    attached: dict[str, int]
    layers: tuple[Layer, ...]


def inspect_image(image: str) -> Inspection:
    """Reads an image's manifests and the list of what is attached to it.

    Raises:
        RegistryError: It cannot be read.
        BuildError: It does not say which model it holds.
    """
    reference = Reference.parse(image)
    with Repository(reference) as repository:
        stored = repository.manifest(reference.version)
        said = stored.annotations()
        if annotations.MODEL not in said:
            raise BuildError(
                f"{reference.at(stored.digest)} does not say which model it holds", "Name one that this project made"
            )
        platforms = _platforms(stored)
        manifest = (repository.manifest(platforms[0][1]) if platforms else stored).manifest()
        attached = Counter(_attachments(repository, stored))
    weights = said.get(annotations.SIZE, "")
    return Inspection(
        image=str(reference.at(stored.digest)),
        model=said[annotations.MODEL],
        source=said.get(spec.SOURCE, ""),
        commit=said.get(spec.REVISION, ""),
        licence=said.get(spec.LICENCES, ""),
        created=said.get(spec.CREATED, ""),
        bytes=sum(layer.size for layer in manifest.layers),
        weights_bytes=int(weights) if weights.isascii() and weights.isdigit() else 0,
        form="modelcar" if all("tar" in layer.media_type for layer in manifest.layers) else "artifact",
        platforms=tuple(name for name, _ in platforms),
        base=said.get(spec.BASE_NAME, ""),
        model_format=said.get(annotations.MODEL_FORMAT, ""),
        quantization=said.get(annotations.QUANTIZATION, ""),
        recipe=said.get(annotations.RECIPE, ""),
        attached=dict(attached),
        layers=tuple(
            Layer((layer.annotations or {}).get(spec.TITLE, "of the base"), layer.digest, layer.size)
            for layer in manifest.layers
        ),
    )


def newer_commit(found: Inspection) -> str:
    """Returns the commit that the Hub's main branch has now; the image's own if it has not moved.

    Raises:
        HubError: The Hub does not tell.
    """
    with Hub() as hub:
        return hub.snapshot(found.model, DEFAULT_REVISION).commit


def hub_state(found: Inspection) -> tuple[str, str]:
    """Returns whether the Hub is ahead: `same`, `ahead` or `unknown`, and in words."""
    if not found.source.startswith(f"{HUB}/"):
        return "unknown", f"not from there: {found.source}"
    try:
        commit = newer_commit(found)
    except ModelcarError as error:
        return "unknown", f"not known: {error.what}"
    if commit == found.commit:
        return "same", f"{DEFAULT_REVISION} is at this commit"
    return "ahead", f"{DEFAULT_REVISION} is at {commit}"


def differences(one: Inspection, other: Inspection) -> Iterator[tuple[str, str, str]]:
    """Yields what differs between two images: the name of it, and what it is in each."""
    names = ("model", "commit", "licence", "created", "form", "base", "model_format", "quantization", "recipe")
    for name in names:
        if getattr(one, name) != getattr(other, name):
            yield name.replace("_", " "), getattr(one, name) or "-", getattr(other, name) or "-"
    before, after = ({layer.title: layer for layer in image.layers} for image in (one, other))
    for title in dict.fromkeys((*before, *after)):
        left, right = before.get(title), after.get(title)
        if (left and left.digest) != (right and right.digest):
            yield title, left.digest if left else "-", right.digest if right else "-"


def _platforms(stored: Stored) -> list[tuple[str, str]]:
    if not stored.is_index:
        return []
    entries = [entry for entry in stored.index().manifests if entry.platform is not None]
    return [(f"{one.platform.os}/{one.platform.architecture}", one.digest) for one in entries if one.platform]


def _attachments(repository: Repository, stored: Stored) -> Iterator[str]:
    for one in referrers.each(repository, stored.digest):
        for layer in one.stored.manifest().layers:
            yield _KINDS.get(layer.media_type, layer.media_type)
