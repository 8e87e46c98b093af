"""A manifest or index as a registry keeps it."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from modelcar.errors import RegistryError
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
            RegistryError: It is malformed, or none.
        """
        return self._read(spec.Manifest)

    def index(self) -> spec.Index:
        """The image index.

        Raises:
            RegistryError: It is malformed, or none.
        """
        return self._read(spec.Index)

    def _read(self, kind: type[Document]) -> Document:
        try:
            return kind.model_validate_json(self.content)
        except ValidationError as error:
            problem = error.errors()[0]
            raise RegistryError(
                f"{self.digest} is no {kind.__name__.lower()}: {problem['loc']}: {problem['msg']}"
            ) from None

    def annotations(self) -> dict[str, str]:
        """The annotations of either."""
        return (self.index().annotations if self.is_index else self.manifest().annotations) or {}
