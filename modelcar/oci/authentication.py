"""Authentication at a registry: with a password, or with a token that its token service gives for it."""

import re
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from modelcar.errors import CredentialsError, RegistryError
from modelcar.oci import challenge, cloud_identity, credentials, error_format, status
from modelcar.oci.challenge import Challenge
from modelcar.oci.failures import answered, connection_errors
from modelcar.oci.session import Session, with_tls

TOKEN_SECONDS = 60.0
"""Time that a token service may take."""

TOKEN_MARGIN_SECONDS = 15.0
MAX_TOKEN_SECONDS = 24 * 3600.0
_MAX_SCOPES = 16
_TOKEN = re.compile(r"[!-~]+")


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
        """Returns this as token services read it."""
        source = [f"repository:{self.source}:pull"] if self.source else []
        own = [f"repository:{self.repository}:{self.actions}"] if self.repository else []
        return [*own, *source]


@dataclass(frozen=True)
class _Token:
    value: str
    expires: float


class Login:
    """Answers what one registry asks for before it lets us in. Safe to use from several threads.

    Args:
        host: The registry's host and port, as in an image reference.
        session: Sends the requests to its token service.
    """

    def __init__(self, host: str, session: Session) -> None:
        self.host = host
        self._session = session
        self._lock = threading.Lock()
        self._offered: list[str] = []
        self._challenge: Challenge | None = None
        self._origin = f"https://{host}"
        self._tokens: dict[Scope, _Token] = {}
        self._useless: set[str] = set()
        self._named: dict[Scope, list[str]] = {}

    @property
    def scheme(self) -> str:
        """Returns what the registry asks for: `basic`, `bearer`, or nothing."""
        return self._challenge.scheme if self._challenge else ""

    def challenged(self, response: requests.Response, scope: Scope | None = None) -> None:
        """Takes in what an answer asks for, if it does.

        Args:
            response: The answer.
            scope: What the request needed to be allowed to do, if it was for more than to be greeted.
        """
        found = challenge.parse(_headers(response))
        if not found:
            return
        with self._lock:
            self._offered = [one.scheme for one in found]
            useful = [one for one in found if one.scheme not in self._useless]
            self._challenge = challenge.choose(useful or found)
            self._origin = response.url
            if scope is not None and self._challenge is not None:
                self._take_scope(scope, self._challenge.parameters)

    def _take_scope(self, scope: Scope, said: dict[str, str]) -> None:
        """Takes in what a token lacked (RFC 6750, 3.1): a registry behind others may know a repository otherwise."""
        if said.get("error") == "insufficient_scope":
            self._named[scope] = said.get("scope", "").split()[:_MAX_SCOPES]

    def headers(self, scope: Scope) -> dict[str, str]:
        """Returns the headers that let a request in."""
        if self.scheme == "basic":
            found = credentials.find(self.host, scope.repository)
            return {"Authorization": _basic(found)} if found else {}
        if self.scheme == "bearer":
            try:
                return {"Authorization": f"Bearer {self._token(scope)}"}
            except RegistryError:
                if not self._may_show_password(scope):
                    raise
            return self.headers(scope)
        return {}

    def _may_show_password(self, scope: Scope) -> bool:
        """Turns to the password, if the registry takes that too, for the rest of the run: its tokens are not to be
        had.
        """
        found = credentials.find(self.host, scope.repository)
        with self._lock:
            if "basic" not in self._offered or not (found and found.password):
                return False
            self._useless.add("bearer")
            self._challenge = Challenge("basic")
            return True

    def forget(self, scope: Scope) -> None:
        """Drops the token for a scope, so that the next request asks for one with the credentials of that moment."""
        with self._lock:
            self._tokens.pop(scope, None)
        credentials.forget()

    def refused(self, scope: Scope, response: requests.Response) -> CredentialsError:
        """Returns the error for a 401 or 403: the registry's own words, and whose login it refused."""
        said = self.cleaned(error_format.server_message(response), scope)
        error = self._refusal(scope, response.status_code, said)
        error.status = response.status_code
        return error

    def cleaned(self, words: str, scope: Scope) -> str:
        """Takes what is secret out of a registry's words, in case that they quote it."""
        try:
            found = credentials.find(self.host, scope.repository)
        except CredentialsError:
            return words
        secrets = [found.password, found.identity_token, found.entry()["auth"]] if found else []
        with self._lock:
            secrets += [token.value for token in self._tokens.values()]
        for secret in filter(None, secrets):
            words = words.replace(secret, "…") if len(secret) > 3 else words
        return words

    def _refusal(self, scope: Scope, code: int, said: str) -> CredentialsError:
        verb = "push to" if "push" in scope.actions else "pull from"
        words = "" if _is_empty(said) else f": {said}"
        refused = f"{self.host} does not let us {verb} {scope.repository} ({code}){words}"
        if self._offered and self._challenge is None and code == requests.codes.unauthorized:
            offered = ", ".join(dict.fromkeys(self._offered))
            return CredentialsError(f"{refused}: it asks for {offered} alone", "Enable Basic or Bearer there")
        found = credentials.find(self.host, scope.repository)
        if found is None:
            return self._no_login(refused)
        login = f"{found.username or 'the token'!r} from {found.source}"
        if words and code == requests.codes.forbidden:
            return CredentialsError(f"{refused} (as {login})", _remedy(said, self.host))
        if found.identity_token:
            return CredentialsError(
                f"{refused}: it refused the identity token from {found.source}",
                f"Such tokens end: run `podman login {self.host}` again",
            )
        remedy = _remedy(said, self.host) if words else ""
        return CredentialsError(
            f"{refused}: it refused {login}", remedy or "Check the password, and that this account may write there"
        )

    def _no_login(self, refused: str) -> CredentialsError:
        looked = ", ".join(str(path) for path in credentials.auth_files()) or "no file that exists"
        helper = cloud_identity.missing_helper(self.host)
        cloud = f", or put {helper} on the PATH, which logs in as the pod's own account" if helper else ""
        return CredentialsError(
            f"{refused}: no credentials for it (looked in {looked})",
            f"Run `podman login {self.host}`, or name the registry's Secret in the pipeline's parameters{cloud}",
        )

    def _token(self, scope: Scope) -> str:
        with self._lock:
            token = self._tokens.get(scope)
            if token is None or token.expires <= time.monotonic():
                token = self._tokens[scope] = self._fetch_token(scope)
            return token.value

    def _fetch_token(self, scope: Scope) -> _Token:
        realm = self._realm()
        found = credentials.find(self.host, scope.repository)
        with connection_errors(self.host, realm, what=f"the token service of {self.host}"):
            response = self._ask_for_token(realm, scope, found)
        # What OAuth2 answers to an identity token that it does not take (RFC 6749, 5.2).
        if response.status_code == requests.codes.bad_request and _oauth_error(response) == "invalid_grant":
            raise self._refusal(scope, response.status_code, error_format.server_message(response))
        if response.status_code in status.REFUSED:
            raise self._refusal(scope, response.status_code, error_format.server_message(response))
        if response.status_code not in status.SUCCESS:
            self._fail(response)
        try:
            answer = response.json()
            value = answer.get("token") or answer["access_token"]
            if not _TOKEN.fullmatch(value):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise RegistryError(f"the token service of {self.host} answered without a token") from None
        lifetime = _seconds(answer.get("expires_in"))
        # A lifetime that is NaN or negative counts as expired.
        lifetime = min(lifetime, MAX_TOKEN_SECONDS) if lifetime > 0 else 0.0
        return _Token(value, time.monotonic() + lifetime - min(TOKEN_MARGIN_SECONDS, lifetime / 4))

    def _realm(self) -> str:
        realm = (self._challenge.parameters.get("realm", "") if self._challenge else "").strip()
        try:
            realm = with_tls(self._origin, realm)
            scheme = urlsplit(realm).scheme
        except (ValueError, RegistryError):
            scheme = ""
        if scheme != "https" and not (scheme == "http" and self._origin.startswith("http://")):
            raise RegistryError(
                f"{self.host} names a token service without TLS, {realm[:200]!r}; no credentials are sent there"
            )
        return realm

    def _ask_for_token(self, realm: str, scope: Scope, found: credentials.Credentials | None) -> requests.Response:
        timeout = (TOKEN_SECONDS, TOKEN_SECONDS)
        scopes = list(dict.fromkeys([*scope.resources(), *self._named.get(scope, ())]))
        parameters = self._challenge.parameters if self._challenge else {}
        service = {"service": parameters["service"]} if parameters.get("service") else {}
        if found and found.identity_token:
            form = {
                **service,
                "scope": " ".join(scopes),
                "grant_type": "refresh_token",
                "refresh_token": found.identity_token,
                "client_id": "modelcar",
            }
            return self._session.post(realm, data=form, timeout=timeout, allow_redirects=False)
        headers = {"Authorization": _basic(found)} if found else {}
        account = {"account": found.username} if found and found.username else {}
        query = {**account, **service, "scope": scopes}
        # A redirect is followed; requests takes the password off one that leads to another host.
        return self._session.get(realm, params=query, headers=headers, timeout=timeout)

    def _fail(self, response: requests.Response) -> None:
        code, said = response.status_code, error_format.server_message(response)
        raise answered(f"the token service of {self.host} answered {code}: {said}", response)


