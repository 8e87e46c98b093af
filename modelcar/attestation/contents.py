"""The makings of an image, from which all follows that is attached to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import modelcar
from modelcar.attestation import provenance, sbom
from modelcar.hub.snapshot import Snapshot

Json = dict[str, Any]


@dataclass(frozen=True)
class Contents:
    """The makings of an image.

    Attributes:
        snapshot: The files in it, as the Hub published them.
        base_name: The image under them.
        base_digest: Its digest.
        recipe: The hash of all that decides it (modelcar.image.recipe).
        layers: The digest of the layer that each file is in, by the file's path.
        by_hub: Whether the Hub told all of the snapshot, and not a statement its files alone.
        hashes: The SHA-256 of the files that were read, by their places in /models.
    """

    snapshot: Snapshot
    base_name: str
    base_digest: str
    recipe: str
    layers: Mapping[str, str]
    by_hub: bool = True
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Returns what the image is called in statements about it."""
        return provenance.model_url(self.snapshot.model, self.snapshot.commit)

    def provenance(self, version: str = modelcar.__version__) -> Json:
        """Returns the predicate of its provenance, as some version of this software writes it."""
        return provenance.provenance(self.snapshot, self.base_name, self.base_digest, self.recipe, self.layers, version)

    def inventory(self, image_digest: str, version: str = modelcar.__version__) -> Json:
        """Returns its bill of materials, as some version of this software writes it."""
        return sbom.inventory(self.snapshot, self.base_name, self.base_digest, image_digest, version)

    def statements(self, image_digest: str) -> list[Json]:
        """Returns the in-toto statements on the image."""
        return [
            provenance.statement(provenance.PREDICATE, self.provenance(), self.name, image_digest),
            provenance.statement(sbom.PREDICATE, self.inventory(image_digest), self.name, image_digest),
        ]
