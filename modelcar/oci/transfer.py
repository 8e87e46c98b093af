"""Sends layers to one or several registries in one pass over their bytes, which are checked on the way.

Each byte is read once, hashed twice (its file's hash, its layer's digest) and sent to every registry at the same time.
What is in flight is a few chunks for each registry: a slow one slows the reading, and memory stays as it is.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from modelcar.errors import (
    BodyTooLargeError,
    ChunkedUploadError,
    ModelcarError,
    RegistryUnwellError,
    UploadLostError,
    UploadMovedError,
)
from modelcar.oci import spec
from modelcar.oci.blob import Blob
from modelcar.oci.destination import Destination
from modelcar.oci.registry import Repository
from modelcar.oci.tar_writer import Piece
from modelcar.oci.turns import ANY_TIME, Turn
from modelcar.oci.upload import Sized, Upload
from modelcar.progress import Count
from modelcar.retries import ATTEMPTS, pause, pause_before


class Proof(Protocol):
    """Knowledge of a layer's bytes at the end of a pass over them."""

    position: int

    def take(self, piece: Piece) -> None:
        """Takes in the next piece; what was taken in before, as after a broken connection, is passed over."""

    def digest(self) -> str:
        """The layer's digest, now that all of it was taken in.

        Raises:
            WrongBytesError: A file's bytes are not what was published.
            WeightsError: A file was published broken.
        """


class Noted(Proof):
    """A digest that an earlier pass over the same bytes gave; the registry holds what it receives against it.

    Args:
        digest: The digest.
    """

    def __init__(self, digest: str) -> None:
        self._digest = digest
        self.position = 0

    def take(self, piece: Piece) -> None:
        """Hashes nothing."""
        self.position = max(self.position, piece.position + len(piece.data))

    def digest(self) -> str:
        """The digest that was noted."""
        return self._digest


SMALL = 4 << 20
"""Bytes of a layer that waits for no turn: it is in flight as a whole."""

_END = b""


class _Lane:
    """One registry's share of a pass: a thread that sends what it is fed, as long as that goes well."""

    def __init__(self, upload: Upload, size: int, chunks: int) -> None:
        self.start = upload.offset
        self.error: BaseException | None = None
        self._upload = upload
        self._size = size
        self._feed: queue.Queue[bytes] = queue.Queue(chunks)
        self._aborted = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @property
    def is_sending(self) -> bool:
        """Tells whether it takes more."""
        return self._thread.is_alive()

    def put(self, data: bytes) -> None:
        """Feeds it; waits while it is busy."""
        while data and self.is_sending:
            with suppress(queue.Full):
                self._feed.put(data, timeout=1.0)
                return

    def end(self, *, aborted: bool) -> None:
        """Waits until it has sent everything, or gives up what it is sending."""
        if aborted:
            self._aborted.set()
        while self.is_sending:
            with suppress(queue.Full):
                self._feed.put(_END, timeout=1.0)
                self._thread.join()

    def _send(self) -> None:
        try:
            self._upload.send(self._chunks(), self._size - self.start)
        except BaseException as error:
            self.error = error

    def _chunks(self) -> Iterator[bytes]:
        while (data := self._feed.get()) != _END:
            yield data
        if self._aborted.is_set():
            raise RegistryUnwellError("the source broke off")


