"""The image under the model: by default our own, which holds a small shell and nothing else, or any in a registry.

KServe starts the image of a model beside the server and runs `sh` in it, to link `/models` into a shared place; a
pipeline's importer does so too. What the default base's shell knows, and why it is ours: shell/README.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from modelcar.errors import BuildError, CredentialsError, RegistryError, RegistryUnwellError
from modelcar.image.shell.digests import LAYERS
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored

DEFAULT_REPOSITORY = "localhost/modelcar-base"
"""The default base is in no registry: it is made anew from what this package carries. `localhost` is what podman, too,
calls the home of images that were made on the spot."""

DEFAULT_NAME = f"{DEFAULT_REPOSITORY}:1"
LINK_AND_WAIT = "ln -sf /proc/$$/root/models /mnt/models && sleep infinity"
"""Command that KServe gives a model's image; the default base does so of itself, too."""


_CONFIGS = (spec.CONFIG, "application/vnd.docker.container.image.v1+json")
"""Configs of images; those of artifacts are of other types."""


@dataclass(frozen=True)
class Variant:
    """The base for one platform."""

    config: spec.Config
    layers: list[spec.Descriptor]


@dataclass(frozen=True)
class BaseImage:
    """The image that the model's layers are put on.

    Attributes:
        name: Its reference.
        digest: The digest of its index, or of its manifest where it has no index.
        variants: The base for each platform, in the order of the index.
        repository: The repository that its layers are in; None for the default base, whose layers are in
            modelcar.image.shell.layer.
    """

    name: str
    digest: str
    variants: list[Variant]
    repository: Repository | None = None

    @property
    def layers(self) -> list[spec.Descriptor]:
        """The layers of all platforms, each once."""
        return list({layer.digest: layer for variant in self.variants for layer in variant.layers}.values())


def open_base_image(reference: str) -> BaseImage:
    """The base image under a reference, or the default one for an empty reference.

    Raises:
        BuildError: The image cannot be a base.
        WrongBytesError: It is damaged.
        RegistryError: It cannot be read.
    """
    if not reference:
        return _default()
    parsed = Reference.parse(reference)
    if f"{parsed.registry}/{parsed.repository}" == DEFAULT_REPOSITORY:
        return _default_of(parsed)
    repository = Repository(parsed)
    top = repository.manifest(parsed.version)
    return BaseImage(
        name=reference,
        digest=top.digest,
        variants=_variants(top, repository.manifest, repository.small_blob, reference),
        repository=repository,
    )


def _default() -> BaseImage:
    variants = [_default_variant(architecture) for architecture in LAYERS]
    manifests = []
    for variant in variants:
        config = spec.describe(variant.config.encoded(), spec.CONFIG)
        manifest = spec.Manifest(config=config, layers=variant.layers).encoded()
        platform = spec.Platform(architecture=variant.config.architecture, os="linux")
        manifests.append(spec.describe(manifest, spec.MANIFEST, platform=platform))
    return BaseImage(DEFAULT_NAME, spec.digest_of(spec.Index(manifests=manifests).encoded()), variants)


def _default_variant(architecture: str) -> Variant:
    digest, size = LAYERS[architecture]
    config = spec.Config(
        architecture=architecture,
        os="linux",
        config={"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
        | {"Cmd": ["sh", "-c", LINK_AND_WAIT]},
        rootfs=spec.RootFs(diff_ids=[digest]),
        history=[{"created": "1970-01-01T00:00:00Z", "created_by": "modelcar", "comment": "a small shell"}],
    )
    return Variant(config, [spec.descriptor(spec.LAYER, digest, size)])


def _default_of(named: Reference) -> BaseImage:
    base = _default()
    if named.digest not in ("", base.digest):
        raise BuildError(
            f"{named} is the default base image of another version of modelcar", "Use the version that made the image"
        )
    return base


def _variants(top: Stored, manifest: Callable[[str], Stored], blob: Callable[[str], bytes], name: str) -> list[Variant]:
    if not top.is_index:
        return [_variant(top.manifest(), blob, name)]
    index = top.index()
    # Some tools name no platform in an index (attestations beside an image have one all the same, `unknown`); then the
    # images' own configs do.
    if any(entry.has_platform and not _is_unknown(entry) for entry in index.manifests):
        variants = [_variant(_image_of(entry, manifest, name), blob, name) for entry in _images(index)]
    else:
        entries = [entry for entry in index.manifests if entry.media_type in spec.MANIFESTS and not _is_unknown(entry)]
        images = [_image_of(entry, manifest, name) for entry in entries]
        variants = [_variant(image, blob, name) for image in images if image.config.media_type in _CONFIGS]
        variants = [variant for variant in variants if variant.config.os == "linux"]
    if not variants:
        raise BuildError(f"the base image {name} has no image for Linux", "Choose another base image")
    return variants


def _image_of(entry: spec.Descriptor, manifest: Callable[[str], Stored], name: str) -> spec.Manifest:
    try:
        return manifest(entry.digest).manifest()
    except (CredentialsError, RegistryUnwellError):
        raise
    except RegistryError as error:
        platform = f" for {entry.platform.os}/{entry.platform.architecture}" if entry.platform else ""
        raise BuildError(
            f"the base image {name} is not whole, its image{platform} cannot be read: {error.what}",
            f"Mirror it with all its platforms, or name one that is there by its digest ({entry.digest} is not)",
        ) from None


def _variant(image: spec.Manifest, blob: Callable[[str], bytes], name: str) -> Variant:
    return Variant(_config(blob(image.config.digest), image, name), [_oci_layer(layer) for layer in image.layers])


def _config(content: bytes, image: spec.Manifest, name: str) -> spec.Config:
    try:
        config = spec.Config.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]
        raise BuildError(
            f"the base image {name} has no image's config: {problem['loc']}: {problem['msg']}", "Choose another"
        ) from None
    if len(config.rootfs.diff_ids) != len(image.layers) or not isinstance(config.config.get("Labels") or {}, dict):
        raise BuildError(f"the config of the base image {name} does not fit its manifest", "Choose another base image")
    return config


def _images(index: spec.Index) -> list[spec.Descriptor]:
    """The index's images; buildx also lists attestations there, for the platform `unknown`."""
    return [entry for entry in index.manifests if entry.platform is not None and entry.platform.os == "linux"]


def _is_unknown(entry: spec.Descriptor) -> bool:
    return entry.platform is not None and entry.platform.os == "unknown"


def _oci_layer(layer: spec.Descriptor) -> spec.Descriptor:
    """A layer as an OCI manifest names it: docker's media types mean the same bytes."""
    oci = layer.media_type.replace("vnd.docker.image.rootfs.diff.tar.gzip", "vnd.oci.image.layer.v1.tar+gzip").replace(
        "vnd.docker.image.rootfs.diff.tar", "vnd.oci.image.layer.v1.tar"
    )
    return spec.descriptor(oci, layer.digest, layer.size)
