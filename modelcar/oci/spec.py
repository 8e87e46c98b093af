"""The documents of the OCI image specification, checked when they are read and written byte-stably.

See https://github.com/opencontainers/image-spec. Fields that are not named here are kept as they are.
"""

import hashlib
import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = (INDEX, DOCKER_INDEX)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)

_OCI = "org.opencontainers.image."
SOURCE, REVISION, LICENCES, TITLE = _OCI + "source", _OCI + "revision", _OCI + "licenses", _OCI + "title"
CREATED, BASE_NAME, BASE_DIGEST = _OCI + "created", _OCI + "base.name", _OCI + "base.digest"
"""Annotations with a meaning: https://github.com/opencontainers/image-spec/blob/main/annotations.md."""

_DIGEST = r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"
Digest = Annotated[str, Field(pattern=f"^{_DIGEST}$")]
"""A digest. We write SHA-256 alone; others may use SHA-512, which the specification registers as well."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)

    def encoded(self) -> bytes:
        """Compact JSON with the fields in the order of the specification: the same document gives the same bytes."""
        document = self.model_dump(by_alias=True, exclude_none=True)
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


class Platform(_Document):
    """Platform that an image runs on."""

    architecture: str
    os: str
    variant: str | None = None


class Descriptor(_Document):
    """A blob or manifest: what it is, its digest and its size in bytes."""

    media_type: str = Field(alias="mediaType")
    digest: Digest
    size: Annotated[int, Field(ge=0)]
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    artifact_type: str | None = Field(None, alias="artifactType")

    @property
    def has_platform(self) -> bool:
        """Tells whether it names an architecture and a system, as OpenShift asks of each entry of an index."""
        return self.platform is not None and bool(self.platform.architecture and self.platform.os)


class Manifest(_Document):
    """An image for one platform: its config and its layers, lowest first; or what is attached to its subject."""

    schema_version: int = Field(2, alias="schemaVersion")
    media_type: str = Field(MANIFEST, alias="mediaType")
    artifact_type: str | None = Field(None, alias="artifactType")
    config: Descriptor
    layers: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Index(_Document):
    """An image for several platforms: a manifest for each."""

    schema_version: int = Field(2, alias="schemaVersion")
    media_type: str = Field(INDEX, alias="mediaType")
    manifests: list[Descriptor]
    annotations: dict[str, str] | None = None


class RootFs(_Document):
    """The digests of the layers' uncompressed tar files."""

    type: str = "layers"
    diff_ids: list[Digest]


class Config(_Document):
    """Configuration by which a runtime starts an image, and how the image came about."""

    created: str | None = None
    architecture: str
    os: str
    config: dict[str, Any] = Field(default_factory=dict)
    rootfs: RootFs
    history: list[dict[str, Any]] = Field(default_factory=list)


def digest_of(content: bytes) -> str:
    """Returns the digest under which a registry keeps this content."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def is_digest(text: str) -> bool:
    """Tells whether a text is a digest, and no tag."""
    return re.fullmatch(_DIGEST, text) is not None


def is_digest_of(digest: str, content: bytes) -> bool:
    """Tells whether a digest, by whichever algorithm, is that of some content."""
    algorithm, _, expected = digest.partition(":")
    return algorithm in ("sha256", "sha512") and hashlib.new(algorithm, content).hexdigest() == expected


class Hash:
    """A hash of bytes that arrive one after another.

    Args:
        like: A digest by the same algorithm.
    """

    def __init__(self, like: str) -> None:
        self._algorithm = like.partition(":")[0]
        self._hash = hashlib.new(self._algorithm)
        self.update = self._hash.update

    @property
    def digest(self) -> str:
        """The digest of what came so far."""
        return f"{self._algorithm}:{self._hash.hexdigest()}"


def contradicts(digest: str, content: bytes) -> bool:
    """Tells whether a digest is that of other bytes; one of an unknown algorithm says nothing of any."""
    return is_digest(digest) and not is_digest_of(digest, content)


def descriptor(media_type: str, digest: str, size: int, **fields: Any) -> Descriptor:
    """A descriptor for a blob that is elsewhere."""
    return Descriptor.model_validate({"mediaType": media_type, "digest": digest, "size": size, **fields})


def describe(content: bytes, media_type: str, **fields: Any) -> Descriptor:
    """A descriptor for a document that is at hand."""
    return descriptor(media_type, digest_of(content), len(content), **fields)
