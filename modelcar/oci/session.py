"""Session of requests to a registry: redirects that are followed, bodies that end, authorities to trust."""

import http.client
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from modelcar.errors import RegistryError
from modelcar.oci import status
from modelcar.oci.addresses import Guard, name_of
from modelcar.oci.sockets import LiveSockets, TooSlowError
from modelcar.oci.trust import WatchedAdapter, tls_context
from modelcar.tls import TlsSession

MAX_ANSWER_BYTES = 4 << 20
"""Size of an answer that is not a blob: tokens and errors take some KiB, a manifest has the same limit."""

ANSWER_SECONDS = 120.0
"""Time that the body of such an answer may take, once it has begun."""

MAX_REDIRECTS = 10
_SAME_METHOD = (307, 308)
_BLOCK_BYTES = 1 << 20


class Session(TlsSession):
    """Follows redirects (Quay and others answer with a storage's address), but not into the network it runs in.

    What requests reads as a whole is limited here.

    Args:
        host: The registry's host and port, as in an image reference.
        server: The host and port that answers for it.
        private_storage: Whether somebody said that its storage is within the network (registries_conf).
    """

    def __init__(self, host: str, server: str = "", *, private_storage: bool = False) -> None:
        super().__init__()
        self.max_redirects = MAX_REDIRECTS
        # What is asked for is checked against digests of what is stored.
        self.headers["Accept-Encoding"] = "identity"
        self._host = host
        self._live = LiveSockets()
        self._guard = Guard(host, server or host, allowed=private_storage)
        self._mount(checked=True)

    def trust_any_certificate(self) -> None:
        """Checks no certificate from now on; somebody said so on purpose (registries_conf)."""
        self.verify = False
        self._mount(checked=False)

    def abort(self, *, for_good: bool = True) -> None:
        """Ends every request that is under way, in whatever thread.

        Args:
            for_good: Let no new one begin.
        """
        self._live.shut_down(for_good=for_good)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Sends a request; the body of the answer is read up to a limit, unless it is to be streamed."""
        url = request.url or ""
        if select_proxy(url, get_environ_proxies(url)):
            self._guard.check_behind_proxy(urlsplit(url).hostname or "")
        is_streamed = options.pop("stream", False)
        response = super().send(request, stream=True, **options)
        if not is_streamed:
            _keep_written(response) if _is_written(response) else keep(response)
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Returns where a redirect leads, if it may be followed.

        Raises:
            RegistryError: It leads from TLS to plain HTTP, or a registry on the internet names an address within this
                network.
        """
        target = super().get_redirect_target(resp)
        if target is None or (resp.request.method not in ("GET", "HEAD") and resp.status_code not in _SAME_METHOD):
            # Of what is written, a GET would be made: that says nothing of whether it was written.
            return None
        # requests reads what comes with a redirect, however much that is.
        keep(resp)
        return with_tls(resp.url, urljoin(resp.url, target))

    def _mount(self, *, checked: bool) -> None:
        if not checked:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        context = tls_context(self._host, checked=checked)
        for scheme in ("https://", "http://"):
            self.mount(scheme, WatchedAdapter(self._guard, self._live, context))


def with_tls(origin: str, url: str) -> str:
    """Returns an address that TLS led to, which must not be without.

    Proxies that end TLS and do not say so make registries name themselves with `http`: then the host is the same, and
    TLS is what was meant.

    Args:
        origin: The address of who sent us there.
        url: Where.

    Raises:
        RegistryError: It leads to another host, without TLS.
    """
    here, there = urlsplit(origin), urlsplit(url)
    if here.scheme != "https" or there.scheme != "http":
        return url
    if name_of(there.netloc.rpartition("@")[2]) != name_of(here.netloc.rpartition("@")[2]):
        raise RegistryError(
            f"{here.netloc.rpartition('@')[2]} sends us from TLS to plain HTTP at {there.netloc.rpartition('@')[2]}; "
            "not followed"
        )
    # Without a port, or with that of plain HTTP, it is the port of TLS that was lost with the scheme.
    netloc = here.netloc if there.port in (None, 80) else there.netloc
    return urlunsplit(("https", netloc, there.path, there.query, there.fragment))


def keep(response: requests.Response) -> None:
    """Reads an answer's body into the response, as requests does, but no endless one.

    Raises:
        RegistryError: It is too large, or does not end in time.
        requests.ConnectionError: The connection broke.
    """
    if response._content_consumed:  # type: ignore[attr-defined]
        return
    content, deadline = bytearray(), time.monotonic() + ANSWER_SECONDS
    try:
        while chunk := response.raw.read1(_BLOCK_BYTES, decode_content=True):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                response.close()
                limit = f"{MAX_ANSWER_BYTES} bytes" if len(content) > MAX_ANSWER_BYTES else f"{ANSWER_SECONDS:.0f} s"
                raise RegistryError(f"{_host(response.url)} answers without end; given up after {limit}")
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        if is_too_slow(error):
            raise RegistryError(f"{_host(response.url)} answers too slowly to be waited for") from None
        raise requests.exceptions.ConnectionError(error) from None
    response._content, response._content_consumed = bytes(content), True  # type: ignore[attr-defined]


def _is_written(response: requests.Response) -> bool:
    """Tells whether an answer says that something was written; a token is asked for with a form, and is no such."""
    method = response.request.method
    asked = method in ("PATCH", "PUT", "DELETE") or (method == "POST" and not response.request.body)
    return asked and response.status_code in status.NO_REFUSAL


def _keep_written(response: requests.Response) -> None:
    """Reads an answer of which nothing but its head counts; it may have no end, or another than it says."""
    headers = response.headers
    tells_its_end = "Content-Length" in headers or "Transfer-Encoding" in headers
    if tells_its_end or headers.get("Connection", "").lower() == "close":
        with suppress(requests.exceptions.ConnectionError):
            keep(response)
            return
    response.close()
    response._content, response._content_consumed = b"", True  # type: ignore[attr-defined]


def is_too_slow(error: BaseException) -> bool:
    """Tells whether a failure is that of an answer which dripped."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TooSlowError):
            return True
        inner = getattr(seen, "reason", None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
    return False


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
