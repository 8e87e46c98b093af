"""An image of a model: its base's layers, the model's layers, and what is known of the model as annotations.

All layers must be in the repository before the image is written. It is written under its digest alone; its tag is
moved afterwards (modelcar.image.push), so that a tag never names something incomplete.
"""

from dataclasses import dataclass

from modelcar.image.base_image import BaseImage, Variant
from modelcar.oci import spec
from modelcar.oci.image import Image
from modelcar.oci.registry import Repository, Stored


@dataclass(frozen=True)
class ModelLayer:
    """A layer of the model that is in the repository.

    Attributes:
        descriptor: Its digest and size. It is not compressed, so this digest is its diff ID too.
        title: What is in it, for the image's history.
        key: A hash of what is in it.
    """

    descriptor: spec.Descriptor
    title: str
    key: str


def write_image(
    repository: Repository, base: BaseImage, layers: list[ModelLayer], annotations: dict[str, str]
) -> Image:
    """Writes configs, manifests and, for a base with several platforms, the index. No tag is written.

    Args:
        repository: Where the layers are, the base's too.
        base: What the model's layers go on.
        layers: The model's layers, lowest first.
        annotations: What is known of the model. They become labels of the config as well.

    Returns:
        The image, as the repository has it under its digests.
    """
    annotations = {**annotations, spec.BASE_NAME: base.name, spec.BASE_DIGEST: base.digest}
    configs = [_config(variant.config, layers, annotations).encoded() for variant in base.variants]
    repository.put_small_blobs(configs)
    manifests = [
        _manifest(variant, config, layers, annotations) for variant, config in zip(base.variants, configs, strict=True)
    ]
    repository.put_manifests(manifests)
    if len(manifests) == 1:
        return Image(manifests[0])
    index = _index(manifests, base, annotations)
    repository.put_manifest(index, index.digest)
    return Image(index, tuple(manifests))


def _manifest(variant: Variant, config: bytes, layers: list[ModelLayer], annotations: dict[str, str]) -> Stored:
    manifest = spec.Manifest(
        config=spec.describe(config, spec.CONFIG),
        layers=[*variant.layers, *(layer.descriptor for layer in layers)],
        annotations=annotations,
    )
    return Stored(manifest.encoded(), spec.MANIFEST)


def _config(base: spec.Config, layers: list[ModelLayer], annotations: dict[str, str]) -> spec.Config:
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


def _index(manifests: list[Stored], base: BaseImage, annotations: dict[str, str]) -> Stored:
    entries = [
        spec.describe(manifest.content, manifest.media_type, platform=_platform(variant.config))
        for manifest, variant in zip(manifests, base.variants, strict=True)
    ]
    return Stored(spec.Index(manifests=entries, annotations=annotations).encoded(), spec.INDEX)


def _platform(config: spec.Config) -> spec.Platform:
    variant = (config.model_extra or {}).get("variant")
    return spec.Platform(architecture=config.architecture, os=config.os, variant=variant)
