"""OCI registries: Debian's docker-registry with each kind of authentication."""

import base64
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bcrypt
import requests

from tests.parts.access_log import Request, read_access_log
from tests.parts.certificates import Certificate, CertificateAuthority
from tests.parts.process import Listener, listening
from tests.parts.token_server import ISSUER, SERVICE, TokenServer, serving

USERNAME = "modelcar"


@dataclass
class Registry:
    """A running registry."""

    host: str
    scheme: str
    pid: int
    storage: Path
    log: Path
    access_log: Path
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"{self.scheme}://{self.host}"

    def auth_entry(self) -> dict[str, str]:
        """The entry under "auths" in a dockerconfigjson; empty if the registry asks for no credentials."""
        if self.username is None or self.password is None:
            return {}
        auth = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return {"username": self.username, "password": self.password, "auth": auth}

    def has_tag(self, repository: str, tag: str = "1") -> bool:
        """Tells whether a repository has a tag, as the registry's own files say."""
        tags = self.storage / "docker/registry/v2/repositories" / repository / "_manifests/tags"
        return (tags / tag).exists()

    def digest(self, repository: str, tag: str = "1") -> str:
        """Returns what a tag leads to, as the registry's own files say."""
        tags = self.storage / "docker/registry/v2/repositories" / repository / "_manifests/tags"
        return (tags / tag / "current" / "link").read_text()

    def tls_options(self, side: str = "") -> list[str]:
        """Gives skopeo's options for this registry's certificate, or for that it has none.

        Args:
            side: `src-` or `dest-`, for a copy.
        """
        return [f"--{side}cert-dir={self.ca_file.parent}"] if self.ca_file else [f"--{side}tls-verify=false"]

    def requests(self) -> list[Request]:
        """The requests answered so far, refused ones included.

        A large answer can reach its client a moment before it is entered in the log.
        """
        return read_access_log(self.access_log)


@dataclass
class BasicAuthRegistry(Registry):
    """A registry that checks each request's credentials against an htpasswd file."""

    htpasswd: Path = Path()

    def rotate(self) -> None:
        """Sets a new password; the old one is refused from now on."""
        self.password = _write_htpasswd(self.htpasswd)


@dataclass
class TokenAuthRegistry(Registry):
    """A registry that trusts the bearer tokens of a token server."""

    token_server: TokenServer | None = None
    by_identity_token: bool = False

    def auth_entry(self) -> dict[str, str]:
        """The entry under "auths" in a dockerconfigjson, as `docker login` writes it where it is given such a token."""
        if not self.by_identity_token:
            return super().auth_entry()
        assert self.token_server
        auth = base64.b64encode(b"<token>:").decode()
        return {"auth": auth, "identitytoken": self.token_server.identity_token}

    @property
    def tokens_issued(self) -> int:
        """How many tokens the token server has handed out."""
        assert self.token_server
        return len(self.token_server.issued)

    def rotate(self) -> None:
        """Sets a new password and identity token; the token server refuses the old ones, issued tokens live on."""
        assert self.token_server
        self.token_server.identity_token = secrets.token_urlsafe()
        self.password = self.token_server.password = secrets.token_urlsafe()


@contextmanager
def registry_plain(folder: Path, storage: Path | None = None) -> Iterator[Registry]:
    """Runs a registry on plain HTTP that lets everyone in.

    Args:
        folder: Takes the configuration, the storage and the logs.
        storage: A directory that takes the storage instead; another registry may have it as well.

    Yields:
        The registry.
    """
    _, log, access_log = _paths(folder)
    place = storage or folder / "storage"
    with _docker_registry(folder, "http", _storage(place)) as listener:
        yield Registry(f"127.0.0.1:{listener.port}", "http", listener.pid, place, log, access_log)


@contextmanager
def registry_with_basic_auth(folder: Path) -> Iterator[BasicAuthRegistry]:
    """Runs a registry on plain HTTP with basic authentication.

    Args:
        folder: Takes the configuration, the storage and the logs.

    Yields:
        The registry.
    """
    folder.mkdir(parents=True, exist_ok=True)
    htpasswd = folder / "htpasswd"
    password = _write_htpasswd(htpasswd)
    settings = {"auth": {"htpasswd": {"realm": "test registry", "path": str(htpasswd)}}}
    with _docker_registry(folder, "http", settings) as listener:
        host = f"127.0.0.1:{listener.port}"
        yield BasicAuthRegistry(host, "http", listener.pid, *_paths(folder), USERNAME, password, htpasswd=htpasswd)


