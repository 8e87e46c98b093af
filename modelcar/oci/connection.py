"""HTTP to one registry: TLS, proxies, authentication, retries. What is asked for is registry.py's matter."""

import http.client
import re
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, parse_dict_header, select_proxy

from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError
from modelcar.oci import credentials, error_format
from modelcar.oci.session import Session, TrustingAdapter
from modelcar.retries import retrying

CONNECT_SECONDS = 15.0
READ_SECONDS = 600.0
"""OpenShift's registry may take minutes to answer the end of a large upload while it copies within S3."""

TOKEN_MARGIN_SECONDS = 15.0
LONGEST_TOKEN_SECONDS = 24 * 3600.0
MOST_REDIRECTS = 10
_LOGINS = 3
_TOKEN = re.compile(r"[!-~]+")
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

_SERVED_BY = {"docker.io": "registry-1.docker.io"}

Body = bytes | Iterable[bytes] | None


@dataclass(frozen=True)
class Scope:
    """Permission of a request: `pull`, or `pull,push`, in one repository.

    Attributes:
        repository: The repository.
        actions: What is done there.
        source: Another one, of which it takes over blobs; empty for none.
    """

    repository: str
    actions: str = "pull"
    source: str = ""

    def resources(self) -> list[str]:
        """This as token services read it."""
        source = [f"repository:{self.source}:pull"] if self.source else []
        return [f"repository:{self.repository}:{self.actions}", *source]


@dataclass(frozen=True)
class _Token:
    value: str
    expires: float


