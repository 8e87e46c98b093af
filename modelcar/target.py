"""Where an image is made: what its tag holds, which layers are there already, and the last step, moving the tag."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from modelcar import attachments, layers
from modelcar.annotations import RECIPE
from modelcar.checkpoint import FILES, Checkpoint
from modelcar.errors import DamagedUploadError, WrongBytesError
from modelcar.if_exists import check_tag
from modelcar.oci import spec
from modelcar.oci.base_image import BaseImage
from modelcar.oci.image import Image, ModelLayer, write_image
from modelcar.oci.layer import Layer
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.progress import Count, Progress
from modelcar.signing_key import find_signing_key
from modelcar.snapshot import Snapshot
from modelcar.transfer import PARALLEL, WORKERS, Turn, copy_blob, send_layer


class Target:
    """An image that is to be made.

    Args:
        goal: Its reference, with a tag.
        wanted: What it will say of itself (modelcar.annotations).
        if_exists: What happens to a tag that holds something else (modelcar.if_exists).

    Raises:
        TagError: The tag may not be moved.
        SigningError: There is a signing key (modelcar.signing_key) that cannot be used.
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
        """Digests of layers that were there, by their keys (modelcar.layers.key)."""
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
        if self._existing and self._signing_key and not attachments.is_signed(self.repository, self._existing.digest):
            entries = self._existing.index().manifests if self._existing.is_index else []
            platforms = tuple(self.repository.manifest(entry.digest) for entry in entries)
            self._attach(Image(self._existing, platforms), base, snapshot)

    def _attach(self, image: Image, base: BaseImage, snapshot: Snapshot) -> None:
        attachments.attach(self.repository, image, snapshot, base, self._wanted[RECIPE], self._signing_key)

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


def describe_layer(layer: Layer, digest: str, snapshot: Snapshot) -> ModelLayer:
    """A layer as the image's manifest will name it."""
    key = layers.key(layer, snapshot)
    return ModelLayer(spec.descriptor(spec.LAYER, digest, layer.size, annotations={FILES: key}), layer.title, key)


def send_layers(
    verb: str,
    base: BaseImage,
    parts: Sequence[Layer],
    snapshot: Snapshot,
    targets: Sequence[Target],
    proved: Mapping[str, str] | None = None,
) -> tuple[list[ModelLayer], int]:
    """Sends the layers that are missing, several at a time, each in one pass to all targets that lack it.

    The layers of the base image go first, and go with them.

    Args:
        verb: What is being done, for the progress.
        base: The image under the model.
        parts: The model's layers.
        snapshot: What was published.
        targets: Where to.
        proved: Digests of layers, by their keys, that a pass over the same bytes gave before; the registries hold what
            they receive against them, and the bytes are not hashed again.

    Returns:
        The layers as they are in every target now, and how many bytes were read to send them.

    Raises:
        ModelcarError: The first failure; the layers that were finished stay noted in the registries.
    """
    proved = proved or {}
    turn = threading.Semaphore(PARALLEL)
    digests = dict(proved)
    for target in targets:
        digests.update(target.known())

    def bring(layer: Layer, progress: Progress) -> tuple[ModelLayer, int]:
        key = layers.key(layer, snapshot)
        digest = digests.get(key, "")
        lacking = [target for target in targets if not digest or not target.repository.has_blob(digest)]
        if not lacking:
            progress.advance(layer.size)
            return describe_layer(layer, digest, snapshot), 0
        repositories = [target.repository for target in lacking]
        sent = _send(layer, snapshot, proved.get(key, ""), repositories, progress.advance, turn)
        placed = describe_layer(layer, sent, snapshot)
        for target in lacking:
            target.note(placed)
        return placed, layer.size

    based = [(target, layer) for target in targets for layer in base.layers]
    total = sum(layer.size for layer in parts) + sum(layer.size for _, layer in based)
    with Progress(verb, total) as progress, ThreadPoolExecutor(WORKERS) as pool:
        under = [pool.submit(_bring_base_layer, base, layer, target, progress, turn) for target, layer in based]
        jobs = [pool.submit(bring, layer, progress) for layer in parts]
        try:
            done = [job.result() for job in jobs]
            for job in under:
                job.result()
        except BaseException:
            progress.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [placed for placed, _ in done], sum(sent for _, sent in done)


def _bring_base_layer(base: BaseImage, layer: spec.Descriptor, target: Target, progress: Progress, turn: Turn) -> None:
    if target.repository.has_blob(layer.digest):
        progress.advance(layer.size)
    else:
        copy_blob(layer, base.read, base.repository, target.repository, progress.advance, turn)


def _send(
    layer: Layer, snapshot: Snapshot, proved: str, repositories: Sequence[Repository], count: Count, turn: Turn
) -> str:
    if not proved:
        return send_layer(layer, layers.Hashed(layer, snapshot), repositories, count, turn)
    try:
        return send_layer(layer, layers.Noted(proved), repositories, count, turn)
    except DamagedUploadError:
        layers.check_noted(layer, snapshot, proved)
        raise
