"""Small parts of a model's files, read to decide what to take: never more bytes than were asked for."""

from collections.abc import Callable

import requests
import urllib3
from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from modelcar import __version__
from modelcar.errors import HubUnwellError
from modelcar.hub.reader import CLIENT, Session, first_line
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.retries import retrying

MIN_READ_BYTES = 1 << 20
"""As much of a small file as is read, whatever its size is said to be."""

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
        return self._read_once(file, {}, max(file.size, MIN_READ_BYTES))

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
        own = build_hf_headers(library_name=CLIENT, library_version=__version__)
        wanted = {**own, "Accept-Encoding": "identity", **headers}
        try:
            with self._session.get(url, headers=wanted, stream=True, timeout=_TIMEOUT_SECONDS) as response:
                status = response.status_code
                if status >= 500 or status in (408, 429):
                    raise HubUnwellError(f"the Hub answered {status} for {file.path}", "Try again later")
                # A Hub that does not know ranges sends the file from its beginning.
                if status != requests.codes.partial_content and (status != requests.codes.ok or not is_whole):
                    return None
                return bytes(response.raw.read(count, decode_content=False))
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise HubUnwellError(
                f"the connection to the Hub broke while reading {file.path}: {first_line(error)}"
            ) from None
