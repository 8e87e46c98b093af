"""A blob on its way into a registry."""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing

import requests

from modelcar.errors import DamagedUploadError, RegistryError, RegistryUnwellError
from modelcar.oci.connection import Connection, Scope

_NO_CONTINUATION = frozenset({400, 404, 405, 416, 501})
_POSITION = re.compile("[0-9]{1,18}")


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
    """

    def __init__(self, connection: Connection, scope: Scope, location: str) -> None:
        self._connection = connection
        self._scope = scope
        self._location = location
        self._refused_at = 0
        self._sent_to = 0
        self.offset = 0

    def send(self, chunks: Iterable[bytes], size: int) -> None:
        """Sends the rest of the blob, from the offset on.

        Args:
            chunks: The bytes from the offset on.
            size: How many they are.
        """
        if self.offset and not size:
            # Only the answer to the last bytes was lost; a range of no bytes cannot be written.
            return
        headers = {"Content-Type": "application/octet-stream"}
        self._sent_to = max(self._sent_to, self.offset + size)
        if self.offset:
            headers["Content-Range"] = f"{self.offset}-{self.offset + size - 1}"
        body = Sized(chunks, size)
        response = self._connection.send_once("PATCH", self._location, self._scope, headers=headers, body=body)
        self._check_login(response)
        if self.offset and response.status_code in _NO_CONTINUATION:
            # It was still putting away the bytes of the broken connection when it said where it was; or, as Artifact
            # Registry, it takes no blob in parts.
            self._refused_at = self.offset
            raise RegistryUnwellError(f"{self._connection.host} does not go on with an upload where it said")
        # go-containerregistry's own registry answers 204.
        accepted = self._connection.checked(response, self._scope, {202, 204})
        self._location = accepted.headers.get("Location", self._location)
        self.offset += size

    def find_offset(self) -> int:
        """Asks the registry how many bytes it has, after a connection broke.

        Raises:
            RegistryError: It no longer knows the upload, or would not go on where it says.
        """
        response = self._connection.request("GET", self._location, self._scope, {204})
        self._location = response.headers.get("Location", self._location)
        unit, _, last = response.headers.get("Range", "").partition("-")
        # A range of no bytes is written 0-0, as is one of a single byte; then it costs little to begin again.
        self.offset = int(last) + 1 if _POSITION.fullmatch(last) and int(last) > 0 else 0
        if self.offset and unit.startswith("bytes="):
            # So does Quay alone, and names the byte after the last.
            self.offset -= 1
        if self.offset > self._sent_to:
            raise RegistryError(f"{self._connection.host} says that it has more of an upload than it was sent")
        if self.offset and self.offset == self._refused_at:
            raise RegistryError(f"{self._connection.host} does not go on with an upload where it says")
        return self.offset

    def finish(self, digest: str) -> None:
        """Ends the upload. The registry keeps the blob if its bytes have the digest.

        Raises:
            DamagedUploadError: They have not.
        """
        response = self._connection.request("PUT", self._ending(digest), self._scope, {201, 400, 404})
        if response.status_code == requests.codes.created:
            return
        # The answer to an attempt before this may have been lost: then the blob is there, and the upload no more.
        blob = self._blob(digest)
        if self._connection.request("HEAD", blob, self._scope, {200, 404}).status_code == requests.codes.ok:
            return
        if response.status_code == requests.codes.bad_request:
            raise self._damaged(digest)
        self._connection.checked(response, self._scope, {201})

    def send_whole(self, content: bytes, digest: str) -> None:
        """Sends all of a small blob and ends the upload, in one request.

        Raises:
            DamagedUploadError: The registry received other bytes.
            RegistryUnwellError: It has to be begun anew.
        """
        headers = {"Content-Type": "application/octet-stream"}
        path = self._ending(digest)
        response = self._connection.send_once("PUT", path, self._scope, headers=headers, body=content)
        self._check_login(response)
        if response.status_code == requests.codes.bad_request:
            raise self._damaged(digest)
        self._connection.checked(response, self._scope, {201})

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

    def _blob(self, digest: str) -> str:
        return f"/v2/{self._scope.repository}/blobs/{digest}"

    def _damaged(self, digest: str) -> DamagedUploadError:
        return DamagedUploadError(
            f"{self._connection.host} answered 400 to PUT {self._blob(digest)}: it received other bytes",
            "Something on the way alters them: check proxies",
        )

    def _ending(self, digest: str) -> str:
        return self._location + ("&" if "?" in self._location else "?") + f"digest={digest}"

    def _check_login(self, response: requests.Response) -> None:
        if response.status_code == requests.codes.unauthorized:
            self._connection.forget(self._scope)
            raise RegistryUnwellError(f"{self._connection.host} ended our login in the middle of an upload")
