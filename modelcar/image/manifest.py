"""An image of a model: its base's layers, the model's layers, and what is known of the model as annotations.

All of it follows from the base, the layers' digests and the annotations, to the byte. So whoever knows these three can
tell whether an image that lies in a registry is the one that would be made, and need not believe a word of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modelcar.image.base_image import BaseImage, Variant
from modelcar.oci import spec
from modelcar.oci.registry import Repository, Stored


@dataclass(frozen=True)
class ModelLayer:
    """A layer of the model that is in the repository.

    Attributes:
        descriptor: Its digest and size. It is not compressed, so this digest is its diff ID too.
        title: What is in it, for the image's history.
    """

    descriptor: spec.Descriptor
    title: str


@dataclass(frozen=True)
class Assembled:
    """The documents of an image.

    Attributes:
        configs: The config of each platform.
        manifests: The manifest of each platform.
        top: What the tag names: the index over them or, on a base without one, the only manifest.
    """

    configs: tuple[bytes, ...]
    manifests: tuple[Stored, ...]
    top: Stored

    @property
    def images(self) -> tuple[Stored, ...]:
        """All that somebody may pull by a digest: the manifests of the platforms and, last, the top."""
        return (*self.manifests, self.top) if self.top.is_index else self.manifests


def assemble(base: BaseImage, layers: Sequence[ModelLayer], annotations: dict[str, str]) -> Assembled:
    """Makes configs, manifests and, for a base with several platforms, the index. Nothing is read or written.

    Args:
        base: What the model's layers go on.
        layers: The model's layers, lowest first.
        annotations: What is known of the model. They become labels of the config as well.
    """
    annotations = {**annotations, spec.BASE_NAME: base.name, spec.BASE_DIGEST: base.digest}
    configs = tuple(_config(variant.config, layers, annotations).encoded() for variant in base.variants)
    manifests = tuple(
        _manifest(variant, config, layers, annotations) for variant, config in zip(base.variants, configs, strict=True)
    )
    top = manifests[0] if len(manifests) == 1 else _index(manifests, base, annotations)
    return Assembled(configs, manifests, top)


def write_image(repository: Repository, image: Assembled) -> None:
    """Writes an image under its digests alone; its layers are there. No tag is written.

    The tag is moved afterwards (modelcar.image.push), so that a tag never names something incomplete.

    Args:
        repository: Where the layers are, the base's too.
        image: The image.
    """
    repository.put_small_blobs(image.configs)
    repository.put_manifests(image.manifests)
    if image.top.is_index:
        repository.put_manifest(image.top, image.top.digest)


def _manifest(variant: Variant, config: bytes, layers: Sequence[ModelLayer], annotations: dict[str, str]) -> Stored:
    manifest = spec.Manifest(
        config=spec.describe(config, spec.CONFIG),
        layers=[*variant.layers, *(layer.descriptor for layer in layers)],
        annotations=annotations,
    )
    return Stored(manifest.encoded(), spec.MANIFEST)


def _config(base: spec.Config, layers: Sequence[ModelLayer], annotations: dict[str, str]) -> spec.Config:
    created = annotations[spec.CREATED]
    labels = {**(base.config.get("Labels") or {}), **annotations}
    history = [
        {"created": created, "created_by": "modelcar", "comment": f"{annotations[spec.TITLE]}: {layer.title}"}
        for layer in layers
    ]
    return base.model_copy(
        update={
            "created": created,
            "config": {**base.config, "Labels": labels},
            "rootfs": spec.RootFs(diff_ids=[*base.rootfs.diff_ids, *(layer.descriptor.digest for layer in layers)]),
            "history": [*base.history, *history],
        }
    )


def _index(manifests: Sequence[Stored], base: BaseImage, annotations: dict[str, str]) -> Stored:
    entries = [
        spec.describe(manifest.content, manifest.media_type, platform=_platform(variant.config))
        for manifest, variant in zip(manifests, base.variants, strict=True)
    ]
    return Stored(spec.Index(manifests=entries, annotations=annotations).encoded(), spec.INDEX)


def _platform(config: spec.Config) -> spec.Platform:
    variant = (config.model_extra or {}).get("variant")
    return spec.Platform(architecture=config.architecture, os=config.os, variant=variant)
