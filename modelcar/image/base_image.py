"""The image under the model: by default the tiny one in the PyPI wheel `modelcar-base-image`, else any in a registry.

KServe starts a modelcar beside the server and expects it to link `/models` into a shared place. The default base holds
one static binary that does just that, for amd64 and arm64 (https://github.com/opendatahub-io/modelcar-base-image).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import modelcar_base_image
from modelcar_base_image.constants import EMBEDDED_OCI_LAYOUT_DIR, ODH_MODELCAR_BASE_IMAGE
from pydantic import ValidationError

from modelcar.errors import BuildError, WrongBytesError
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import CHUNK_BYTES, Repository, Stored


@dataclass(frozen=True)
class Variant:
    """The base for one platform."""

    config: spec.Config
    layers: list[spec.Descriptor]


@dataclass(frozen=True)
class BaseImage:
    """What the model's layers are put on.

    Attributes:
        name: Its reference.
        digest: The digest of its index, or of its manifest where it has no index.
        variants: The base for each platform, in the order of the index.
        read: Gives the bytes of a layer, by its digest, from an offset on.
        repository: The repository it lives in, or None for the one in the wheel.
    """

    name: str
    digest: str
    variants: list[Variant]
    read: Callable[[str, int], Iterator[bytes]]
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
        return _from_layout(Path(modelcar_base_image.__file__).parent / EMBEDDED_OCI_LAYOUT_DIR)
    parsed = Reference.parse(reference)
    repository = Repository(parsed)
    top = repository.manifest(parsed.version)
    return BaseImage(
        name=reference,
        digest=top.digest,
        variants=_variants(top, repository.manifest, repository.small_blob, reference),
        read=repository.read_blob,
        repository=repository,
    )


def _from_layout(layout: Path) -> BaseImage:
    """Reads an OCI image layout, https://github.com/opencontainers/image-spec/blob/main/image-layout.md."""

    def blob(digest: str) -> Path:
        return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def document(digest: str) -> bytes:
        content = blob(digest).read_bytes()
        if spec.digest_of(content) != digest:
            raise WrongBytesError(f"{blob(digest)} is damaged", "Install the package modelcar-base-image again")
        return content

    def manifest(digest: str) -> Stored:
        content = document(digest)
        media_type = spec.INDEX if b'"manifests"' in content else spec.MANIFEST
        return Stored(content, media_type)

    def read(digest: str, offset: int) -> Iterator[bytes]:
        with blob(digest).open("rb") as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    entry = spec.Index.model_validate_json((layout / "index.json").read_bytes()).manifests[0]
    top = manifest(entry.digest)
    variants = _variants(top, manifest, document, ODH_MODELCAR_BASE_IMAGE)
    return BaseImage(ODH_MODELCAR_BASE_IMAGE, top.digest, variants, read)


def _variants(top: Stored, manifest: Callable[[str], Stored], blob: Callable[[str], bytes], name: str) -> list[Variant]:
    manifests = [manifest(entry.digest) for entry in _images(top.index())] if top.is_index else [top]
    if not manifests:
        raise BuildError(f"the base image {name} has no image for Linux", "Choose another base image")
    return [
        Variant(_config(blob(image.config.digest), image, name), [_oci_layer(layer) for layer in image.layers])
        for image in (stored.manifest() for stored in manifests)
    ]


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


def _oci_layer(layer: spec.Descriptor) -> spec.Descriptor:
    """A layer as an OCI manifest names it: docker's media types mean the same bytes."""
    oci = layer.media_type.replace("vnd.docker.image.rootfs.diff.tar.gzip", "vnd.oci.image.layer.v1.tar+gzip").replace(
        "vnd.docker.image.rootfs.diff.tar", "vnd.oci.image.layer.v1.tar"
    )
    return spec.descriptor(oci, layer.digest, layer.size)
