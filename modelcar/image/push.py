"""Where an image is made: what its tag holds, which layers are there already, and the last step, moving the tag."""

from collections.abc import Sequence

from modelcar.attestation import attach
from modelcar.attestation.keys import find_signing_key
from modelcar.errors import WrongBytesError
from modelcar.hub.snapshot import Snapshot
from modelcar.image.annotations import RECIPE
from modelcar.image.base_image import BaseImage
from modelcar.image.checkpoint import Checkpoint
from modelcar.image.manifest import ModelLayer, write_image
from modelcar.image.tag_policy import check_tag
from modelcar.oci.image import Image
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored


class Target:
    """An image that is to be made.

    Args:
        goal: Its reference, with a tag.
        wanted: What it will say of itself (modelcar.image.annotations).
        if_exists: What happens to a tag that holds something else (modelcar.image.tag_policy).

    Raises:
        TagError: The tag may not be moved.
        SigningError: There is a signing key (modelcar.attestation.keys) that cannot be used.
    """

    def __init__(self, goal: Reference, wanted: dict[str, str], if_exists: str = "update") -> None:
        self.goal = goal
        self.repository = Repository(goal, push=True)
        self._wanted = wanted
        self._if_exists = if_exists
        self._signing_key = find_signing_key()
        self._existing = self.repository.find_manifest(goal.tag)
        self._checkpoint = Checkpoint(self.repository, goal.tag)
        if self.unchanged is None:
            check_tag(goal, self._existing, wanted, if_exists)

    @property
    def unchanged(self) -> Reference | None:
        """The image under the tag, if it is the very one that would be made: the same commit by the same recipe."""
        if self._existing is None:
            return None
        same = self._wanted.items() <= self._existing.annotations().items()
        return self.goal.at(self._existing.digest) if same else None

    def known(self) -> dict[str, str]:
        """Digests of layers that were there, by their keys (modelcar.image.recipe.key)."""
        return {key: layer.digest for key, layer in self._checkpoint.find(self._existing).items()}

    def note(self, layer: ModelLayer) -> None:
        """Remembers, in the registry, a layer that is there now."""
        self._checkpoint.add(layer.descriptor)

    def write(self, base: BaseImage, placed: list[ModelLayer], snapshot: Snapshot) -> Stored:
        """Writes the image over its layers, all of which are there, and what is attached to it; the tag stays.

        Raises:
            TagError: The tag holds something by now that it did not hold when this began, and may not be moved.
            SigningError: The image is to be signed, and the registry takes no signature.
        """
        written = write_image(self.repository, base, placed, self._wanted)
        self._attach(written, base, snapshot)
        held = self.repository.find_manifest(self.goal.tag)
        if held is None or held.digest != written.top.digest:
            check_tag(self.goal, held, self._wanted, self._if_exists)
        return written.top

    def sign_unchanged(self, base: BaseImage, snapshot: Snapshot) -> None:
        """Signs the image under the tag, if it is to be signed and nobody did."""
        if self._existing and self._signing_key and not attach.is_signed(self.repository, self._existing.digest):
            entries = self._existing.index().manifests if self._existing.is_index else []
            platforms = tuple(self.repository.manifest(entry.digest) for entry in entries)
            self._attach(Image(self._existing, platforms), base, snapshot)

    def _attach(self, image: Image, base: BaseImage, snapshot: Snapshot) -> None:
        attach.attach(self.repository, image, snapshot, base.name, base.digest, self._wanted[RECIPE], self._signing_key)

    def move_tag(self, written: Stored) -> Reference:
        """Moves the tag to an image that was written.

        Raises:
            WrongBytesError: The tag holds something else afterwards.
        """
        self.repository.put_manifest(written, self.goal.tag)
        arrived = self.repository.manifest(self.goal.tag).digest
        if arrived != written.digest:
            raise WrongBytesError(f"{self.goal} is {arrived}, not {written.digest}", "Did another run write this tag?")
        self._checkpoint.remove(written)
        return self.goal.at(written.digest)


def publish(
    targets: Sequence[Target], base: BaseImage, placed: list[ModelLayer], snapshot: Snapshot
) -> list[Reference]:
    """Writes the image to every target, and moves the tags only then; gives what each tag holds now.

    Args:
        targets: Where to; those that hold it already stay as they are.
        base: The image under the model.
        placed: The model's layers, all of which are there.
        snapshot: What was published.

    Raises:
        TagError: A tag may not be moved; none was.
        SigningError: A registry takes no signature, and there is a key to sign with.
        WrongBytesError: A tag holds something else afterwards.
    """
    written = {target.goal: target.write(base, placed, snapshot) for target in targets if target.unchanged is None}
    for target in targets:
        if target.unchanged is not None:
            target.sign_unchanged(base, snapshot)
    return [target.unchanged or target.move_tag(written[target.goal]) for target in targets]
