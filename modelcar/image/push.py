"""Push of an image: what its tag holds, which layers are there already, and the last step, moving the tag."""

from collections.abc import Mapping, Sequence
from functools import partial

from modelcar.attestation.attach import attach
from modelcar.attestation.contents import Contents
from modelcar.attestation.signer import find_signer
from modelcar.image.checkpoint import Checkpoint, Found
from modelcar.image.existing import UNREAD, Existing
from modelcar.image.file_hashes import file_hashes
from modelcar.image.manifest import Assembled, write_image
from modelcar.image.model_image import ModelImage
from modelcar.image.tag_policy import check_tag
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored


class Push:
    """An image that is to be made at a destination.

    Args:
        destination: Its reference, with a tag.
        image: The image.
        if_exists: What happens to a tag that holds something else (modelcar.image.tag_policy).

    Attributes:
        unchanged: The image under the tag, if it is the very one that would be made; None if it is not, or if that
            cannot be told without reading layers and there is a key, which signs nothing unread.
        stays: Whether the tag need not move; after `write`, because what it holds has been read and is right.

    Raises:
        TagError: The tag may not be moved.
        SigningError: What there is to sign with (modelcar.attestation.signer) cannot be used.
    """

    def __init__(self, destination: Reference, image: ModelImage, if_exists: str = "update") -> None:
        self.destination = destination
        self.repository = Repository(destination, push=True)
        self.image = image
        self._if_exists = if_exists
        self._signer = find_signer()
        self._existing = Existing(self.repository, destination.tag, image, self._signer)
        self._checkpoint = Checkpoint(self.repository, destination.tag, self._signer)
        held = self._existing.stored
        self.unchanged = destination.at(held.digest) if held and self._existing.is_the_image else None
        self.stays = self.unchanged is not None
        if not self.stays and not self._existing.may_be_the_image:
            check_tag(destination, held, image.annotations, if_exists)

    @property
    def signs(self) -> bool:
        """Tells whether it is signed, so that nothing may be taken on trust."""
        return self._signer is not None

    @property
    def caveat(self) -> str:
        """Says, of an unchanged image, what is not proved of it; empty for nothing."""
        return "" if self.signs else f". {UNREAD}"

    def find_layers(self) -> Found:
        """Finds the layers that the repository has already, or says to have."""
        noted, held = self._checkpoint.find_in_note(), self._existing.found
        return Found({**held.proved, **noted.proved}, {**held.claimed, **noted.claimed})

    def note(self, layer: spec.Descriptor) -> None:
        """Remembers, in the registry, a layer that is there now; with a key, one of which every byte is proved."""
        self._checkpoint.add(layer)

    def write(self, digests: Mapping[str, str]) -> Assembled:
        """Writes the image over its layers, all of which are there, and what is attached to it; the tag stays.

        Args:
            digests: The digests of all layers, by their keys.

        Raises:
            TagError: The tag holds something by now that it did not hold when this began, and may not be moved.
            SigningError: The image is to be signed, and the registry takes no signature.
        """
        written = self.image.assemble(digests)
        write_image(self.repository, written)
        self._attach(written, digests)
        held = self.repository.find_manifest(self.destination.tag)
        self.stays = held is not None and held.digest == written.top.digest
        if not self.stays:
            check_tag(self.destination, held, self.image.annotations, self._if_exists)
        return written

    def sign_unchanged(self) -> None:
        """Sees to it that the image under the tag is signed, if there is a key."""
        if self.signs:
            self._attach(self._existing.assemble(), self._existing.digests)

    def _attach(self, written: Assembled, digests: Mapping[str, str]) -> None:
        base = self.image.base
        contents = Contents(self.image.proved, base.name, base.digest, self.image.recipe, self.image.layer_of(digests))
        hashes = partial(file_hashes, self.repository, self.image, digests)
        attach(self.repository, written.images, contents, hashes, self._signer)

    def move_tag(self, written: Stored) -> Reference:
        """Moves the tag to an image that was written, unless it is there already.

        Raises:
            WrongBytesError: The tag holds something else afterwards.
        """
        if not self.stays:
            held = self._existing.stored
            self.repository.put_tag(written, self.destination.tag, held.digest if held else "")
        self._checkpoint.remove(written)
        return self.destination.at(written.digest)


def publish(pushes: Sequence[Push], digests: Mapping[str, str]) -> list[Reference]:
    """Writes the image to every destination, and moves the tags only then; gives what each tag holds now.

    Args:
        pushes: Where to; those that hold it already stay as they are.
        digests: The digests of the model's layers, by their keys, all of which are there.

    Raises:
        TagError: A tag may not be moved; none was.
        SigningError: A registry takes no signature, and there is a key to sign with.
        WrongBytesError: A tag holds something else afterwards.
    """
    written = {push.destination: push.write(digests) for push in pushes if push.unchanged is None}
    for push in pushes:
        if push.unchanged is not None:
            push.sign_unchanged()
    return [push.unchanged or push.move_tag(written[push.destination].top) for push in pushes]
