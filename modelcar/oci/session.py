"""Session of requests to a registry: redirects that are followed, bodies that end, authorities to trust."""

import http.client
import ipaddress
import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from modelcar import pod
from modelcar.errors import RegistryError

LARGEST_ANSWER = 4 << 20
"""Bytes. No answer that is not a blob needs more: tokens and errors take some KiB, a manifest has the same limit."""

ANSWER_SECONDS = 120.0
"""How long the body of such an answer may take, once it has begun."""

_BLOCK_BYTES = 1 << 20
_CERTIFICATES = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


class Session(requests.Session):
    """Follows redirects (Quay and others answer with a storage's address), but not into the network it runs in.

    requests itself takes credentials off a redirect to another host. What it reads as a whole is limited here.
    """

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Sends a request; the body of the answer is read up to a limit, unless it is to be streamed."""
        is_streamed = options.pop("stream", False)
        response = super().send(request, stream=True, **options)
        if not is_streamed:
            keep(response)
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Returns where a redirect leads, if it may be followed.

        Raises:
            RegistryError: A registry on the internet names an address within this network.
        """
        target = super().get_redirect_target(resp)
        if target is not None:
            # requests reads what comes with a redirect, however much that is.
            keep(resp)
            origin, goal = urlsplit(resp.url).hostname or "", urlsplit(urljoin(resp.url, target)).hostname or ""
            if goal != origin and _is_within(goal) and not _is_within(origin):
                raise RegistryError(f"{origin} redirects us to {goal}, an address within this network; not followed")
        return target


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
            if len(content) > LARGEST_ANSWER or time.monotonic() > deadline:
                response.close()
                limit = f"{LARGEST_ANSWER} bytes" if len(content) > LARGEST_ANSWER else f"{ANSWER_SECONDS:.0f} s"
                raise RegistryError(f"{_host(response.url)} answers without end; given up after {limit}")
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise requests.exceptions.ConnectionError(error) from None
    response._content, response._content_consumed = bytes(content), True  # type: ignore[attr-defined]


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


class TrustingAdapter(HTTPAdapter):
    """Trusts, besides the public authorities, those that `certs.d` and the cluster name for this registry."""

    def __init__(self, host: str) -> None:
        self._context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
        self._context.load_default_certs()
        for certificate in trusted_certificates(host):
            self._context.load_verify_locations(certificate)
        super().__init__(pool_maxsize=32)

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """Has a connection checked; the context has the public authorities, which need not be read for each anew."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        if verify is True:
            conn.ca_certs = None

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Makes a pool whose sockets are written to in large blocks (http.client's default is 16 KiB)."""
        super().init_poolmanager(*args, ssl_context=self._context, blocksize=_BLOCK_BYTES, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Makes the same pool of connections that go through a proxy."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, blocksize=_BLOCK_BYTES, **options)


def trusted_certificates(host: str) -> list[Path]:
    """Files of certificate authorities to trust for a registry, besides the system's: `certs.d` and OpenShift's own."""
    files = [file for folder in _CERTIFICATES for file in sorted((folder / host).glob("*.crt"))]
    service_ca = pod.SERVICE_ACCOUNT / "service-ca.crt"
    if host.split(":")[0].endswith(".svc") and service_ca.is_file():
        files.append(service_ca)
    return files


def _is_within(host: str) -> bool:
    """Tells whether a host has an address that is not on the internet. One that only a proxy can resolve has none."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return any(not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global for *_, address in found)
