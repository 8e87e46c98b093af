"""Google Cloud's side of a step that runs on it: the account that it runs as, and what that account may read.

google-auth finds the account: on Vertex AI the service account of the run, whose tokens the platform's metadata server
hands out; elsewhere Application Default Credentials (https://cloud.google.com/docs/authentication/provide-credentials-adc).
The package comes with the components for Vertex AI. Where it is not installed there is no such account.
"""

import base64
import binascii
import os
import re
import threading
from functools import cache
from typing import Any

import requests

from modelcar.errors import CredentialsError, ModelcarError
from modelcar.retries import retrying

USERNAME = "oauth2accesstoken"
"""User name with which Artifact Registry takes an access token for a password.

https://cloud.google.com/artifact-registry/docs/docker/authentication#token
"""

SOURCE = "Google Cloud's token service"
SECRETS = "https://secretmanager.googleapis.com/v1"

_REGISTRY = re.compile(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z0-9-]+\.)?gcr\.io)(:443)?")
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ANSWER_SECONDS = 60.0
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_ACCOUNT_REMEDY = "Run it as a service account that exists; off Google Cloud: gcloud auth application-default login"
_lock = threading.Lock()


class GoogleCloudError(ModelcarError):
    """One of Google Cloud's services refused a request."""


class GoogleCloudUnwellError(GoogleCloudError):
    """One of Google Cloud's services cannot be reached, or asked to be tried again."""

    may_pass = True


def serves(registry: str) -> bool:
    """Tells whether a registry is Artifact Registry, under any of its names."""
    return _REGISTRY.fullmatch(registry) is not None


def access_token() -> str:
    """A token of this account that is good for some minutes yet; empty where there is no account.

    It is fetched anew when it is about to expire.

    Raises:
        CredentialsError: There is an account, but no token to be had for it.
    """
    own = account()
    if own is None:
        return ""
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    with _lock:
        try:
            if not own.valid:
                own.refresh(Request())
        except GoogleAuthError as error:
            raise CredentialsError(f"{SOURCE} gives no token: {error}", _ACCOUNT_REMEDY) from None
        return str(own.token)


def read_secret(name: str, project: str) -> str:
    """A secret's value, from Secret Manager.

    Args:
        name: The secret's name, or all of it: `projects/<project>/secrets/<secret>[/versions/<version>]`. Without a
            version, the latest is read.
        project: The project of a secret that is given by its name alone.

    Raises:
        GoogleCloudError: There is none, or this account may not read it.
    """
    path = name if name.startswith("projects/") else f"projects/{project}/secrets/{name}"
    path += "" if "/versions/" in path else "/versions/latest"
    try:
        return base64.b64decode(read(f"{SECRETS}/{path}:access")["payload"]["data"]).decode().strip()
    except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
        raise GoogleCloudError(f"{path} of Secret Manager is no text") from None


@retrying
def read(url: str, **parameters: str) -> dict[str, Any]:
    """Returns the answer of one of Google Cloud's APIs to a GET request of this account.

    Args:
        url: The address.
        **parameters: The query. Empty ones are left out.

    Raises:
        CredentialsError: There is no account.
        GoogleCloudError: The API refused, in its own words.
    """
    token = access_token()
    if not token:
        raise CredentialsError("there is no account of Google Cloud here", _ACCOUNT_REMEDY)
    query = {name: value for name, value in parameters.items() if value}
    try:
        response = requests.get(url, params=query, auth=_Bearer(token), timeout=_ANSWER_SECONDS, allow_redirects=False)
    except requests.exceptions.RequestException as error:
        raise GoogleCloudUnwellError(f"cannot read {url}: {error}", "Check the network and the proxies") from None
    if response.status_code != requests.codes.ok:
        kind = GoogleCloudUnwellError if response.status_code in _TRANSIENT else GoogleCloudError
        raise kind(
            f"Google Cloud answered {response.status_code} to GET {url}: {_server_message(response)}", _remedy(response)
        )
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise GoogleCloudError(f"{url} did not answer with a JSON object")
    return answer


class _Bearer(requests.auth.AuthBase):
    """A login by a token. As a header, it would be replaced by what ~/.netrc says of the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@cache
def account() -> Any:
    """Returns this process's account, as google-auth finds it once; None if there is none.

    Raises:
        CredentialsError: GOOGLE_APPLICATION_CREDENTIALS names something else.
    """
    try:
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError
    except ImportError:
        return None
    try:
        found, _ = google.auth.default(scopes=[_SCOPE])
    except DefaultCredentialsError as error:
        why = str(error.args[0])
    except OSError as error:
        why = str(error)
    except (AttributeError, TypeError, ValueError):
        why = "it has another form than gcloud gives it"
    else:
        return found
    if file := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        what = f"{file}, which GOOGLE_APPLICATION_CREDENTIALS names, is no login to Google Cloud: {why}"
        raise CredentialsError(what, "Unset it, or log in: gcloud auth application-default login")
    return None


def _server_message(response: requests.Response) -> str:
    """Returns an API's message (https://google.aip.dev/193), shortened."""
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.reason or ""


def _remedy(response: requests.Response) -> str:
    if response.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
        return "Enable the API, and give the run's service account the role that docs/vertex.md names"
    if response.status_code == requests.codes.not_found:
        return "Check the name, the project and the location"
    return ""
