"""Small parts of a model's files, read to decide what to take: never more bytes than were asked for."""

import hashlib
from collections.abc import Callable

import requests
import urllib3
from huggingface_hub import hf_hub_url

from modelcar.errors import HubUnwellError
from modelcar.hub.identity import identity_headers
from modelcar.hub.reader import Session, first_line
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.retries import retrying

MIN_READ_BYTES = 1 << 20
"""Bytes of a small file that are read, whatever its size is said to be."""

_TIMEOUT_SECONDS = (15, 60)


class Peek:
    """Reads parts of a commit's files.

    Args:
        snapshot: The commit.
        endpoint: The Hub's address.
        session: HTTP connections.
    """

    def __init__(self, snapshot: Snapshot, endpoint: str, session: Session) -> None:
        self._snapshot = snapshot
        self._endpoint = endpoint
        self._session = session

    def read(self, file: PublishedFile) -> bytes | None:
        """Returns all of a small file; None if the Hub has no such bytes, or does not show them to us.

        Raises:
            HubUnwellError: The Hub went away: what it would say decides what is taken, so nothing is guessed.
        """
        count = max(file.size, MIN_READ_BYTES)
        content = self._read_once(file, {}, count)
        # What arrives damaged is right the second time, and would else decide wrongly.
        return content if content is None or _is_published(file, content) else self._read_once(file, {}, count)

    def read_part(self, file: PublishedFile, start: int, end: int) -> bytes | None:
        """Returns the bytes from an offset to before another; None if the Hub has none of them.

        Raises:
            HubUnwellError: The Hub went away.
        """
        if start >= end:
            return b""
        return self._read_once(file, {"Range": f"bytes={start}-{end - 1}"}, end - start, is_whole=not start)

    def reader(self, file: PublishedFile) -> Callable[[int, int], bytes | None]:
        """Returns a function that reads parts of one file."""
        return lambda start, end: self.read_part(file, start, end)

    @retrying
    def _read_once(
        self, file: PublishedFile, headers: dict[str, str], count: int, *, is_whole: bool = True
    ) -> bytes | None:
        url = hf_hub_url(self._snapshot.model, file.path, revision=self._snapshot.commit, endpoint=self._endpoint)
        wanted = {**identity_headers(), "Accept-Encoding": "identity", **headers}
        try:
            with self._session.get(url, headers=wanted, stream=True, timeout=_TIMEOUT_SECONDS) as response:
                status = response.status_code
                if status >= 500 or status in (408, 429):
                    raise HubUnwellError(
                        f"the Hub answered {status} for {self._snapshot.model}/{file.path}", "Try again later"
                    )
                # A Hub that does not know ranges sends the file from its beginning.
                if status != requests.codes.partial_content and (status != requests.codes.ok or not is_whole):
                    return None
                return bytes(response.raw.read(count, decode_content=False))
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise HubUnwellError(
                f"the connection to the Hub broke while reading {file.path}: {first_line(error)}"
            ) from None


def _is_published(file: PublishedFile, content: bytes) -> bool:
    if file.sha256:
        return hashlib.sha256(content).hexdigest() == file.sha256
    head = b"blob %d\0" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest() == file.git_blob