_EMPTY_WORDS = """
a access account action and any are authenticate authenticated authentication authorization authorized code credentials
denied do does error errors failed for forbidden have http incorrect insufficient invalid is login no not on operation
or password perform permission permissions repository request requested required resource scope status the this to
token unauthenticated unauthorized user username you your 401 403
"""
"""Words that say no more than a 401 or 403 does."""

_REMEDIES = (
    (r"quota|limit|exceed|insufficient storage|no space|storage", "Make room there, or ask for a larger quota"),
    (r"expire", "Log in again: podman login {host}"),
    (r"archiv|read.?only|locked|frozen|disabled|blocked", "Choose another repository, or have that lifted"),
    (r"immutab|overwrit|already exist", "Choose another tag: this one cannot be written again"),
)


def _is_empty(said: str) -> bool:
    """Tells whether words say no more than the status does."""
    return set(re.findall(r"[^\W_]+|_", said.lower())) <= {"_", *_EMPTY_WORDS.split()}


def _remedy(said: str, host: str) -> str:
    return next((remedy.format(host=host) for words, remedy in _REMEDIES if re.search(words, said, re.IGNORECASE)), "")


def _headers(response: requests.Response) -> list[str]:
    raw = getattr(response.raw, "headers", None)
    if raw is not None and hasattr(raw, "getlist"):
        return list(raw.getlist("WWW-Authenticate"))
    return [response.headers["WWW-Authenticate"]] if "WWW-Authenticate" in response.headers else []


def _seconds(said: object) -> float:
    """Returns how long a token lasts; what says nothing that we know means a minute, as it does to docker."""
    try:
        return float(str(said or 60))
    except ValueError:
        return 60.0


def _basic(found: credentials.Credentials) -> str:
    return f"Basic {found.entry()['auth']}"


def _oauth_error(response: requests.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
