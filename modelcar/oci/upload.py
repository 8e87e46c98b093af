"""A blob on its way into a registry."""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import requests

from modelcar.errors import (
    BodyTooLargeError,
    ChunkedUploadError,
    DamagedUploadError,
    RegistryError,
    RegistryUnwellError,
    UploadLostError,
    UploadMovedError,
)
from modelcar.oci import error_format, status
from modelcar.oci.capabilities import Capabilities
from modelcar.oci.connection import WRITE_SECONDS, Connection, Scope
from modelcar.oci.presence import has_first_byte
from modelcar.retries import pause

PATIENCE_SECONDS = 60.0
"""Time that a registry that did not answer the end of an upload is asked whether it has the blob, whatever its size."""

COMMIT_BYTES_PER_SECOND = 10e6
"""Bytes for each of which it is asked a second longer: some copy a blob to its place once they have it all (S3 at some
50 MB/s)."""

REFUSAL_SECONDS = 120.0
"""The longest such patience after a 500 or 503, which mostly mean what they say."""

SETTLE_SECONDS = 0.2
"""The time between two questions how much of a broken upload a registry has."""

MAX_OFFSETS = 50
"""Times that it is asked so, while its answers differ."""

_MOVED = (307, 308)
"""Answers by which a request is to be sent once more elsewhere, as it is (RFC 9110, 15.4)."""

_MAX_MOVES = 3
_MAX_PAUSE_SECONDS = 15.0
_TOLD_SECONDS = 10.0
_FIRST_PAUSE = 0.25
_POSITION = re.compile("[0-9]{1,18}")

