"""What of an image is in a registry already: in the image that its tag holds, and in what a broken run left there.

While an image is made, its finished layers stand in a manifest of their own beside the tag. So a run that was killed is
taken up by the next, on any machine; and a registry that collects what no manifest names (Quay: after an hour) keeps
them. Layers are known by the hash of their files' published hashes, without reading a byte.
"""

import threading

from modelcar.errors import CredentialsError, RegistryError, WrongBytesError
from modelcar.image.annotations import FILES
from modelcar.oci import spec
from modelcar.oci.registry import Repository, Stored

_SUFFIX = ".partial"
_LONGEST_TAG = 128
_CONFIG = b"{}"


class Checkpoint:
    """The finished layers of an image that is being made. Safe to use from several threads.

    Args:
        repository: Where the image is made.
        tag: The tag that it will have.
    """

    def __init__(self, repository: Repository, tag: str) -> None:
        self._repository = repository
        self._tag = tag[: _LONGEST_TAG - len(_SUFFIX)] + _SUFFIX
        self._lock = threading.Lock()
        self._done: dict[str, spec.Descriptor] = {}
        self._noted: frozenset[str] = frozenset()

    def find(self, image: Stored | None) -> dict[str, spec.Descriptor]:
        """The layers that the repository has, by their keys.

        Args:
            image: What the image's tag holds now, if anything.
        """
        known = _layers(self._repository, image)
        self._done = _layers(self._repository, self._note())
        return {**known, **self._done}

    def _note(self) -> Stored | None:
        """What stands under the note's tag. It only saves time, so one that a registry's full disk damaged is none."""
        try:
            return self._repository.find_manifest(self._tag)
        except CredentialsError:
            raise
        except (RegistryError, WrongBytesError):
            return None

    def add(self, layer: spec.Descriptor) -> None:
        """Notes a finished layer, in the registry."""
        self._done[_key(layer)] = layer
        with self._lock:
            # Layers that end at the same time are noted together, by the first of them.
            if _key(layer) in self._noted:
                return
            done = dict(self._done)
            if not self._noted:
                self._repository.put_small_blob(_CONFIG)
            manifest = spec.Manifest(
                config=spec.describe(_CONFIG, spec.CONFIG), layers=list(done.values()), annotations={}
            )
            self._repository.put_manifest(Stored(manifest.encoded(), spec.MANIFEST), self._tag)
            self._noted = frozenset(done)

    def remove(self, image: Stored) -> None:
        """Removes the note, now that the image is made; where the registry removes nothing it names the image."""
        if not self._done:
            return
        stored = self._note()
        if stored is None or stored.digest == image.digest:
            return
        if not (_is_note(stored) and self._removed(stored)):
            self._repository.put_manifest(image, self._tag)

    def _removed(self, note: Stored) -> bool:
        """Removes the note, and looks: OpenShift's registry answers that it did, and keeps the tag."""
        try:
            return self._repository.delete_manifest(note.digest) and self._note() is None
        except RegistryError:
            return False


def _is_note(stored: Stored) -> bool:
    """Whether this is a note, and not an image that an earlier run put in its place: others may name that one."""
    return not stored.is_index and stored.manifest().config.digest == spec.digest_of(_CONFIG)


def _layers(repository: Repository, stored: Stored | None) -> dict[str, spec.Descriptor]:
    if stored is None:
        return {}
    if stored.is_index:
        entries = stored.index().manifests
        stored = repository.find_manifest(entries[0].digest) if entries else None
    layers = stored.manifest().layers if stored else []
    return {_key(layer): layer for layer in layers if _key(layer)}


def _key(layer: spec.Descriptor) -> str:
    return (layer.annotations or {}).get(FILES, "")
