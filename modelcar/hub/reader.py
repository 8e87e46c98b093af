"""Files of a model on the Hub, read in parts, in order, over as many connections as bring more speed."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from modelcar.errors import HubBusyError, HubError, HubUnwellError
from modelcar.hub.identity import identity_headers
from modelcar.hub.read_ahead import ReadAhead
from modelcar.hub.window import Window
from modelcar.hub.xet import Xet, XetError
from modelcar.tls import TlsAdapter, TlsSession, shared_context

MIN_CHUNK_BYTES, MAX_CHUNK_BYTES = 1 << 16, 1 << 20
CHUNK_SECONDS = 0.25
"""Time that a chunk may take; of a slow connection chunks are smaller, so that it is seen to be alive."""

MIN_BYTES_PER_SECOND, REQUEST_SECONDS = 10_000, 120.0
"""A request may take so long, and as much longer as its bytes take at this speed."""

MIN_XET_BYTES = 8 << 20
"""Size below which a file is not worth a question to Xet's storage."""

LINK_SECONDS = 10.0
"""Time that one part of a file waits while another asks the Hub for the storage's link."""

TIMEOUT_SECONDS = (15, 120)
MAX_REDIRECTS = 10
_CONNECTIONS = 32
"""Connections that are kept open to each host."""

ACCESS_REMEDY = (
    "Accept its conditions on its page, then give a read token: HF_TOKEN in the environment, `hf auth login`, "
    "or the Secret that the pipeline's hf_token_secret names"
)
_ENDED_LINK = (400, 401, 403, 404, 410)
"""Answers of storages to a signed link that has ended. The Hub gave it to somebody who may read the file."""

_BUSY = (429, 503)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class Session(TlsSession):
    """HTTP to the Hub and to the storage that it redirects to; never from TLS to plain HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = MAX_REDIRECTS
        self.mount("https://", TlsAdapter(shared_context(), _CONNECTIONS))
        self.mount("http://", HTTPAdapter(pool_maxsize=_CONNECTIONS))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Returns where a redirect leads.

        Raises:
            HubError: It leads from TLS to plain HTTP.
        """
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https" and target.partition(":")[0].lower() == "http":
            raise HubError(
                f"{urlsplit(resp.url).netloc} redirects from TLS to plain HTTP ({urlsplit(target).netloc}), "
                "which is not followed",
                "Check HF_ENDPOINT",
            )
        return target


@dataclass(frozen=True)
class Place:
    """An address that is asked for many parts: what is the same each time, half of the work, is done once.

    Attributes:
        url: The address.
        session: Sends the requests.
        request: A request without headers of its own.
        settings: Proxies, as the environment has them.
    """

    url: str
    session: Session
    request: requests.PreparedRequest
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, session: Session, url: str) -> Self:
        """Prepares requests to an address."""
        settings = session.merge_environment_settings(url, {}, True, None, None)
        return cls(url, session, session.prepare_request(requests.Request("GET", url)), settings)

    def get(self, headers: Mapping[str, str]) -> requests.Response:
        """Asks for what is there; the body is left to be read."""
        request = self.request.copy()
        request.headers.update(headers)
        return self.session.send(request, timeout=TIMEOUT_SECONDS, **self.settings)


@dataclass(frozen=True)
class Transport:
    """Transport of a Hub's files, shared by all that are read.

    Attributes:
        session: HTTP connections.
        read_ahead: What reads ahead over several of them.
        xet: What reads over Xet; None for plain HTTP alone.
    """

    session: Session
    read_ahead: ReadAhead
    xet: Xet | None = None