class Connection:
    """Authenticated, retried requests to one registry. Safe to use from several threads.

    Args:
        host: The registry's host and port, as in an image reference.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self._session = Session()
        self._session.max_redirects = MOST_REDIRECTS
        # What is asked for is checked against digests of what is stored.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.mount("https://", TrustingAdapter(host))
        self._session.mount("http://", HTTPAdapter(pool_maxsize=32))
        # Credentials come from the auth files alone; ~/.netrc must not add any.
        self._session.auth = _no_auth
        self._lock = threading.Lock()
        self._origin = ""
        self._challenge: tuple[str, dict[str, str]] | None = None
        self._tokens: dict[Scope, _Token] = {}

    @property
    def origin(self) -> str:
        """Scheme and host. Plain HTTP is spoken only to this machine, and only where TLS is not answered."""
        with self._lock:
            if not self._origin:
                self._origin, self._challenge = self._greet()
            return self._origin

    def close(self) -> None:
        """Closes every connection."""
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
        # Credentials rotate, also between the moment they are read and the one they are looked at.
        for _ in range(_LOGINS):
            response = self.send_once(method, path, scope, headers=headers, body=body, stream=stream)
            if response.status_code != requests.codes.unauthorized:
                break
            response.close()
            self._forget_token(scope, response)
        return self.checked(response, scope, expect)

    def send_once(
        self,
        method: str,
        path: str,
        scope: Scope,
        *,
        headers: dict[str, str] | None = None,
        body: Body = None,
        stream: bool = False,
    ) -> requests.Response:
        """Sends a request once, as it is: for bodies that cannot be sent twice."""
        url = self._url(path)
        authorization = self._authorization(scope)
        try:
            return self._session.request(
                method,
                url,
                headers={**(headers or {}), **authorization},
                data=body,
                stream=stream,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
            )
        except requests.exceptions.SSLError as error:
            raise self._untrusted(error) from None
        except requests.exceptions.ProxyError as error:
            raise _not_let_through(url, _root_cause(error)) from None
        except requests.exceptions.TooManyRedirects:
            raise RegistryError(f"{self.host} redirects us more than {MOST_REDIRECTS} times") from None
        except (ValueError, http.client.HTTPException) as error:
            # No address, no header or no answer that HTTP knows. The error may quote what is secret.
            raise RegistryError(f"{self.host} does not answer as HTTP has it ({type(error).__name__})") from None
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout, OSError) as error:
            raise RegistryUnwellError(
                f"cannot reach the registry {self.host}: {_root_cause(error)}",
                "Check its name, that it is up, and the proxy settings (HTTPS_PROXY, NO_PROXY)",
            ) from None

    def checked(self, response: requests.Response, scope: Scope, expect: Collection[int]) -> requests.Response:
        """The response, if its status is one that was expected.

        Raises:
            CredentialsError: 401 or 403.
            RegistryUnwellError: A status that may pass.
            RegistryError: Any other status, with the registry's own words.
        """
        status = response.status_code
        if status in expect:
            return response
        if status in (requests.codes.unauthorized, requests.codes.forbidden):
            raise self._refused(scope, response)
        asked = f"{response.request.method} {urlsplit(response.url).path}"
        said = f"{self.host} answered {status} to {asked}: {error_format.words(response)}"
        if status in _TRANSIENT:
            error = RegistryUnwellError(said, "It was tried several times; try again later")
            error.status = status
            error.retry_after = _seconds(response.headers.get("Retry-After", ""))
            raise error
        raise RegistryError(said)

    def forget(self, scope: Scope) -> None:
        """Drops the token for a scope, so that the next request asks for one with the credentials of that moment."""
        with self._lock:
            self._tokens.pop(scope, None)

    def _url(self, path: str) -> str:
        try:
            url = urljoin(self.origin, path)
        except ValueError:
            raise RegistryError(f"{self.host} sent us to {path!r}, which is no address") from None
        if urlsplit(url).netloc != urlsplit(self.origin).netloc:
            raise RegistryError(f"{self.host} sent us to another host, {urlsplit(url).netloc}; not followed")
        return url

    def _greet(self) -> tuple[str, tuple[str, dict[str, str]] | None]:
        try:
            try:
                return self._greet_over("https")
            except requests.exceptions.SSLError as error:
                if not _is_loopback(self.host) or "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise self._untrusted(error) from None
                return self._greet_over("http")
        except requests.exceptions.ProxyError as error:
            raise _not_let_through(f"https://{self.host}", _root_cause(error)) from None
        except (
            requests.exceptions.ConnectionError,
            requests.exceptions.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise RegistryUnwellError(
                f"cannot reach the registry {self.host}: {_root_cause(error)}",
                "Check its name, that it is up, and the proxy settings (HTTPS_PROXY, NO_PROXY)",
            ) from None
        except (requests.exceptions.RequestException, http.client.HTTPException, ValueError) as error:
            raise RegistryError(f"{self.host} is no registry: {_root_cause(error)}") from None

    def _greet_over(self, scheme: str) -> tuple[str, tuple[str, dict[str, str]] | None]:
        origin = f"{scheme}://{_SERVED_BY.get(self.host, self.host)}"
        response = self._session.get(f"{origin}/v2/", timeout=(CONNECT_SECONDS, CONNECT_SECONDS), allow_redirects=False)
        if response.status_code == requests.codes.proxy_authentication_required:
            raise _not_let_through(response.url, f"{response.status_code} {response.reason}")
        if response.status_code in _TRANSIENT:
            raise RegistryUnwellError(
                f"{self.host} answered {response.status_code}", "It was tried several times; try later"
            )
        if response.status_code not in (requests.codes.ok, requests.codes.unauthorized):
            raise RegistryError(
                f"{self.host} answered {response.status_code} to GET /v2/, so it is no OCI registry",
                "Check the host and port in the image reference",
            )
        return origin, _challenge(response)

    def _authorization(self, scope: Scope) -> dict[str, str]:
        scheme, parameters = self._challenge or ("", {})
        if scheme == "basic":
            found = credentials.find(self.host, scope.repository)
            return {"Authorization": _basic(found)} if found else {}
        if scheme == "bearer":
            return {"Authorization": f"Bearer {self._token(scope, parameters)}"}
        return {}

    def _token(self, scope: Scope, parameters: dict[str, str]) -> str:
        with self._lock:
            token = self._tokens.get(scope)
            if token is None or token.expires <= time.monotonic():
                token = self._tokens[scope] = self._fetch_token(scope, parameters)
            return token.value

    def _fetch_token(self, scope: Scope, parameters: dict[str, str]) -> _Token:
        realm = parameters.get("realm", "")
        try:
            scheme = urlsplit(realm).scheme
        except ValueError:
            scheme = ""
        if scheme != "https" and not (scheme == "http" and _is_loopback(self.host)):
            raise RegistryError(
                f"{self.host} names a token service without TLS, {realm[:200]!r}; no credentials are sent there"
            )
        found = credentials.find(self.host, scope.repository)
        try:
            response = self._ask_for_token(realm, parameters.get("service", ""), scope, found)
        except requests.exceptions.SSLError as error:
            raise self._untrusted(error) from None
        except requests.exceptions.ProxyError as error:
            raise _not_let_through(realm, _root_cause(error)) from None
        except (ValueError, http.client.HTTPException) as error:
            raise RegistryError(
                f"the token service of {self.host} does not answer as HTTP has it ({type(error).__name__})"
            ) from None
        except requests.exceptions.RequestException as error:
            raise RegistryUnwellError(f"cannot reach the token service of {self.host}: {_root_cause(error)}") from None
        # What OAuth2 answers to an identity token that it does not take (RFC 6749, 5.2).
        if response.status_code == requests.codes.bad_request and _oauth_error(response) == "invalid_grant":
            raise self._refused(scope, response)
        try:
            answer = self.checked(response, scope, {requests.codes.ok}).json()
            lifetime = float(answer.get("expires_in") or 60)
            value = answer.get("token") or answer["access_token"]
            if not _TOKEN.fullmatch(value):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            raise RegistryError(f"the token service of {self.host} answered without a token") from None
        # What is no number lasts no time.
        lifetime = min(lifetime, LONGEST_TOKEN_SECONDS) if lifetime > 0 else 0.0
        return _Token(value, time.monotonic() + lifetime - min(TOKEN_MARGIN_SECONDS, lifetime / 4))

    def _ask_for_token(
        self, realm: str, service: str, scope: Scope, found: credentials.Credentials | None
    ) -> requests.Response:
        timeout = (CONNECT_SECONDS, CONNECT_SECONDS)
        if found and found.identity_token:
            form = {
                "service": service,
                "scope": " ".join(scope.resources()),
                "grant_type": "refresh_token",
                "refresh_token": found.identity_token,
                "client_id": "modelcar",
            }
            return self._session.post(realm, data=form, timeout=timeout, allow_redirects=False)
        headers = {"Authorization": _basic(found)} if found else {}
        query = {"service": service, "scope": scope.resources()}
        return self._session.get(realm, params=query, headers=headers, timeout=timeout, allow_redirects=False)

    def _forget_token(self, scope: Scope, response: requests.Response) -> None:
        self.forget(scope)
        with self._lock:
            self._challenge = _challenge(response) or self._challenge

    def _refused(self, scope: Scope, response: requests.Response) -> CredentialsError:
        found = credentials.find(self.host, scope.repository)
        verb = "push to" if "push" in scope.actions else "pull from"
        refused = f"{self.host} does not let us {verb} {scope.repository} ({response.status_code})"
        if found is None:
            looked = ", ".join(str(path) for path in credentials.auth_files()) or "no file that exists"
            return CredentialsError(
                f"{refused}: no credentials for it (looked in {looked})",
                f"Run `podman login {self.host}`, or name the registry's Secret in the pipeline's parameters",
            )
        if found.identity_token:
            return CredentialsError(
                f"{refused}: it refused the identity token from {found.source}",
                f"Such tokens end: run `podman login {self.host}` again",
            )
        return CredentialsError(
            f"{refused}: it refused {found.username or 'the token'!r} from {found.source}",
            "Check the password, and that this account may write there",
        )

    def _untrusted(self, error: Exception) -> RegistryError:
        return RegistryError(
            f"no trusted TLS connection to {self.host}: {_root_cause(error)}",
            f"If your own authority signed its certificate, put that authority into "
            f"/etc/containers/certs.d/{self.host}/ca.crt, or into the file that SSL_CERT_FILE names",
        )


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _not_let_through(url: str, why: str) -> RegistryError:
    """Returns the error to raise when a proxy does not connect us."""
    goal, proxy = urlsplit(url), urlsplit(select_proxy(url, get_environ_proxies(url)) or "")
    # A refusal stays; what a proxy cannot reach, or a proxy that cannot be reached, may pass.
    kind = RegistryError if re.search(r"\b(401|403|407)\b", why) else RegistryUnwellError
    return kind(
        f"the proxy {proxy.netloc.rpartition('@')[2]} does not connect us to {goal.netloc}: {why}",
        f"Check {goal.scheme.upper()}_PROXY (http://user:password@host:port); a host within this network belongs into "
        f"NO_PROXY: export NO_PROXY=$NO_PROXY,{goal.hostname}",
    )


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] or host
    return name in ("localhost", "[::1]") or name.startswith("127.")


def _challenge(response: requests.Response) -> tuple[str, dict[str, str]] | None:
    scheme, _, parameters = response.headers.get("WWW-Authenticate", "").partition(" ")
    if not scheme:
        return None
    values = parse_dict_header(parameters)  # type: ignore[no-untyped-call]
    return scheme.lower(), {key.strip().lower(): value or "" for key, value in values.items()}


def _basic(found: credentials.Credentials) -> str:
    return f"Basic {found.entry()['auth']}"


def _oauth_error(response: requests.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _seconds(text: str) -> float:
    return float(text) if re.fullmatch("[0-9]{1,9}", text) else 0.0


def _root_cause(error: BaseException) -> str:
    """The innermost reason: requests wraps urllib3, which wraps the socket's own words."""
    seen: BaseException = error
    while inner := getattr(seen, "reason", None) or seen.__cause__ or seen.__context__:
        if not isinstance(inner, BaseException):
            break
        seen = inner
    return str(seen) or type(seen).__name__
