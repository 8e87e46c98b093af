"""Parts of an image that a registry has already: in the image of its tag, and in what a broken run left there.

While an image is made, its finished layers stand in a manifest of their own beside the tag. So a run that was killed is
taken up by the next, on any machine; and a registry that collects what no manifest names (Quay: after an hour) keeps
them. Layers are known by the hash of their files' published hashes, without reading a byte.

Whoever may write to the repository can write such a note, and such an image. So what is found is of two kinds: proved,
by a signature of our own key, and claimed.
"""

import threading
from dataclasses import dataclass, field
from http import HTTPStatus

from modelcar.attestation import layer_note
from modelcar.attestation.documents import signed_provenance
from modelcar.attestation.keys import SigningKey
from modelcar.attestation.signer import Checker, Signer
from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError, WrongBytesError
from modelcar.image.annotations import FILES, folder_of_image
from modelcar.image.recipe import files_key
from modelcar.oci import spec
from modelcar.oci.registry import Repository, Stored

_SUFFIX = ".partial"
_MAX_TAG_CHARS = 128
_CONFIG = b"{}"
_IMMUTABLE = frozenset({400, 403, 405, 409, 412})
"""Answers of registries to a tag that must not be written again: ECR 400, Artifactory 403, Azure 405, Quay 409, Harbor
412.
"""


@dataclass(frozen=True)
class Found:
    """Digests of layers, by their keys (modelcar.image.recipe).

    Attributes:
        proved: Those that we have signed; empty for who does not sign.
        claimed: All that the repository names, whoever wrote it.
    """

    proved: dict[str, str] = field(default_factory=dict)
    claimed: dict[str, str] = field(default_factory=dict)


def find_in_image(repository: Repository, image: Stored, checker: Checker | None) -> Found:
    """Finds the layers of an image: those are proved that its signed provenance names.

    Args:
        repository: Where it is.
        image: The image.
        checker: Whose signature counts; None for nobody's.
    """
    claimed = {name: layer.digest for name, layer in _layers(repository, image).items()}
    said = signed_provenance(repository, image.digest, checker) if checker is not None else None
    by_layer = said.by_layer(folder_of_image(image.annotations())) if said is not None else {}
    return Found({files_key(files): layer for layer, files in by_layer.items()}, claimed)


class Checkpoint:
    """The finished layers of an image that is being made. Safe to use from several threads.

    Args:
        repository: Where the image is made.
        tag: The tag that it will have.
        key: What to sign the notes with. Without a key none is signed, and so none is believed by who signs.
    """

    def __init__(self, repository: Repository, tag: str, key: Signer | None) -> None:
        self._repository = repository
        self._tag = tag[: _MAX_TAG_CHARS - len(_SUFFIX)] + _SUFFIX
        self._key = key
        self._lock = threading.Lock()
        self._done: dict[str, spec.Descriptor] = {}
        self._noted: frozenset[str] = frozenset()
        self._is_refused = False

    def find_in_note(self) -> Found:
        """Finds the layers that an interrupted run noted."""
        self._done = _layers(self._repository, self._note())
        claimed = {key: layer.digest for key, layer in self._done.items()}
        proved = {key: layer.digest for key, layer in self._done.items() if self._is_ours(layer)}
        return Found(proved, claimed)

    def _is_ours(self, layer: spec.Descriptor) -> bool:
        if not isinstance(self._key, SigningKey):
            return False
        signature = (layer.annotations or {}).get(layer_note.SIGNATURE, "")
        return layer_note.is_signed(_key(layer), layer.digest, signature, self._key.public)

    def _note(self) -> Stored | None:
        """Returns what stands under the note's tag. It only saves time: one that cannot be read is none."""
        try:
            return self._repository.find_manifest(self._tag)
        except CredentialsError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            return None
        except (RegistryError, WrongBytesError):
            return None

    def add(self, layer: spec.Descriptor) -> None:
        """Notes a finished layer, in the registry, unless that keeps no notes."""
        self._done[_key(layer)] = self._signed(layer)
        with self._lock:
            # Layers that end at the same time are noted together, by the first of them.
            if self._is_refused or _key(layer) in self._noted:
                return
            done = dict(self._done)
            try:
                self._write(list(done.values()))
            except RegistryError as error:
                self._refuse(error)
            self._noted = frozenset(done)

    def _write(self, layers: list[spec.Descriptor]) -> None:
        if not self._noted:
            self._repository.put_small_blob(_CONFIG)
        manifest = spec.Manifest(config=spec.describe(_CONFIG, spec.CONFIG), layers=layers, annotations={})
        self._repository.put_manifest(Stored(manifest.encoded(), spec.MANIFEST), self._tag)
        if self._noted:
            self._repository.capabilities.moves_tags = True

    def _refuse(self, error: RegistryError) -> None:
        """Goes on without: a registry of immutable tags takes the first note and no other, others take none."""
        self._is_refused = True
        if self._noted and error.status in _IMMUTABLE:
            self._repository.capabilities.moves_tags = False
        print(
            f"{self._repository.reference.registry} keeps no note of finished layers under {self._tag} ({error.what}); "
            "this run goes on without, and one that takes it up after a break reads again what it had read",
            flush=True,
        )

    def _signed(self, layer: spec.Descriptor) -> spec.Descriptor:
        if not isinstance(self._key, SigningKey):
            return layer
        signature = layer_note.sign(_key(layer), layer.digest, self._key)
        return layer.model_copy(update={"annotations": {**(layer.annotations or {}), layer_note.SIGNATURE: signature}})

    def remove(self, image: Stored) -> None:
        """Removes the note, now that the image is made; where the registry removes nothing it names the image."""
        if not self._done:
            return
        stored = self._note()
        if stored is None or stored.digest == image.digest or (_is_note(stored) and self._removed(stored)):
            return
        try:
            self._repository.put_manifest(image, self._tag)
        except RegistryError:
            print(f"{self._repository.reference.registry} lets the note of layers under {self._tag} stay", flush=True)

    def _removed(self, note: Stored) -> bool:
        """Removes the note, and looks: OpenShift's registry answers that it did, and keeps the tag."""
        try:
            removed = self._repository.delete_manifest(note.digest)
            self._repository.capabilities.deletes = removed
            return removed and self._note() is None
        except RegistryError:
            self._repository.capabilities.deletes = False
            return False


def _is_note(stored: Stored) -> bool:
    """Tells whether this is a note, and not an image that an earlier run put in its place: others may name that one."""
    return not stored.is_index and stored.manifest().config.digest == spec.digest_of(_CONFIG)


def _layers(repository: Repository, stored: Stored | None) -> dict[str, spec.Descriptor]:
    """Returns the layers that a note or an image names, by their keys. A damaged one, or a stranger's, names none."""
    try:
        if stored is not None and stored.is_index:
            entries = stored.index().manifests
            stored = repository.find_manifest(entries[0].digest) if entries else None
        layers = stored.manifest().layers if stored is not None and not stored.is_index else []
    except (CredentialsError, RegistryUnwellError):
        raise
    except (RegistryError, WrongBytesError):
        return {}
    found: dict[str, spec.Descriptor] = {}
    for layer in layers:
        # Two that say to hold the same files do not both.
        if (key := _key(layer)) and found.setdefault(key, layer).digest != layer.digest:
            return {}
    return found


def _key(layer: spec.Descriptor) -> str:
    return (layer.annotations or {}).get(FILES, "")
