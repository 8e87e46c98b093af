"""Sends the layers that an image lacks to all of its destinations, several at a time."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from modelcar.errors import DamagedUploadError, RegistryError
from modelcar.hub.snapshot import Snapshot
from modelcar.image import proof
from modelcar.image.base_image import BaseImage
from modelcar.image.checkpoint import Found
from modelcar.image.model_image import ModelImage, describe_layer
from modelcar.image.push import Push
from modelcar.image.read_back import read_layer
from modelcar.image.recipe import files_key
from modelcar.image.shell import layer as shell_layer
from modelcar.oci import spec, transfer
from modelcar.oci.parallel import run_together
from modelcar.oci.registry import Repository
from modelcar.oci.tar_writer import Layer
from modelcar.oci.transfer import copy_blob, send_layer
from modelcar.oci.turns import MAX_LAYERS, Turns
from modelcar.progress import Count, Progress


@dataclass
class Sent:
    """Result of a pass over an image's layers.

    Attributes:
        digests: The digests of the layers, by their keys (modelcar.image.recipe); all are in every destination.
        sent_bytes: Bytes that were read to be sent.
        unread: Keys of those that were there and were not read: what they hold is as the repository says.
    """

    digests: dict[str, str] = field(default_factory=dict)
    sent_bytes: int = 0
    unread: set[str] = field(default_factory=set)

    def tell(self) -> None:
        """Prints what was taken on trust, if anything."""
        if self.unread:
            print(
                f"{len(self.unread)} layers were there already and were not read: that they hold the model is not "
                "proved. `modelcar verify` reads them",
                flush=True,
            )


def send_layers(verb: str, image: ModelImage, pushes: Sequence[Push], noted: Mapping[str, str] | None = None) -> Sent:
    """Sends the layers that are missing, several at a time, each in one pass to all destinations that lack it.

    The layers of the base image go first, and go with them.

    Args:
        verb: What is being done, for the progress.
        image: The image.
        pushes: Where to.
        noted: Digests of layers, by their keys, that the download's own pass over the bytes gave. The registries hold
            what they receive against them, and the bytes are not hashed again.

    Raises:
        ModelcarError: The first failure; the layers that were finished stay noted in the registries.
    """
    repositories = [push.repository for push in pushes]
    with Progress(verb, _total(image.base, image.layers, pushes)) as progress:
        turns = _turns(repositories)
        bringing = _Bringing(image, pushes, noted or {}, progress.advance, turns)
        jobs = _base_jobs(image.base, pushes, progress.advance, turns)
        jobs += [partial(bringing.bring, layer, key) for layer, key in zip(image.layers, image.keys, strict=True)]
        run_together(jobs, progress.stop, repositories)
    return bringing.sent


def send_base(base: BaseImage, push: Push) -> None:
    """Sends the layers of the base image alone, where a builder sends the others."""
    with Progress("base", _total(base, (), [push])) as progress:
        jobs = _base_jobs(base, [push], progress.advance, _turns([push.repository]))
        run_together(jobs, progress.stop, [push.repository])


def _turns(repositories: Sequence[Repository]) -> Turns:
    """Makes the turns of a run: of layers that go to two registries, half as many fit into memory."""
    turns = Turns(MAX_LAYERS // max(len(repositories), 1))
    for repository in repositories:
        repository.on_pressure(turns.slow_down)
    return turns


class _Bringing:
    """Brings layers to where they are missing. Safe to use from several threads."""

    def __init__(
        self, image: ModelImage, pushes: Sequence[Push], noted: Mapping[str, str], count: Count, turns: Turns
    ) -> None:
        self.sent = Sent()
        self._snapshot: Snapshot = image.proved
        self._pushes = pushes
        self._count = count
        self._turns = turns
        self._lock = threading.Lock()
        self._signs = any(push.signs for push in pushes)
        found = [push.find_layers() for push in pushes]
        self._found = Found(
            {key: digest for one in found for key, digest in one.proved.items()},
            {key: digest for one in found for key, digest in one.claimed.items()},
        )
        self._noted = noted

    def bring(self, layer: Layer, key: str) -> None:
        """Sees to it that a layer is in every destination."""
        digest = self._find(layer, key)
        done: list[Push] = []
        lacking = [push for push in self._pushes if not digest or not push.repository.has_blob(digest)]
        if not lacking:
            self._count(layer.size)
        while lacking:
            sent = self._send(layer, key, lacking)
            done += lacking
            others = [push for push in self._pushes if push not in done]
            # A registry that claimed to have the layer has another one under that name.
            lacking = [push for push in others if sent != digest and not push.repository.has_blob(sent)]
            digest = sent
        with self._lock:
            self.sent.digests[key] = digest
            self.sent.sent_bytes += layer.size if done else 0
            if not done and not self._signs and key not in self._noted:
                self.sent.unread.add(key)

    def _find(self, layer: Layer, key: str) -> str:
        """Finds the layer's digest, if it may be relied on; empty if not."""
        if key in self._noted:
            return self._noted[key]
        if not self._signs:
            return self._found.claimed.get(key, "")
        if key in self._found.proved:
            return self._found.proved[key]
        claimed = self._found.claimed.get(key, "")
        holders = [push for push in self._pushes if claimed and push.repository.has_blob(claimed)]
        if not holders or not self._is_right(layer, key, claimed, holders[0].repository):
            return ""
        for push in holders:
            push.note(describe_layer(layer, key, claimed))
        return claimed

    def _is_right(self, layer: Layer, key: str, digest: str, repository: Repository) -> bool:
        """Reads a layer back, and tells whether it is the one that would be sent; what cannot be read is sent."""
        seen = 0

        def count(number: int) -> None:
            nonlocal seen
            seen += number
            self._count(number)

        try:
            with self._turns:
                read = read_layer(repository, describe_layer(layer, key, digest), self._snapshot.by_path, count)
        except RegistryError:
            return False
        finally:
            # It is counted once, by whoever brings it.
            self._count(-seen)
        return read.is_right and files_key(read.files) == key

    def _send(self, layer: Layer, key: str, lacking: Sequence[Push]) -> str:
        repositories = [push.repository for push in lacking]
        with self._turns.prepare():
            digest = self._send_to(repositories, layer, self._noted.get(key, ""))
        for push in lacking:
            push.note(describe_layer(layer, key, digest))
        return digest

    def _send_to(self, repositories: Sequence[Repository], layer: Layer, noted: str) -> str:
        if not noted:
            return send_layer(layer, proof.Hashed(layer, self._snapshot), repositories, self._count, self._turns)
        try:
            return send_layer(layer, transfer.Noted(noted), repositories, self._count, self._turns)
        except DamagedUploadError:
            proof.check_noted(layer, self._snapshot, noted)
            raise


def _total(base: BaseImage, layers: Sequence[Layer], pushes: Sequence[Push]) -> int:
    return sum(layer.size for layer in layers) + len(pushes) * sum(layer.size for layer in base.layers)


def _base_jobs(base: BaseImage, pushes: Sequence[Push], count: Count, turns: Turns) -> list[Callable[[], None]]:
    return [
        partial(_bring_base_layer, base, layer, push.repository, count, turns)
        for push in pushes
        for layer in base.layers
    ]


def _bring_base_layer(
    base: BaseImage, layer: spec.Descriptor, repository: Repository, count: Count, turns: Turns
) -> None:
    if repository.has_blob(layer.digest):
        count(layer.size)
    else:
        read = base.repository.read_blob if base.repository else shell_layer.read_layer
        copy_blob(layer, read, base.repository, repository, count, turns)