@contextmanager
def registry_with_tls(folder: Path, address: str) -> Iterator[BasicAuthRegistry]:
    """Runs a registry on TLS with basic authentication, at an address that is not loopback's: for clients in pods.

    Args:
        folder: Takes the configuration, the certificates, the storage and the logs.
        address: This machine's, as the clients see it.

    Yields:
        The registry.
    """
    authority = CertificateAuthority(folder)
    certificate = authority.issue("registry", [address])
    htpasswd = folder / "htpasswd"
    password = _write_htpasswd(htpasswd)
    settings = {
        "http": {
            "addr": f"{address}:0",
            "tls": {"certificate": str(certificate.cert_file), "key": str(certificate.key_file)},
        },
        "auth": {"htpasswd": {"realm": "test registry", "path": str(htpasswd)}},
    }
    with _docker_registry(folder, "https", settings, authority.cert_file, address) as listener:
        host = f"{address}:{listener.port}"
        yield BasicAuthRegistry(
            host, "https", listener.pid, *_paths(folder), USERNAME, password, authority.cert_file, htpasswd=htpasswd
        )


@contextmanager
def registry_with_token_auth(
    folder: Path, token_lifetime: float = 300, *, tls: bool = True, storage: Path | None = None
) -> Iterator[TokenAuthRegistry]:
    """Runs a registry on TLS whose clients fetch bearer tokens from a token server, on TLS too.

    Args:
        folder: Takes the configuration, the certificates, the storage and the logs.
        token_lifetime: Seconds after which the registry refuses a token, give or take one.
        tls: Whether the registry itself has TLS; the token server always has.
        storage: A directory that takes the storage instead; another registry may have it as well.

    Yields:
        The registry.
    """
    scheme, place = "https" if tls else "http", storage or folder / "storage"
    authority = CertificateAuthority(folder)
    certificate = authority.issue("localhost")
    token_server = TokenServer(certificate, USERNAME, secrets.token_urlsafe(), token_lifetime)
    settings = _token_settings(authority, certificate, token_server) | _storage(place)
    if not tls:
        del settings["http"]
    with serving(token_server), _docker_registry(folder, scheme, settings, authority.cert_file) as listener:
        yield TokenAuthRegistry(
            f"localhost:{listener.port}" if tls else f"127.0.0.1:{listener.port}",
            scheme,
            listener.pid,
            place,
            *_paths(folder)[1:],
            USERNAME,
            token_server.password,
            authority.cert_file,
            token_server,
        )


def auth_file(path: Path, *registries: Registry) -> Path:
    """Writes a dockerconfigjson.

    Args:
        path: The file; replaced at once if it exists, so that readers never see half of it.
        registries: Those whose credentials it holds.

    Returns:
        The path.
    """
    auths = {registry.host: entry for registry in registries if (entry := registry.auth_entry())}
    return _replace(path, json.dumps({"auths": auths}))


@contextmanager
def _docker_registry(
    folder: Path, scheme: str, settings: dict[str, Any], ca_file: Path | None = None, address: str = "127.0.0.1"
) -> Iterator[Listener]:
    storage, log, access_log = _paths(folder)
    folder.mkdir(parents=True, exist_ok=True)
    storage.mkdir(exist_ok=True)
    configuration = folder / "config.json"
    configuration.write_text(json.dumps(_configuration(storage, settings)))

    def answers(port: int) -> bool:
        response = requests.get(
            f"{scheme}://{address}:{port}/v2/", verify=str(ca_file) if ca_file else None, timeout=600
        )
        return response.status_code in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED)

    # Each REGISTRY_… variable would change the configuration, even REGISTRY_AUTH_FILE, which is meant for clients.
    # Go would collect garbage after each 4 MiB, a quarter of all that the registry does.
    env = {"PATH": os.defpath, "GOGC": "1000"}
    command = ["docker-registry", "serve", str(configuration)]
    with listening(command, answers=answers, log=log, output=access_log, env=env) as listener:
        yield listener


def _paths(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "storage", folder / "registry.log", folder / "access.log"


def _storage(directory: Path) -> dict[str, Any]:
    # At a random minute of its first hour the registry would look through all that it holds for uploads to purge.
    purging = {"uploadpurging": {"enabled": False}}
    place = {"filesystem": {"rootdirectory": str(directory)}}
    return {"storage": {**place, "delete": {"enabled": True}, "maintenance": purging}}


def _configuration(storage: Path, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"level": "info", "formatter": "json"},
        **_storage(storage),
        **settings,
        "http": {"addr": "127.0.0.1:0", **settings.get("http", {})},
    }


def _token_settings(
    authority: CertificateAuthority, certificate: Certificate, token_server: TokenServer
) -> dict[str, Any]:
    return {
        "http": {"tls": {"certificate": str(certificate.cert_file), "key": str(certificate.key_file)}},
        "auth": {
            "token": {
                "realm": token_server.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(authority.cert_file),
            }
        },
    }


def _write_htpasswd(path: Path) -> str:
    password = secrets.token_urlsafe()
    # The cheapest cost: the registry computes the hash anew for each request.
    digest = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()
    _replace(path, f"{USERNAME}:{digest}\n")
    return password


def _replace(path: Path, content: str) -> Path:
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(content)
    return fresh.replace(path)
