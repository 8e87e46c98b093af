"""Registry credentials, from the files that podman, skopeo, docker and Kubernetes keep them in.

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

_FIELDS = ("username", "password", "identitytoken")


@dataclass(frozen=True)
class Credentials:
    """A user's name and password, or an identity token, for one registry.

    Attributes:
        source: The file they came from, for error messages.
    """

    username: str
    password: str = field(repr=False)
    identity_token: str = field(repr=False, default="")
    source: str = ""

    def entry(self) -> dict[str, str]:
        """This as an entry of a docker configuration."""
        # containers/image passes over an entry without `auth`, also where only the identity token counts.
        auth = base64.b64encode(f"{self.username or '<token>'}:{self.password}".encode()).decode()
        return {"auth": auth, **({"identitytoken": self.identity_token} if self.identity_token else {})}


def find(registry: str, repository: str) -> Credentials | None:
    """The credentials for a repository, from the first file that has any.

    Looked at in this order: Secrets mounted by the pipelines, `$REGISTRY_AUTH_FILE`, podman's and docker's own files;
    then, for OpenShift's internal registry, the pod's service account token, and for Artifact Registry a token of the
    account of Google Cloud. Within a file the longest matching path wins (`quay.io/team/model` before `quay.io/team`
    before `quay.io`), as containers-auth.json(5) has it.

    Raises:
        CredentialsError: A file that exists cannot be read as a docker configuration, or Google Cloud gives no token.
    """
    for path in auth_files():
        credentials = _from_file(path, registry, repository)
        if credentials is not None:
            return credentials
    token = pod.SERVICE_ACCOUNT / "token"
    if registry.split(":")[0] == pod.OPENSHIFT_REGISTRY and token.is_file():
        return Credentials("serviceaccount", token.read_text().strip(), source=str(token))
    if google_cloud.serves(registry) and (access := google_cloud.access_token()):
        return Credentials(google_cloud.USERNAME, access, source=google_cloud.SOURCE)
    return None


def auth_files() -> list[Path]:
    """The files that may hold registry credentials on this machine, in the order in which they are asked."""
    # A random user's home may be one that it must not look into, which Path.is_file() raises.
    return [path for path in _candidates() if os.path.isfile(path)]


def _candidates() -> Iterator[Path]:
    yield from sorted(pod.SECRETS.glob("*/.dockerconfigjson"))
    if explicit := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(explicit)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    yield Path(os.environ.get("XDG_CONFIG_HOME", pod.home() / ".config"), "containers", "auth.json")
    yield Path(os.environ.get("DOCKER_CONFIG", pod.home() / ".docker"), "config.json")


def _from_file(path: Path, registry: str, repository: str) -> Credentials | None:
    entries = {_location(key): entry for key, entry in _read_auths(path).items()}
    location = f"{registry}/{repository}"
    while location:
        if entries.get(location):
            return _decode(entries[location], path, location)
        location = location.rpartition("/")[0]
    return None


def _location(key: str) -> str:
    """An entry's key as a reference begins: docker writes `https://index.docker.io/v1/` for docker.io."""
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/").removesuffix("/v1").removesuffix("/v2")
    return "docker.io" if bare == "index.docker.io" else bare


def _read_auths(path: Path) -> dict[str, Any]:
    try:
        auths = json.loads(path.read_text()).get("auths") or {}
        if not all(isinstance(entry, dict) for entry in auths.values()):
            raise ValueError
        if not all(isinstance(entry.get(name) or "", str) for entry in auths.values() for name in _FIELDS):
            raise ValueError
    except (OSError, ValueError, AttributeError, RecursionError):
        raise CredentialsError(
            f"{path} is not a docker configuration with credentials",
            'It should read {"auths": {"quay.io": {"auth": "<base64 of user:password>"}}}; '
            "make one with `podman login --authfile <file> <registry>`",
        ) from None
    return dict(auths)


def _decode(entry: dict[str, Any], path: Path, location: str) -> Credentials:
    username, password = entry.get("username") or "", entry.get("password") or ""
    if entry.get("auth"):
        try:
            username, separator, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except (binascii.Error, ValueError, TypeError):
            separator = ""
        if not separator:
            raise CredentialsError(f"the entry for {location} in {path} is not base64 of user:password")
    return Credentials(username, password, entry.get("identitytoken") or "", str(path))
