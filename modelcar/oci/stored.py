"""A manifest or index as a registry keeps it."""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from modelcar.errors import UnsoundImageError
from modelcar.oci import spec

Document = TypeVar("Document", spec.Manifest, spec.Index)


@dataclass(frozen=True)
class Stored:
    """A manifest or index as a registry keeps it: the very bytes, so that its digest survives a copy.

    Attributes:
        content: The bytes.
        media_type: What they are.
        named: The digest by which others name it, where that is not by SHA-256.
    """

    content: bytes
    media_type: str
    named: str = ""

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return self.named or spec.digest_of(self.content)

    @property
    def is_index(self) -> bool:
        """Tells whether this names a manifest for each platform."""
        return self.media_type in spec.INDEXES

    def manifest(self) -> spec.Manifest:
        """The image manifest.

        Raises:
            UnsoundImageError: It is malformed, or none.
        """
        return self._read(spec.Manifest)

    def index(self) -> spec.Index:
        """The image index.

        Raises:
            UnsoundImageError: It is malformed, or none.
        """
        return self._read(spec.Index)

    def _read(self, kind: type[Document]) -> Document:
        try:
            return kind.model_validate_json(self.content)
        except ValidationError as error:
            problem = error.errors()[0]
            raise UnsoundImageError(
                f"{self.digest} is no {kind.__name__.lower()}: {problem['loc']}: {problem['msg']}"
            ) from None

    def annotations(self) -> dict[str, str]:
        """The annotations of either."""
        return (self.index().annotations if self.is_index else self.manifest().annotations) or {}


def media_type_of(header: str, content: bytes) -> str:
    """Returns what a manifest or index is: as its Content-Type says, or as it says itself where that means nothing.

    Plain file servers, and fronts that set headers of their own, send documents as JSON, text or octets.
    """
    media_type = header.partition(";")[0].strip().lower()
    return media_type if media_type in (*spec.INDEXES, *spec.MANIFESTS) else _said_by(content) or media_type


def understood(stored: Stored, name: str) -> Stored:
    """Returns a document, which must be an image.

    Args:
        stored: The document.
        name: What it was asked for by, for errors.

    Raises:
        UnsoundImageError: It is no image, or a malformed one.
    """
    if stored.media_type not in (*spec.INDEXES, *spec.MANIFESTS):
        remedy = "A web page answers there: check the registry's name" if stored.media_type == "text/html" else ""
        raise UnsoundImageError(f"{name} is no image, but {stored.media_type or 'untyped'}", remedy)
    try:
        stored.annotations()
    except UnsoundImageError as error:
        raise UnsoundImageError(f"{name} is malformed: {error}") from None
    return stored


def _said_by(content: bytes) -> str:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    named = document.get("mediaType")
    if named is not None:
        return named if named in (*spec.INDEXES, *spec.MANIFESTS) else ""
    # The field is not required in documents of OCI, and docker's have it.
    kinds = [kind for field, kind in (("manifests", spec.INDEX), ("layers", spec.MANIFEST)) if _has(document, field)]
    return kinds[0] if len(kinds) == 1 else ""


def _has(document: dict[str, Any], field: str) -> bool:
    return isinstance(document.get(field), list)