class HubFile:
    """A file of a model at a commit, read from the Hub as it is needed: nothing is kept on this machine.

    The Hub is asked once where the bytes are; the storage's signed link serves all parts until it ends.

    Args:
        url: The file at its commit on the Hub.
        model: The model's id, for error messages.
        path: The file in it.
        size: Its published size in bytes.
        transport: How it is read.
    """

    def __init__(self, url: str, model: str, path: str, size: int, transport: Transport) -> None:
        self.size = size
        self._url = url
        self._model = model
        self._name = f"{model}/{path}"
        self._session = transport.session
        self._read_ahead = transport.read_ahead
        self._xet = transport.xet
        self._link = ""
        self._place: Place | None = None
        self._chunk_bytes = MIN_CHUNK_BYTES
        self._asking = threading.Lock()

    def __str__(self) -> str:
        return self._name

    @property
    def connections(self) -> int:
        """Connections that there may be at the moment, for all files together."""
        return self._read_ahead.limit.value

    def read(self, start: int = 0, end: int | None = None, *, unbroken: bool = False) -> Iterator[bytes]:
        """Gives the bytes from `start` to `end` (by default all), in order, in chunks of at most 1 MiB.

        A connection that breaks is taken up; a signed link that ends is fetched anew.

        Args:
            start: The first byte.
            end: The byte after the last one; None for the file's end.
            unbroken: Read over one connection, and not in parts over several.

        Raises:
            HubError: The Hub refused, or its answers contradict what it published.
            HubUnwellError: The Hub went away, and several attempts brought no more bytes.
        """
        last = self.size if end is None else min(end, self.size)
        first = min(start, last)
        if self._xet is not None and not unbroken and last - first >= MIN_XET_BYTES:
            return self._read_over_xet(self._xet, first, last)
        return self._read_ahead.read(self._fetch, self._name, first, last, unbroken=unbroken)

    def _read_over_xet(self, xet: Xet, start: int, end: int) -> Iterator[bytes]:
        at = start
        try:
            for chunk in xet.read(self._url, self.size, start, end):
                yield chunk
                at += len(chunk)
        except XetError as error:
            print(f"{self}: no bytes over Xet ({error.what}); the rest comes over plain HTTP", flush=True)
            yield from self._read_ahead.read(self._fetch, self._name, at, end)

    def _fetch(self, window: Window) -> Iterator[bytes]:
        at = window.position
        while at < window.end:
            try:
                response = self._open(window, at)
                if response is None:
                    return
                with closing(response):
                    self._check(response)
                    if response.status_code == requests.codes.partial_content:
                        body = self._body(response, self._check_range(response, at, window.end) - at)
                    else:
                        body = self._rest_of_whole(response, window, at)
                    for chunk in body:
                        yield chunk
                        at += len(chunk)
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise _broken(self._name, error) from None

    def _rest_of_whole(self, response: requests.Response, window: Window, start: int) -> Iterator[bytes]:
        """Gives what is wanted out of an answer that begins with the file's first byte."""
        self._check_size(response.headers.get("Content-Length", ""))
        for _ in self._body(response, start):
            pass
        yield from self._body(response, window.end - start)
        if window.end == self.size and response.raw.read(1, decode_content=False):
            raise HubError(f"the Hub sends more of {self} than its {self.size} bytes", "Check HF_ENDPOINT")

    def _open(self, window: Window, start: int) -> requests.Response | None:
        """Asks the storage, or the Hub where it is not known yet; None if the window is not wanted any more."""
        link = self._link
        if link:
            response = self._ask(link, window, start)
            if response.status_code not in _ENDED_LINK:
                return response
            response.close()
        # One asks for a link, and the others wait for it, unless the Hub is silent.
        is_first = self._asking.acquire(timeout=LINK_SECONDS)
        try:
            if window.is_dropped:
                return None
            if self._link not in ("", link):
                return self._ask(self._link, window, start)
            self._link = ""
            response = self._ask(self._url, window, start)
            if response.ok:
                self._link = response.url
            return response
        finally:
            if is_first:
                self._asking.release()

    def _ask(self, url: str, window: Window, start: int) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        is_part = start > 0 or window.end < self.size
        if is_part:
            headers["Range"] = f"bytes={start}-" if window.end == self.size else f"bytes={start}-{window.end - 1}"
        response = self._get(url, headers)
        if is_part and response.status_code == requests.codes.ok:
            # Nobody else should ask for a part, and get the whole.
            window.take_over_rest()
        return response

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        identity = identity_headers()
        if _origin(url) != _origin(self._url):
            # requests takes the token off a redirect to another host, and it stays off.
            identity.pop("authorization", None)
        place = self._place
        if place is None or place.url != url:
            place = self._place = Place.of(self._session, url)
        return place.get({**identity, **headers})

    def _check(self, response: requests.Response) -> None:
        status = response.status_code
        if status in (requests.codes.ok, requests.codes.partial_content):
            return
        host = urlsplit(response.url).netloc
        # Also of a link that another part of the file was given a moment ago.
        if status in _ENDED_LINK and (response.history or _origin(response.url) != _origin(self._url)):
            raise HubUnwellError(
                f"{host} rejected the Hub's signed link to {self} ({status}): it has expired",
                "Check the clock of this machine",
            )
        if response.headers.get("X-Error-Code") == "GatedRepo":
            raise gated(self._model)
        if status in (requests.codes.unauthorized, requests.codes.forbidden):
            raise HubError(f"the Hub gives no access to {self} ({status})", ACCESS_REMEDY)
        kind = HubBusyError if status in _BUSY else HubUnwellError if status >= 500 or status == 408 else HubError
        pause = retry_after(response.headers.get("Retry-After", ""))
        asked = f", and asks to wait {pause:.0f} s" if pause else ""
        error = kind(f"the Hub answered {status} for {self}{asked}", "Try again later")
        error.retry_after = pause
        raise error

    def _check_range(self, response: requests.Response, start: int, end: int) -> int:
        """Returns the byte after the last one that the answer brings; it may bring less than was asked for."""
        given = response.headers.get("Content-Range", "")
        found = _CONTENT_RANGE.fullmatch(given.strip())
        if not found or int(found[1]) != start or not start <= int(found[2]) < end:
            raise HubUnwellError(
                f"the Hub was asked for bytes {start} to {end - 1} of {self} and gives {given[:100]!r}",
                "Something between here and the Hub alters ranges: check proxies and mirrors",
            )
        if found[3] != "*":
            self._check_size(found[3])
        return int(found[2]) + 1

    def _check_size(self, size: str) -> None:
        if size.isascii() and size.isdecimal() and int(size) != self.size:
            raise HubUnwellError(
                f"the Hub sends {int(size)} bytes of {self}, and published {self.size}",
                "Something between here and the Hub alters it, or a mirror is not up to date: check HF_ENDPOINT",
            )

    def _body(self, response: requests.Response, left: int) -> Iterator[bytes]:
        """Gives the next bytes of an answer, all of which must come."""
        deadline = time.monotonic() + REQUEST_SECONDS + left / MIN_BYTES_PER_SECOND
        while left:
            before = time.monotonic()
            if before > deadline:
                raise HubUnwellError(f"the Hub sends {self} at less than {MIN_BYTES_PER_SECOND} bytes a second")
            chunk = response.raw.read(min(self._chunk_bytes, left), decode_content=False)
            if not chunk:
                raise HubUnwellError(f"the connection to the Hub broke while reading {self}: it ended early")
            self._adapt_chunks(time.monotonic() - before)
            left -= len(chunk)
            yield chunk

    def _adapt_chunks(self, seconds: float) -> None:
        if seconds < CHUNK_SECONDS:
            self._chunk_bytes = min(2 * self._chunk_bytes, MAX_CHUNK_BYTES)
        elif seconds > 4 * CHUNK_SECONDS:
            self._chunk_bytes = max(self._chunk_bytes // 2, MIN_CHUNK_BYTES)


def retry_after(header: str) -> float:
    """Returns the seconds that a Retry-After header asks to wait, or 0."""
    try:
        return float(Retry().parse_retry_after(header)) if header else 0.0
    except (urllib3.exceptions.HTTPError, ValueError, OverflowError):
        return 0.0


def gated(model: str) -> HubError:
    """Returns the error for a model whose conditions were not accepted."""
    return HubError(f"the model {model} is gated and this token (or its absence) gives no access", ACCESS_REMEDY)


def _broken(name: str, error: Exception) -> HubUnwellError:
    """A connection that was not taken is a sign that there are too many; one that broke is not."""
    kind = HubBusyError if isinstance(error, requests.exceptions.ConnectionError) else HubUnwellError
    return kind(f"the connection to the Hub broke while reading {name}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """Returns what an error says first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
