"""Sends the layers that an image lacks to all of its targets, several at a time."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from modelcar.errors import DamagedUploadError
from modelcar.hub.snapshot import Snapshot
from modelcar.image import proof, recipe
from modelcar.image.annotations import FILES
from modelcar.image.base_image import BaseImage
from modelcar.image.manifest import ModelLayer
from modelcar.image.push import Target
from modelcar.image.shell.layer import read_layer
from modelcar.oci import spec, transfer
from modelcar.oci.registry import Repository
from modelcar.oci.tar_writer import Layer
from modelcar.oci.transfer import PARALLEL, WORKERS, Turn, copy_blob, send_layer
from modelcar.progress import Count, Progress


def describe_layer(layer: Layer, digest: str, snapshot: Snapshot) -> ModelLayer:
    """A layer as the image's manifest will name it."""
    key = recipe.key(layer, snapshot)
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
        key = recipe.key(layer, snapshot)
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
        read = base.repository.read_blob if base.repository else read_layer
        copy_blob(layer, read, base.repository, target.repository, progress.advance, turn)


def _send(
    layer: Layer, snapshot: Snapshot, proved: str, repositories: Sequence[Repository], count: Count, turn: Turn
) -> str:
    if not proved:
        return send_layer(layer, proof.Hashed(layer, snapshot), repositories, count, turn)
    try:
        return send_layer(layer, transfer.Noted(proved), repositories, count, turn)
    except DamagedUploadError:
        proof.check_noted(layer, snapshot, proved)
        raise
