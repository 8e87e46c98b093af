"""TLS to servers of whatever kind: the authorities that are trusted everywhere, read once.

To read the public authorities takes 40 ms of a processor, as long as a dozen requests. So all connections of a process
share one context, but those to a registry that has authorities, or a client's certificate, of its own (oci/trust.py).
"""

import os
import ssl
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from modelcar.errors import ModelcarError, PlanError

_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a file, or a folder, of authorities; requests takes the first that is set."""

_AUTHORITIES = "It takes certificates of authorities in PEM; unset the variable to trust the system's alone"


class TlsSession(requests.Session):
    """Requests that carry what they were given, and nothing of the environment's but its proxies.

    Whom to trust is the matter of their contexts alone, which know what the environment names too: requests itself
    would have each connection read that anew, and check by it also those that nobody is to check. ~/.netrc adds no
    login, also not where a redirect leads. No cookie is brought back: Harbor takes a write with one for a browser's,
    and refuses it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.auth = _no_auth
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Takes proxies from the environment, and no authorities."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "verify": self.verify if verify is None else verify}

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Takes off what must not go where a redirect leads: a login to another host, and cookies to any."""
        prepared_request.headers.pop("Cookie", None)
        before = response.request.url or ""
        if self.should_strip_auth(before, prepared_request.url or ""):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Adds no login. Without it, requests looks into ~/.netrc."""
    return request


class TlsAdapter(HTTPAdapter):
    """Connections over one TLS context. urllib3 alone would read the authorities anew for each of them.

    Args:
        context: The context, which has all authorities.
        connections: Number of connections that are kept open to each host.
        options: What else urllib3 is to know of its pools.
    """

    def __init__(self, context: ssl.SSLContext, connections: int, **options: Any) -> None:
        self._options = {"ssl_context": context, **options}
        super().__init__(pool_maxsize=connections)

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """Has a connection checked, by the authorities that the context has already."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ca_certs = conn.ca_cert_dir = None

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Makes a pool of connections with the one context."""
        super().init_poolmanager(*args, **{**options, **self._options})

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Makes the same pool of connections that go through a proxy."""
        return super().proxy_manager_for(proxy, **self._options, **options)


def check_authorities(kind: type[ModelcarError]) -> None:
    """Raises if SSL_CERT_FILE names no file with authorities.

    Args:
        kind: The error to raise.
    """
    file = os.environ.get("SSL_CERT_FILE")
    if not file:
        return
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        raise kind(f"{file}, which SSL_CERT_FILE names, cannot be used: {error}", _AUTHORITIES) from None


def shared_context() -> ssl.SSLContext:
    """Returns a context that trusts the public authorities, the system's, and those that the environment names.

    It is made anew where the environment names other files, or one of them has changed since.

    Raises:
        PlanError: The environment names a file that cannot be used.
    """
    return _of_files(_stamps())


def new_context() -> ssl.SSLContext:
    """Makes such a context, to which more can be added.

    Raises:
        PlanError: The environment names a file that cannot be used.
    """
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.load_default_certs()
    if bundle := _bundle():
        try:
            context.load_verify_locations(**{"capath" if Path(bundle).is_dir() else "cafile": bundle})
        except (OSError, ValueError) as error:
            raise PlanError(
                f"{bundle}, which {' or '.join(_BUNDLE_VARIABLES)} names, cannot be used: {error}",
                _AUTHORITIES,
            ) from None
    return context


# One for the environment of today; who changes that seldom goes back.
@lru_cache(maxsize=1)
def _of_files(stamps: tuple[tuple[str, int], ...]) -> ssl.SSLContext:
    return new_context()


def _stamps() -> tuple[tuple[str, int], ...]:
    """Returns the files and folders that a context is made of, each with the time of its last change; 0 for none."""
    system = ssl.get_default_verify_paths()
    files = (DEFAULT_CA_BUNDLE_PATH, system.cafile, system.capath, _bundle())
    return tuple((file, os.stat(file).st_mtime_ns if os.path.exists(file) else 0) for file in files if file)


def _bundle() -> str:
    return next((value for name in _BUNDLE_VARIABLES if (value := os.environ.get(name))), "")
