"""The image that a tag holds already, held against the one that would be made.

An image is there already if its digest is the one that would be made, and never because it says so of itself. Layers
whose bytes this run did not read are of two kinds: those that a statement of our own key binds to their files, and
those that the repository only claims to hold. Without a key a run goes on from either; what it makes is not signed.
With a key the second kind is read back first, so that nothing is signed of which a byte was taken on trust.
"""

from collections.abc import Mapping
from functools import cached_property

from modelcar.attestation.signer import Signer
from modelcar.attestation.signing import is_signed
from modelcar.image.checkpoint import Found, find_in_image
from modelcar.image.manifest import Assembled
from modelcar.image.model_image import ModelImage
from modelcar.oci.registry import Repository

UNREAD = "What is in its layers is not proved: no signing key vouches for it. `modelcar verify` reads them"
"""Remark on an image that is there already, where there is no key."""


class Existing:
    """The image that a tag holds.

    Args:
        repository: Where it is.
        tag: The tag.
        image: The image that would be made.
        key: What it would be signed with; None for nothing.

    Raises:
        SigningError: There is no token or no certificate to sign with.

    Attributes:
        stored: The manifest or index under the tag; None if there is none.
        found: The layers that it names.
    """

    def __init__(self, repository: Repository, tag: str, image: ModelImage, key: Signer | None) -> None:
        self.stored = repository.find_manifest(tag)
        # Asked for at once: who has no certificate is told so before any byte moves.
        self._checker = key.public if key is not None else None
        self.found = find_in_image(repository, self.stored, self._checker) if self.stored else Found()
        self._repository = repository
        self._image = image

    @cached_property
    def may_be_the_image(self) -> bool:
        """Tells whether it is the image that would be made, if its layers are what it says."""
        return self._is_the_image(self.found.claimed)

    @cached_property
    def is_the_image(self) -> bool:
        """Tells whether it is the image that would be made: with a key, only if layers need not be taken on trust."""
        return self._is_the_image(self.digests)

    @cached_property
    def is_signed(self) -> bool:
        """Tells whether all of it is signed with the key; without one nothing is to be signed."""
        checker = self._checker
        if checker is None:
            return True
        images = self.assemble().images if self.is_the_image else ()
        return bool(images) and all(is_signed(self._repository, one.digest, checker) for one in images)

    @property
    def digests(self) -> Mapping[str, str]:
        """The digests of its layers, by their keys, that may be relied on."""
        return self.found.claimed if self._checker is None else self.found.proved

    def assemble(self) -> Assembled:
        """Makes the documents of the image, which are those that the tag holds."""
        return self._image.assemble(self.digests)

    def _is_the_image(self, digests: Mapping[str, str]) -> bool:
        if self.stored is None or not set(self._image.keys) <= digests.keys():
            return False
        return self._image.assemble(digests).top.digest == self.stored.digest
