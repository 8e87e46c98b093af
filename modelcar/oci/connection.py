"""HTTP to one registry: TLS, retries, addresses. What is asked for is registry.py's matter."""

import threading
import time
from collections.abc import Callable, Collection, Iterable
from urllib.parse import SplitResult, urldefrag, urljoin, urlsplit

import requests

from modelcar.errors import RegistryError, RegistryUnwellError
from modelcar.oci import error_format, registries_conf, status
from modelcar.oci.addresses import is_loopback, name_of
from modelcar.oci.authentication import Login, Scope
from modelcar.oci.failures import answered, connection_errors, proxy_error
from modelcar.oci.session import Session, with_tls
from modelcar.retries import retrying

__all__ = ["Connection", "Scope"]

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0
"""Time that an answer that moves no blob may take in all, besides a second for each 16 KiB of it."""

BLOB_SECONDS = 300.0
"""The same for an answer that does: a registry may first fetch it from elsewhere."""

WRITE_SECONDS = 600.0
"""The same for an answer to a blob's bytes: the registry brings them to disk before it answers."""

_LOGINS = 3
_TOLD_WAIT_SECONDS = 10.0
_SERVED_BY = {"docker.io": "registry-1.docker.io"}
_REHOMED = ("blobs/uploads", "referrers")
_DEFAULT_PORTS = {"https": 443, "http": 80}

Body = bytes | Iterable[bytes] | None


