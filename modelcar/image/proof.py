"""The link from the Hub's published hashes to a layer's digest: one pass over the bytes gives both."""

import hashlib

from modelcar.claim.downloads import DIGESTS
from modelcar.errors import WrongBytesError
from modelcar.hub.file_check import FileCheck
from modelcar.hub.snapshot import Snapshot
from modelcar.image.recipe import published
from modelcar.oci.tar_writer import Layer, Piece
from modelcar.oci.transfer import Proof


class Hashed(Proof):
    """The link from the Hub's hashes to a layer's digest: one pass over the bytes gives both.

    Args:
        layer: The layer whose stream will be taken in.
        snapshot: What was published.
    """

    def __init__(self, layer: Layer, snapshot: Snapshot) -> None:
        self._layer = layer
        self._published = {entry.path: published(entry, snapshot) for entry in layer.entries}
        self._files = {
            path: FileCheck(file, allow_pickle=snapshot.allows_pickle(file.path))
            for path, file in self._published.items()
        }
        self._whole = hashlib.sha256()
        self.position = 0

    def take(self, piece: Piece) -> None:
        """Hashes the piece, for its file and for the layer."""
        data = piece.data[max(self.position - piece.position, 0) :]
        self._whole.update(data)
        if piece.entry is not None:
            self._files[piece.entry.path].take(data)
        self.position += len(data)

    def digest(self) -> str:
        """The layer's digest; each of its files has the hash that was published."""
        for entry in self._layer.entries:
            if not self._files[entry.path].is_right():
                identity = self._published[entry.path].identity
                raise WrongBytesError(
                    f"{entry.source} is not what the Hub published ({identity})", "Run the pipeline again"
                )
        return f"sha256:{self._whole.hexdigest()}"


def digest(layer: Layer, snapshot: Snapshot) -> str:
    """The digest that a layer will have, from its files' bytes, each of which must be what the Hub published.

    Raises:
        WrongBytesError: A file's bytes are not what was published.
    """
    proof = Hashed(layer, snapshot)
    for piece in layer.pieces():
        proof.take(piece)
    return proof.digest()


def check_noted(layer: Layer, snapshot: Snapshot, noted: str) -> None:
    """Says why a registry refused a layer whose digest had been noted, if it is our side's fault.

    Raises:
        WrongBytesError: A file was altered since, or the note was.
    """
    if digest(layer, snapshot) != noted:
        raise WrongBytesError(f"the digest noted for {layer.title} is wrong", f"Remove {DIGESTS} from the download")