class Stream(Protocol):
    """Bytes to send: their number, and they themselves from any position on."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def pieces(self, start: int = 0) -> Iterator[Piece]:
        """Gives the bytes from a position to the end."""


def copy_blob(
    blob: spec.Descriptor,
    read: Callable[[str, int], Iterator[bytes]],
    source: Repository | None,
    target: Repository,
    count: Count,
    turn: Turn = ANY_TIME,
) -> int:
    """Brings a blob into a repository that lacks it: mounted where its registry has it already, else streamed.

    Args:
        blob: The blob.
        read: Gives the bytes of a blob, by its digest, from an offset on.
        source: The repository it lies in, if it does.
        target: Where to.
        count: Is told how many bytes are done; may raise to end the work.
        turn: Held while bytes are on the way.

    Returns:
        How many bytes were moved.

    Raises:
        DamagedUploadError: Its bytes are not what its digest says.
        ModelcarError: A registry failed too often.
    """
    same_registry = source is not None and source.reference.registry == target.reference.registry
    if source is not None and same_registry and target.mount_blob(blob.digest, source.reference.repository):
        count(blob.size)
        return 0
    stream = Blob(blob.size, lambda offset: read(blob.digest, offset))
    send_layer(stream, Noted(blob.digest), [target], count, turn)
    return blob.size


def send_layer(
    layer: Stream, proof: Proof, repositories: Sequence[Repository], count: Count, turn: Turn = ANY_TIME
) -> str:
    """Sends a layer to repositories, and ends the uploads only if every file in it is what was published.

    A connection that breaks, on either side, is taken up where the registry says it is; what was hashed already is not
    hashed again. An upload that a registry has lost is begun anew, some times. A registry that must know the digest
    first gets the layer in a second pass.

    Args:
        layer: The layer.
        proof: Takes in the bytes and knows what they must be.
        repositories: Where to; none of them has the layer.
        count: Is told how many bytes were read; may raise to end the work.
        turn: Held while the bytes of a layer that is not small are on the way.

    Returns:
        The layer's digest.

    Raises:
        WrongBytesError: A file is not what was published. Nothing of the layer is kept.
        ModelcarError: Source or registry failed too often.
    """
    destinations = [Destination(repository) for repository in repositories]
    turn = turn if layer.size > SMALL else ANY_TIME
    try:
        pending = destinations
        while True:
            parted = [one for one in pending if one.repository.capabilities.chunked is not False]
            refused = _send_all(layer, proof, parted, count, turn)
            whole = [one for one in pending if one in refused or one not in parted]
            if whole:
                _read_to_the_end(layer, proof, count, turn)
            digest = proof.digest()
            pending = [one for one in parted if one not in refused and not one.finish(digest)]
            for one in whole:
                _send_whole(layer, digest, one, turn)
            if not pending:
                return digest
    except BaseException:
        count(-proof.position)
        for destination in destinations:
            destination.cancel()
        raise


def _send_all(layer: Stream, proof: Proof, pending: list[Destination], count: Count, turn: Turn) -> list[Destination]:
    """Sends a layer's bytes to all; gives those that take no bytes before they are told the digest."""
    attempt, best = 0, 0
    whole: list[Destination] = []
    while pending:
        missed = _pass(layer, proof, pending, count, turn)
        whole += [destination for destination, error in missed if isinstance(error, ChunkedUploadError)]
        pending = [destination for destination, _ in missed if destination not in whole]
        serious = [error for destination, error in missed if destination in pending and not _is_met(destination, error)]
        if not serious:
            continue
        error = serious[0]
        # First the pause: the registry may still be putting away the bytes of the broken connection.
        pause(pause_before(attempt + 1, error if isinstance(error, ModelcarError) else None))
        reached = sum(destination.find_offset() for destination in pending)
        attempt = 1 if reached > best else attempt + 1
        best = max(best, reached)
        if attempt >= ATTEMPTS:
            raise error
    for destination in whole:
        destination.cancel()
        if destination.repository.capabilities.chunked is None:
            print(
                f"{destination.repository.reference.registry} takes a layer only with its digest: each is read twice",
                flush=True,
            )
        destination.repository.capabilities.chunked = False
    return whole


def _is_met(destination: Destination, error: BaseException) -> bool:
    """Does what can be done at once about an error; False if it has to be waited for.

    Raises:
        ModelcarError: Nothing can be done.
    """
    if isinstance(error, UploadMovedError):
        destination.keep()
        return True
    if isinstance(error, BodyTooLargeError) and destination.upload.lower_max_body():
        destination.cancel()
        return True
    if isinstance(error, UploadLostError):
        destination.begin_anew(error)
        return False
    if not (isinstance(error, ModelcarError) and error.may_pass):
        raise error
    return False


def _pass(
    layer: Stream, proof: Proof, destinations: list[Destination], count: Count, turn: Turn
) -> list[tuple[Destination, BaseException]]:
    """Reads the layer once, from where the hindmost upload is; gives the destinations it did not reach, and why."""
    lanes: list[_Lane] = []
    complete = False
    for destination in destinations:
        # Begun before its turn: a registry that brings other layers to disk takes half a second for it.
        _ = destination.upload
    try:
        with turn:
            lanes.extend(_Lane(destination.upload, layer.size, turn.chunks) for destination in destinations)
            complete = _feed(layer, proof, lanes, count, turn)
    finally:
        for lane in lanes:
            lane.end(aborted=not complete)
    ended = zip(destinations, (lane.error for lane in lanes), strict=True)
    return [(destination, error) for destination, error in ended if error is not None]


def _feed(layer: Stream, proof: Proof, lanes: list[_Lane], count: Count, turn: Turn) -> bool:
    """Gives each lane what it lacks of the layer; False if none of them takes more."""
    for piece in layer.pieces(min(lane.start for lane in lanes)):
        before = proof.position
        proof.take(piece)
        count(proof.position - before)
        for lane in lanes:
            lane.put(piece.data[max(lane.start - piece.position, 0) :])
        turn.moved(len(piece.data))
        if not any(lane.is_sending for lane in lanes):
            return False
    return True


def _read_to_the_end(layer: Stream, proof: Proof, count: Count, turn: Turn) -> None:
    if isinstance(proof, Noted):
        count(layer.size - proof.position)
        proof.position = layer.size
        return
    if proof.position >= layer.size:
        return
    with turn:
        for piece in layer.pieces(proof.position):
            before = proof.position
            proof.take(piece)
            count(proof.position - before)


def _send_whole(layer: Stream, digest: str, destination: Destination, turn: Turn) -> None:
    """Sends a layer whose digest is known in one request, and anew from its start where that breaks."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with turn:
                destination.upload.send_whole(Sized(_bytes_of(layer, turn), layer.size), digest)
            return
        except RegistryUnwellError as error:
            if attempt == ATTEMPTS:
                raise
            if isinstance(error, UploadMovedError):
                continue
            destination.cancel()
            pause(pause_before(attempt, error))


def _bytes_of(layer: Stream, turn: Turn) -> Iterable[bytes]:
    for piece in layer.pieces():
        turn.moved(len(piece.data))
        yield piece.data