class Connection:
    """Authenticated, retried requests to one registry. Safe to use from several threads.

    Args:
        host: The registry's host and port, as in an image reference.
        repository: What will be asked for there, for settings that are for some repositories alone.
    """

    def __init__(self, host: str, repository: str = "") -> None:
        self.host = host
        self._repository = repository
        self._other_name = ""
        self.settings = registries_conf.settings_of(host, repository)
        self.certificate_is_checked = True
        self.on_pressure: Callable[[], None] = _nobody
        self._session = Session(host, _SERVED_BY.get(host, host), private_storage=self.settings.private_storage)
        self.login = Login(host, self._session)
        self._lock = threading.Lock()
        self._origin = ""
        self._told_until = 0.0

    @property
    def origin(self) -> str:
        """Returns where its API is. Plain HTTP is spoken only where TLS is not answered, by this machine or one named
        insecure.
        """
        with self._lock:
            if not self._origin:
                self._origin = self._greet()
            return self._origin

    def close(self, *, for_good: bool = True) -> None:
        """Closes every connection, also those on which somebody waits.

        Args:
            for_good: Let no other follow, such as those of who tidies up.
        """
        self._session.abort(for_good=for_good)
        self._session.close()

    @retrying
    def request(
        self,
        method: str,
        path: str,
        scope: Scope,
        expect: Collection[int],
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Sends a request that can be repeated, and tries again what may pass.

        Args:
            method: The HTTP method.
            path: Path or URL; a URL must be on this registry.
            scope: What the request needs to be allowed to do.
            expect: Status codes that are an answer. Any other is an error.
            headers: More headers.
            body: What to send, or None.
            stream: Leave the answer's body to be read by the caller.

        Raises:
            CredentialsError: The registry refused, with the file the credentials came from.
            RegistryError: Any other failure.
        """
        response = self.send(method, path, scope, headers=headers, body=body, stream=stream)
        return self.checked(response, scope, expect)

    def send(
        self,
        method: str,
        path: str,
        scope: Scope,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        stream: bool = False,
        seconds: float = 0.0,
    ) -> requests.Response:
        """Sends a request that can be repeated, and logs in anew where the registry asks for it; returns any answer."""
        # Credentials rotate, also between the moment they are read and the one they are looked at.
        for left in reversed(range(_LOGINS)):
            response = self.send_once(method, path, scope, headers=headers, body=body, stream=stream, seconds=seconds)
            if response.status_code != requests.codes.unauthorized or _led_to(response):
                break
            self.forget(scope, response)
            if left:
                response.close()
        return response

    def send_once(
        self,
        method: str,
        path: str,
        scope: Scope,
        *,
        headers: dict[str, str] | None = None,
        body: Body = None,
        stream: bool = False,
        seconds: float = 0.0,
    ) -> requests.Response:
        """Sends a request once, as it is: for bodies that cannot be sent twice."""
        again = body is None or isinstance(body, bytes)
        try:
            url = self._url(path)
            with connection_errors(self.host, url):
                return self._session.request(
                    method,
                    url,
                    headers={**(headers or {}), **self.login.headers(scope)},
                    data=body,
                    stream=stream,
                    timeout=(CONNECT_SECONDS, seconds or (BLOB_SECONDS if stream else ANSWER_SECONDS)),
                    # What was sent from a stream cannot be sent once more to another place.
                    allow_redirects=again,
                )
        except RegistryUnwellError as error:
            self._tell_wait(error.retry_after)
            self.on_pressure()
            raise

    def checked(self, response: requests.Response, scope: Scope, expect: Collection[int]) -> requests.Response:
        """Returns the response, if its status is one that was expected.

        Raises:
            CredentialsError: 401 or 403, of the registry itself.
            RegistryUnwellError: A status that may pass.
            RegistryError: Any other status, with the registry's own words.
        """
        if response.status_code in expect:
            return response
        raise self.failure(response, scope)

    def failure(self, response: requests.Response, scope: Scope) -> RegistryError:
        """Returns the error for a status that is none of those expected, in the registry's own words."""
        code, storage = response.status_code, _led_to(response)
        if code in status.REFUSED and not storage:
            return self.login.refused(scope, response)
        who = f"{storage}, where {self.host} sent us," if storage else self.host
        asked = f"{response.request.method} {urlsplit(response.url).path}"
        said, led = self.login.cleaned(error_format.server_message(response), scope), ""
        if self._other_name and code in status.LOST:
            led = f" (it sent us to {self._other_name}, another host; asked for here)"
        # A storage refuses a signed link that has ended; the registry gives another one.
        has_ended = code in status.REFUSED and response.request.method == "GET"
        error = answered(f"{who} answered {code} to {asked}: {said}{led}", response, may_pass=has_ended)
        if isinstance(error, RegistryUnwellError):
            self._tell_wait(error.retry_after)
            self.on_pressure()
        return error

    def forget(self, scope: Scope, response: requests.Response | None = None) -> None:
        """Drops the token for a scope, so that the next request asks for one with the credentials of that moment.

        What another host asks for, to which the registry sent us, is not for who asks at the registry.
        """
        self.login.forget(scope)
        if response is not None and not _led_to(response):
            self.login.challenged(response, scope)

    def location(self, response: requests.Response) -> str:
        """Returns the address to which an answer leads, which must be on this registry.

        Raises:
            RegistryError: There is none, or it is on another host.
        """
        host = urlsplit(response.url).netloc.rpartition("@")[2]
        if "Location" not in response.headers:
            raise RegistryError(f"{host} began an upload without saying where (no Location)")
        # A fragment is for those who read, and would swallow the query that we add.
        path = urldefrag(str(response.headers["Location"]).strip()).url
        try:
            return self._on_this_registry(urljoin(response.url, path))
        except ValueError:
            raise RegistryError(f"{self.host} sent us to {path!r}, which is no address") from None

    def _url(self, path: str) -> str:
        if path.startswith("/v2/"):
            return self.origin + path
        try:
            return self._on_this_registry(urljoin(self.origin, path))
        except ValueError:
            raise RegistryError(f"{self.host} sent us to {path!r}, which is no address") from None

    def _on_this_registry(self, url: str) -> str:
        """Returns an address with TLS, if the registry has it; hosts have no case, and need not name their usual
        port.

        A registry behind a front need not know the name by which it is asked. What it calls an upload of this
        repository at another one, or a further page of a list, is here as well: nothing is sent there.
        """
        here, there, leaves_tls = urlsplit(self.origin), urlsplit(url), False
        try:
            there = urlsplit(with_tls(self.origin, url))
        except RegistryError:
            leaves_tls = True
        if not leaves_tls and _authority(there) == _authority(here):
            return there.geturl()
        if _authority(there) != _authority(urlsplit(f"{here.scheme}://{self.host}")):
            if not there.path.startswith(tuple(f"/v2/{self._repository}/{own}/" for own in _REHOMED)):
                way = "from TLS to plain HTTP at" if leaves_tls else "to another host,"
                raise RegistryError(f"{self.host} sent us {way} {_host(there)}; not followed")
            self._other_name = _host(there)
        return there._replace(scheme=here.scheme, netloc=here.netloc).geturl()

    def _tell_wait(self, seconds: float) -> None:
        with self._lock:
            if seconds >= _TOLD_WAIT_SECONDS and time.monotonic() > self._told_until:
                self._told_until = time.monotonic() + seconds
                print(f"{self.host} asks us to wait {seconds:.0f} s", flush=True)

    def _greet(self) -> str:
        served_by = _SERVED_BY.get(self.host, self.host)
        url = f"https://{served_by}"
        try:
            return self._greet_at(url)
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                if not self.settings.insecure:
                    return self._explained(error, url)
                return self._greet_unchecked(url, served_by)
            if not (self.settings.insecure or is_loopback(self.host)):
                return self._explained(error, url)
        except requests.exceptions.RequestException as error:
            if isinstance(error, requests.exceptions.ProxyError) or not self.settings.insecure:
                return self._explained(error, url)
        with connection_errors(self.host, f"http://{served_by}"):
            return self._greet_at(f"http://{served_by}")

    def _greet_unchecked(self, url: str, served_by: str) -> str:
        self._session.trust_any_certificate()
        self.certificate_is_checked = False
        with connection_errors(self.host, url):
            return self._greet_at(url)

    def _explained(self, error: Exception, url: str) -> str:
        with connection_errors(self.host, url):
            raise error

    def _greet_at(self, url: str) -> str:
        """Asks for the API's version; returns where the API is, which a redirect may tell."""
        seconds = (CONNECT_SECONDS, ANSWER_SECONDS)
        response = self._session.get(f"{url}/v2/", timeout=seconds)
        code = response.status_code
        if code == requests.codes.proxy_authentication_required:
            raise proxy_error(response.url, f"{code} {response.reason}")
        # A name that stands for another registry. Pages for people are elsewhere than under /v2/.
        there = urlsplit(response.url)
        path = there.path.rstrip("/")
        if response.history and path.endswith("/v2"):
            url = f"{there.scheme}://{there.netloc}{path.removesuffix('/v2')}"
        if _authority(there) == _authority(urlsplit(url)):
            self.login.challenged(response)
        if not (code in status.SUCCESS or code == requests.codes.unauthorized or self.login.scheme):
            if status.may_pass(code):
                raise answered(
                    f"{self.host} answered {code} to GET /v2/: {error_format.server_message(response)}", response
                )
            raise RegistryError(
                f"{self.host} answered {code} to GET /v2/, so it is no OCI registry",
                "Check the host and port in the image reference",
            )
        return url


def _nobody() -> None:
    """Tells nobody."""


def _host(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _led_to(response: requests.Response) -> str:
    """Returns the host that answered in place of the one that was asked, such as its storage; empty for none."""
    asked, there = (urlsplit(one.url) for one in ([*response.history, response][0], response))
    return "" if _authority(asked) == _authority(there) else _host(there)


def _authority(url: SplitResult) -> tuple[str, int | None]:
    return name_of(_host(url)), url.port or _DEFAULT_PORTS.get(url.scheme)
