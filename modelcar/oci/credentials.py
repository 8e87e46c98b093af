"""Registry credentials, from where podman, skopeo, docker, Kubernetes and the clouds keep them.

Files are read each time credentials are needed, never kept: tokens in mounted Secrets rotate while a long step runs.
"""

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelcar import google_cloud, pod
from modelcar.oci import cloud_identity, credential_helpers, docker_config, registries_conf
from modelcar.oci.docker_config import DockerConfig

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
    yield Path(os.environ.get("XDG_CONFIG_HOME") or pod.home() / ".config", "containers", "auth.json")
    yield Path(os.environ.get("DOCKER_CONFIG") or pod.home() / ".docker", "config.json")


def read_file(path: Path, registry: str, repository: str) -> Credentials | None:
    """Finds a login in one file, or in the helper or store that it names.

    Args:
        path: A file in docker's or podman's form.
        registry: The registry's host, with its port if it has one.
        repository: The repository in it; the nearest entry above it counts.

    Raises:
        CredentialsError: The file is none, or a helper failed.
    """
    config = docker_config.read(path)
    locations = _locations(registry, repository)
    for location in locations:
        if helper := config.helpers.get(location):
            return _from_helper(helper, _server(location), str(path))
    for location in locations:
        if held := config.entry(location):
            return Credentials(held.username, held.password, held.identity_token, str(path))
    return _from_store(config, registry) if config.store else None


def _from_store(config: DockerConfig, registry: str) -> Credentials | None:
    """Asks docker's store. docker leaves an empty entry behind for each registry whose login it put there."""
    named = config.key(docker_config.location_of(registry))
    if not named and not credential_helpers.is_installed(config.store):
        return None
    return _from_helper(config.store, named or _server(registry), str(config.path))


def _locations(registry: str, repository: str) -> list[str]:
    """Returns the keys under which an entry may stand, the longest first; host names have no case."""
    locations = []
    host = docker_config.location_of(registry)
    location = f"{host}/{repository}"
    while location:
        locations.append(location)
        location = location.rpartition("/")[0]
    return [*locations, host.removesuffix(":443")] if host.endswith(":443") else locations


def _server(location: str) -> str:
    """Returns what a helper knows a registry by."""
    return _DOCKER_HUB_KEY if docker_config.location_of(location) == "docker.io" else location


def _from_helper(name: str, server: str, source: str) -> Credentials | None:
    answer = credential_helpers.ask(name, server, source)
    if answer is None:
        return None
    source = f"docker-credential-{name}"
    if answer.username == _TOKEN_USER:
        return Credentials("", "", answer.secret, source)
    return Credentials(answer.username, answer.secret, source=source)
