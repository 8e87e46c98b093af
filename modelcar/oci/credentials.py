"""Registry credentials, from where podman, skopeo, docker, Kubernetes and the clouds keep them.

Files are read each time credentials are needed, never kept: tokens in mounted Secrets rotate while a long step runs.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelcar import google_cloud, pod
from modelcar.errors import CredentialsError
from modelcar.oci import cloud_identity, credential_helpers, registries_conf

_FIELDS = ("username", "password", "identitytoken")
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"  # noqa: S105
"""The user whose password is an identity token, in what helpers answer and in docker's own files."""


@dataclass(frozen=True)
class Credentials:
    """A user's name and password, or an identity token, for one registry.

    Attributes:
        source: Where they came from, for error messages.
    """

    username: str
    password: str = field(repr=False)
    identity_token: str = field(repr=False, default="")
    source: str = ""

    def entry(self) -> dict[str, str]:
        """Returns this as an entry of a docker configuration."""
        # containers/image passes over an entry without `auth`, also where only the identity token counts.
        auth = base64.b64encode(f"{self.username or _TOKEN_USER}:{self.password}".encode()).decode()
        return {"auth": auth, **({"identitytoken": self.identity_token} if self.identity_token else {})}


@dataclass(frozen=True)
class _Configuration:
    """A docker configuration: what it holds itself, and the helpers that it names."""

    path: Path
    auths: dict[str, Any]
    helpers: dict[str, str]
    store: str


def find(registry: str, repository: str) -> Credentials | None:
    """Finds the credentials for a repository, in the first place that has any.

    Looked at in this order: Secrets mounted by the pipelines, `$REGISTRY_AUTH_FILE`, podman's and docker's own files;
    then the helpers of registries.conf, for OpenShift's internal registry the pod's service account token, and for a
    cloud's registry the account that the pod runs as. Within a file the longest matching path wins
    (`quay.io/team/model` before `quay.io/team` before `quay.io`), as containers-auth.json(5) has it, and a helper named
    for the registry comes before what the file holds itself, as docker has it.

    Raises:
        CredentialsError: A file that exists cannot be read as a docker configuration, a helper that it names does not
            answer, or Google Cloud gives no token.
    """
    for path in auth_files():
        credentials = read_file(path, registry, repository)
        if credentials is not None:
            return credentials
    for name, source in registries_conf.credential_helpers():
        if found := _from_helper(name, _server(registry), source):
            return found
    token = pod.SERVICE_ACCOUNT / "token"
    if registry.split(":")[0] == pod.OPENSHIFT_REGISTRY and token.is_file():
        return Credentials("serviceaccount", token.read_text().strip(), source=str(token))
    if google_cloud.serves(registry) and (access := google_cloud.access_token()):
        return Credentials(google_cloud.USERNAME, access, source=google_cloud.SOURCE)
    if identity := cloud_identity.find(registry):
        return _from_helper(identity.helper, _server(registry), identity.source)
    return None


def forget() -> None:
    """Drops what helpers answered: a registry refused it."""
    credential_helpers.forget()


def auth_files() -> list[Path]:
    """Returns the files that may hold registry credentials on this machine, in the order in which they are asked."""
    # A random user's home may be one that it must not look into, which Path.is_file() raises.
    return [path for path in _candidates() if os.path.isfile(path)]


def _candidates() -> Iterator[Path]:
    for name in (".dockerconfigjson", ".dockercfg"):
        yield from sorted(pod.SECRETS.glob(f"*/{name}"))
    if explicit := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(explicit)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    yield Path(os.environ.get("XDG_CONFIG_HOME", pod.home() / ".config"), "containers", "auth.json")
    yield Path(os.environ.get("DOCKER_CONFIG", pod.home() / ".docker"), "config.json")