_REFUSALS = frozenset({"NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "DENIED", "UNAUTHORIZED", "UNSUPPORTED"})
"""Codes of the specification by which a registry does not take a blob, however often it is sent."""


class Sized:
    """A body of known length made of chunks: requests then sends Content-Length and streams it."""

    def __init__(self, chunks: Iterable[bytes], size: int) -> None:
        self._chunks = chunks
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


class Upload:
    """A blob on its way into a registry. One that broke can go on where the registry says it is.

    Args:
        connection: To the registry.
        scope: The permission to write there.
        location: What the registry called the upload.
        capabilities: What is known of the registry.
    """

    def __init__(self, connection: Connection, scope: Scope, location: str, capabilities: Capabilities) -> None:
        self._connection = connection
        self._scope = scope
        self._location = location
        self._capabilities = capabilities
        self._refused_size = 0
        self._refused_at = 0
        self._sent_to = 0
        self._moves = 0
        self.was_resumed = False
        self.offset = 0

    def send(self, chunks: Iterable[bytes], size: int) -> None:
        """Sends the rest of the blob, from the offset on.

        Args:
            chunks: The bytes from the offset on.
            size: How many they are.

        Raises:
            UploadLostError: The registry no longer knows the upload.
            UploadMovedError: The bytes have to be sent anew; the upload knows where to.
            ChunkedUploadError: It takes blobs only as a whole.
            BodyTooLargeError: It, or a proxy before it, takes no request of this size.
            RegistryUnwellError: It may go on where the registry says.
        """
        if self.offset and not size:
            # Only the answer to the last bytes was lost; a range of no bytes cannot be written.
            return
        self.was_resumed = self.was_resumed or self.offset > 0
        max_body = self._capabilities.max_body
        if not max_body or size <= max_body:
            self._send_part(chunks, size)
            return
        source = _Source(chunks)
        while size:
            part = min(size, max_body)
            self._send_part(source.take(part), part, ranged=True)
            size -= part

    def _send_part(self, chunks: Iterable[bytes], size: int, *, ranged: bool = False) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        self._sent_to = max(self._sent_to, self.offset + size)
        if self.offset or ranged:
            headers["Content-Range"] = f"{self.offset}-{self.offset + size - 1}"
        body = Sized(chunks, size)
        response = self._connection.send_once(
            "PATCH", self._location, self._scope, headers=headers, body=body, seconds=WRITE_SECONDS
        )
        self._check_login(response)
        self._check_place(response)
        if response.status_code not in status.NO_REFUSAL:
            self._refused_size = size
            raise self._refusal_of_part(response)
        self._capabilities.chunked = True
        if "Location" in response.headers:
            self._location = self._connection.location(response)
        self.offset += size

    def lower_max_body(self) -> bool:
        """Has smaller requests sent after one was too large; False if the registry, and no proxy, says that it is
        enough.
        """
        # What was taken before was no smaller: then it is the blob that is too large.
        return not self.offset and self._capabilities.lower_max_body(self._refused_size)

    def find_offset(self) -> int:
        """Asks the registry how many bytes it has, after a connection broke, until two answers are the same.

        While it still writes what arrived last it names fewer, and later does not go on there (docker-registry).

        Raises:
            RegistryError: It no longer knows the upload, or would not go on where it says.
        """
        told = self._told_offset()
        for _ in range(MAX_OFFSETS):
            pause(SETTLE_SECONDS)
            before, told = told, self._told_offset()
            if told == before:
                break
        if told > self._sent_to:
            raise RegistryError(f"{self._connection.host} says that it has more of an upload than it was sent")
        if told and told == self._refused_at:
            raise RegistryError(f"{self._connection.host} does not go on with an upload where it says")
        self.offset = told
        return told

    def _told_offset(self) -> int:
        """Returns how many bytes the registry says that it has."""
        response = self._connection.request("GET", self._location, self._scope, status.SUCCESS)
        if "Location" in response.headers:
            self._location = self._connection.location(response)
        unit, _, last = response.headers.get("Range", "").partition("-")
        # A range of no bytes is written 0-0, as is one of a single byte; then it costs little to begin again.
        offset = int(last) + 1 if _POSITION.fullmatch(last) and int(last) > 0 else 0
        # Quay alone writes the unit, and names the byte after the last.
        return offset - 1 if offset and unit.startswith("bytes=") else offset

    def finish(self, digest: str) -> None:
        """Ends the upload. The registry keeps the blob if its bytes have the digest.

        A gateway may give up while the registry still commits; then it is asked for the blob, for as long as its size
        makes likely.

        Raises:
            DamagedUploadError: The bytes have another digest.
            UploadLostError: The registry no longer knows the upload, and does not have the blob.
            RegistryUnwellError: It did not get it done in time.
        """
        error = self._end(digest)
        if error is None:
            if self.was_resumed:
                self._check_resumed(digest)
        elif not self._has(digest):
            self._insist(digest, error)

    def send_whole(self, body: bytes | Sized, digest: str) -> None:
        """Sends all of a blob and ends the upload, in one request.

        Args:
            body: Its bytes.
            digest: Their digest.

        Raises:
            UploadMovedError: The bytes have to be sent anew; the upload knows where to.
            DamagedUploadError: The registry received other bytes.
            UploadLostError: It has to be begun anew.
            RegistryUnwellError: It has to be begun anew, later.
        """
        headers = {"Content-Type": "application/octet-stream"}
        path = self._ending(digest)
        try:
            response = self._connection.send_once(
                "PUT", path, self._scope, headers=headers, body=body, seconds=WRITE_SECONDS
            )
            self._check_login(response)
            self._check_place(response)
            if response.status_code in status.SUCCESS:
                return
            error = self._meaning(response, digest)
        except UploadMovedError:
            raise
        except RegistryUnwellError as unwell:
            error = unwell
        if not self._has(digest):
            raise error

    def cancel(self) -> None:
        """Tells the registry to drop the upload. It would by itself in time, so a failure does not matter."""
        try:
            # Docker's registry wants a token that names the deletion; others know no such permission.
            for scope in (self._scope, Scope(self._scope.repository, "delete")):
                with closing(self._connection.send_once("DELETE", self._location, scope)) as response:
                    if response.status_code != requests.codes.unauthorized:
                        return
        except RegistryError:
            return

    def patience_after(self, error: RegistryError | None) -> float:
        """Returns the seconds for which a registry is asked for a blob whose upload did not end well.

        Args:
            error: How it failed; None where it did not answer.
        """
        patience = PATIENCE_SECONDS + self.offset / COMMIT_BYTES_PER_SECOND
        refusing = error is not None and error.status in (500, 503)
        return min(patience, REFUSAL_SECONDS) if refusing else patience

    def _insist(self, digest: str, error: RegistryError) -> None:
        """Asks for the blob again and again, and ends the upload once more where it is still open."""
        waited, wait, late = 0.0, _FIRST_PAUSE, False
        while True:
            late = late or _may_be_late(error)
            if not (late or status.limits_us(error.status)):
                raise error
            wait = max(min(2 * wait, _MAX_PAUSE_SECONDS), error.retry_after)
            if waited + wait > max(self.patience_after(error), 3 * error.retry_after):
                # What was tried for so long is not tried anew.
                error.may_pass = isinstance(error, UploadLostError)
                raise error
            if waited < _TOLD_SECONDS <= waited + wait:
                print(f"{self._connection.host} has not said yet that it keeps {digest}; asking again", flush=True)
            waited += pause(wait)
            if self._has(digest):
                return
            if self._is_open():
                again = self._end(digest)
                if again is None or self._has(digest):
                    return
                error = again

    def _end(self, digest: str) -> RegistryError | None:
        """Asks the registry to end the upload; gives why it did not."""
        seconds = max(WRITE_SECONDS, self.patience_after(None))
        try:
            response = self._connection.send("PUT", self._ending(digest), self._scope, seconds=seconds)
        except RegistryUnwellError as error:
            return error
        return None if response.status_code in status.SUCCESS else self._meaning(response, digest)

    def _meaning(self, response: requests.Response, digest: str) -> RegistryError:
        """Returns what an answer to the end of an upload means, other than success."""
        code, codes = response.status_code, error_format.codes(response)
        failure = self._connection.failure(response, self._scope)
        if code == status.TOO_LARGE:
            return BodyTooLargeError(failure.what)
        if code not in status.LOST or codes & _REFUSALS:
            return failure
        if "DIGEST_INVALID" in codes and not self.was_resumed:
            return DamagedUploadError(
                f"{failure.what} (PUT {self._blob(digest)}): it received other bytes",
                "Something on the way alters them: check proxies",
            )
        return self._lost(failure)

    def _refusal_of_part(self, response: requests.Response) -> RegistryError:
        """Returns what an answer to some bytes means, other than success."""
        code, codes = response.status_code, error_format.codes(response)
        failure = self._connection.failure(response, self._scope)
        if code == status.TOO_LARGE:
            return BodyTooLargeError(failure.what)
        if code in status.REFUSED or codes & _REFUSALS - {"UNSUPPORTED"}:
            return failure
        if self.offset and code in status.LOST | status.NOT_SUPPORTED:
            # It was still putting away the bytes of the broken connection when it said where it was; or, as Artifact
            # Registry, it takes no blob in parts.
            self._refused_at = self.offset
            return RegistryUnwellError(f"{self._connection.host} does not go on with an upload where it said")
        if code in status.NOT_SUPPORTED or "UNSUPPORTED" in codes:
            return ChunkedUploadError(failure.what)
        # A redirect in the middle of an upload: what was sent is gone, and another upload may be led elsewhere.
        return self._lost(failure) if code in status.LOST or response.is_redirect else failure

    def _lost(self, failure: RegistryError) -> UploadLostError:
        error = UploadLostError(failure.what, "The upload was begun anew several times")
        error.status = failure.status
        return error

    def _has(self, digest: str) -> bool:
        """Tells whether the registry says that it has the blob, without insisting on an answer."""
        try:
            code = self._connection.send("HEAD", self._blob(digest), self._scope).status_code
        except RegistryError:
            return False
        if code in status.SUCCESS | status.ABSENT or status.may_pass(code):
            return code in status.SUCCESS
        return has_first_byte(self._connection, self._scope, self._blob(digest))

    def _is_open(self) -> bool:
        """Tells whether the registry says that the upload is still to be ended."""
        try:
            response = self._connection.send("GET", self._location, self._scope)
        except RegistryError:
            return False
        if response.status_code not in status.SUCCESS or "Range" not in response.headers:
            return False
        if "Location" in response.headers:
            self._location = self._connection.location(response)
        return True

    def _check_resumed(self, digest: str) -> None:
        """Raises if a registry that took an upload in several parts does not have it as a whole (ECR has lost such)."""
        try:
            response = self._connection.request("HEAD", self._blob(digest), self._scope, status.SUCCESS)
            length = response.headers.get("Content-Length", "")
            has_all = not length.isdecimal() or int(length) in (0, self.offset)
        except RegistryUnwellError:
            raise
        except RegistryError:
            has_all = has_first_byte(self._connection, self._scope, self._blob(digest))
        if not has_all:
            raise UploadLostError(f"{self._connection.host} lost a part of an upload that went on after a break")

    def _blob(self, digest: str) -> str:
        return f"/v2/{self._scope.repository}/blobs/{digest}"

    def _ending(self, digest: str) -> str:
        """Returns where the upload is ended: with the digest, unless it was led to a place that has it."""
        place = urlsplit(self._location)
        if any(parse_qs(place.query).get("digest", ())):
            return self._location
        parts = [part for part in place.query.split("&") if part and part.partition("=")[0] != "digest"]
        return place._replace(query="&".join([*parts, f"digest={digest}"])).geturl()

    def _check_place(self, response: requests.Response) -> None:
        if response.status_code in _MOVED and not self.offset and self._moves < _MAX_MOVES:
            self._moves += 1
            self._location = self._connection.location(response)
            raise UploadMovedError(f"{self._connection.host} leads an upload elsewhere")

    def _check_login(self, response: requests.Response) -> None:
        if response.status_code == requests.codes.unauthorized:
            said = self._connection.login.cleaned(error_format.server_message(response), self._scope)
            self._connection.forget(self._scope, response)
            host = self._connection.host
            raise RegistryUnwellError(
                f"{host} ended our login in the middle of an upload: {said}", f"Log in again: podman login {host}"
            )


class _Source:
    """Chunks of any size, taken in parts of a given one."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def take(self, size: int) -> Iterator[bytes]:
        """Gives the next bytes, so many in all."""
        while size:
            chunk = self._rest or next(self._chunks)
            self._rest = chunk[size:]
            yield chunk[:size]
            size -= min(size, len(chunk))


def _may_be_late(error: RegistryError) -> bool:
    """Tells whether the registry may still be at work on what it was asked, although an error came back."""
    unwell = isinstance(error, RegistryUnwellError) and not isinstance(error, UploadLostError)
    return unwell and not status.limits_us(error.status)
