"""Docker configurations, the files in which podman, docker and Kubernetes keep the logins to registries.

They are read as Go reads them, in which the programs that write them are written: a field's name has no case, and bytes
that are no text do not matter. Of several logins only the one that is asked for must be right.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelcar.errors import CredentialsError

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""First bytes of files as Windows' editors and shells write them."""

_ENTRY = ("auth", "username", "password", "identitytoken")
_DOCKER_HUB = ("index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True)
class Entry:
    """A login of a configuration.

    Attributes:
        username: The user; empty for none.
        password: The password; empty for none.
        identity_token: The token that is exchanged for others; empty for none.
    """

    username: str
    password: str = field(repr=False)
    identity_token: str = field(repr=False)


@dataclass(frozen=True)
class DockerConfig:
    """A docker configuration: what it holds itself, and the helpers that it names.

    Attributes:
        path: The file.
        auths: Its entries, as they stand there.
        helpers: The helper of each location that has one.
        store: The helper that is asked for all others; empty for none.
    """

    path: Path
    auths: dict[str, Any]
    helpers: dict[str, str]
    store: str

    def entry(self, location: str) -> Entry | None:
        """Returns the login that stands under a location.

        One host may stand there several times (`quay.io`, `https://quay.io/v2/`), and be empty in some.

        Raises:
            CredentialsError: It is malformed.
        """
        keys = sorted((key for key in self.auths if location_of(key) == location), key=lambda key: key != location)
        return next((found for key in keys if (found := self._decoded(self.auths[key], location))), None)

    @property
    def hosts(self) -> set[str]:
        """The registries that it has entries for."""
        return {location_of(key).partition("/")[0] for key in self.auths}

    def key(self, location: str) -> str:
        """Returns the key under which a location stands, as docker wrote it; empty for none."""
        return next((key for key in self.auths if location_of(key) == location), "")

    def _decoded(self, entry: Any, location: str) -> Entry | None:
        if entry is None:
            return None
        if not isinstance(entry, dict):
            raise malformed(self.path)
        auth, username, password, identity_token = (_named(entry, name) or "" for name in _ENTRY)
        if auth:
            username, password = self._unpacked(auth, location)
        if not all(isinstance(value, str) for value in (username, password, identity_token)):
            raise malformed(self.path)
        return Entry(username, password, identity_token) if username or password or identity_token else None

    def _unpacked(self, auth: Any, location: str) -> tuple[str, str]:
        try:
            # Go's base64 passes over line ends, and so hand-made files have them.
            text = "".join(auth.split())
            username, separator, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, ValueError, TypeError, AttributeError):
            separator = ""
        if not separator:
            raise CredentialsError(f"the entry for {location} in {self.path} is not base64 of user:password")
        # docker does so with what other programs wrote.
        return username, password.strip("\0")


def read(path: Path) -> DockerConfig:
    """Reads a configuration. An empty file holds nothing.

    Raises:
        CredentialsError: It is none, or cannot be read.
    """
    try:
        text = _text(path.read_bytes())
        document = (json.loads(text) if text.strip() else None) or {}
    except (OSError, ValueError, RecursionError):
        raise malformed(path) from None
    if not isinstance(document, dict):
        raise malformed(path)
    # The older form of a Secret is what newer ones have under "auths".
    auths = document if path.name == ".dockercfg" else _named(document, "auths") or {}
    if not isinstance(auths, dict):
        raise malformed(path)
    helpers, store = _named(document, "credHelpers"), _named(document, "credsStore")
    named = helpers if isinstance(helpers, dict) else {}
    of_hosts = {location_of(key): value for key, value in named.items() if value and isinstance(value, str)}
    return DockerConfig(path, auths, of_hosts, store if isinstance(store, str) else "")


def location_of(key: str) -> str:
    """Returns an entry's key as a reference begins: docker writes `https://index.docker.io/v1/` for docker.io."""
    bare = key.strip().removeprefix("https://").removeprefix("http://").rstrip("/")
    bare = bare.removesuffix("/v1").removesuffix("/v2")
    host, slash, path = bare.partition("/")
    host = host.lower()
    return ("docker.io" if host in _DOCKER_HUB else host) + slash + path


def malformed(path: Path) -> CredentialsError:
    """Returns the error for a file that is no configuration."""
    return CredentialsError(
        f"{path} is not a docker configuration with credentials",
        'It should read {"auths": {"quay.io": {"auth": "<base64 of user:password>"}}}; '
        "make one with `podman login --authfile <file> <registry>`",
    )


def _text(content: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode(errors="replace")


def _named(document: dict[str, Any], name: str) -> Any:
    """Returns a field by its name, which has no case."""
    if name in document:
        return document[name]
    return next((value for key, value in document.items() if key.lower() == name.lower()), None)