def read_file(path: Path, registry: str, repository: str) -> Credentials | None:
    """Finds a login in one file, or in the helper or store that it names.

    Args:
        path: A file in docker's or podman's form.
        registry: The registry's host, with its port if it has one.
        repository: The repository in it; the nearest entry above it counts.

    Raises:
        CredentialsError: The file is none, or a helper failed.
    """
    read = _read(path)
    locations = _locations(registry, repository)
    for location in locations:
        if helper := read.helpers.get(location):
            return _from_helper(helper, _server(location), str(path))
    held = _held(read, locations)
    return held if held or not read.store else _from_store(read, registry)


def _held(read: _Configuration, locations: list[str]) -> Credentials | None:
    for location in locations:
        # One host may stand there several times (`quay.io`, `https://quay.io/v2/`), and be empty in some.
        keys = sorted((key for key in read.auths if _location(key) == location), key=lambda key: key != location)
        for key in keys:
            if found := _decode(read.auths[key], read.path, location):
                return found
    return None


def _from_store(read: _Configuration, registry: str) -> Credentials | None:
    """Asks docker's store. docker leaves an empty entry behind for each registry whose login it put there."""
    named = [key for key in read.auths if _location(key) == registry.lower()]
    if not named and not credential_helpers.is_installed(read.store):
        return None
    return _from_helper(read.store, named[0] if named else _server(registry), str(read.path))


def _locations(registry: str, repository: str) -> list[str]:
    """Returns the keys under which an entry may stand, the longest first; host names have no case."""
    locations = []
    location = f"{registry.lower()}/{repository}"
    while location:
        locations.append(location)
        location = location.rpartition("/")[0]
    host = registry.lower()
    return [*locations, host.removesuffix(":443")] if host.endswith(":443") else locations


def _location(key: str) -> str:
    """Returns an entry's key as a reference begins: docker writes `https://index.docker.io/v1/` for docker.io."""
    bare = key.strip().removeprefix("https://").removeprefix("http://").rstrip("/")
    bare = bare.removesuffix("/v1").removesuffix("/v2")
    host, slash, path = bare.partition("/")
    host = host.lower()
    return ("docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host) + slash + path


def _server(location: str) -> str:
    """Returns what a helper knows a registry by."""
    return _DOCKER_HUB_KEY if location == "docker.io" else location


def _from_helper(name: str, server: str, source: str) -> Credentials | None:
    answer = credential_helpers.ask(name, server, source)
    if answer is None:
        return None
    source = f"docker-credential-{name}"
    if answer.username == _TOKEN_USER:
        return Credentials("", "", answer.secret, source)
    return Credentials(answer.username, answer.secret, source=source)


def _read(path: Path) -> _Configuration:
    try:
        document = json.loads(path.read_text())
        # The older form of a Secret is what newer ones have under "auths".
        auths = document if path.name == ".dockercfg" else document.get("auths") or {}
        helpers, store = document.get("credHelpers") or {}, document.get("credsStore") or ""
        fields = [entry.get(name) or "" for entry in auths.values() for name in _FIELDS]
        if not all(isinstance(value, str) for value in (*fields, *helpers.values(), store)):
            raise ValueError
    except (OSError, ValueError, AttributeError, RecursionError):
        raise CredentialsError(
            f"{path} is not a docker configuration with credentials",
            'It should read {"auths": {"quay.io": {"auth": "<base64 of user:password>"}}}; '
            "make one with `podman login --authfile <file> <registry>`",
        ) from None
    return _Configuration(path, dict(auths), {_location(key): value for key, value in helpers.items() if value}, store)


def _decode(entry: dict[str, Any], path: Path, location: str) -> Credentials | None:
    username, password = entry.get("username") or "", entry.get("password") or ""
    identity_token = entry.get("identitytoken") or ""
    if entry.get("auth"):
        try:
            # Go's base64 passes over line ends, and so hand-made files have them.
            text = "".join(entry["auth"].split())
            username, separator, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, ValueError, TypeError, AttributeError):
            separator = ""
        if not separator:
            raise CredentialsError(f"the entry for {location} in {path} is not base64 of user:password")
        # docker does so with what other programs wrote.
        password = password.strip("\0")
    if not (username or password or identity_token):
        return None
    return Credentials(username, password, identity_token, str(path))
