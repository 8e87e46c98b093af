"""Artifact Registry: docker-registry under its name, whose token server takes the platform's access tokens.

A login there is the user name `oauth2accesstoken` and an access token for a password
(https://cloud.google.com/artifact-registry/docs/docker/authentication#token).
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import requests

from tests.parts.access_log import Request, read_access_log
from tests.parts.certificates import Certificate, CertificateAuthority
from tests.parts.google_cloud.metadata import MetadataServer
from tests.parts.process import listening
from tests.parts.token_server import ISSUER, SERVICE, TokenServer, serving

NAME = "europe-west4-docker.pkg.dev"


class AccessTokens(TokenServer):
    """Takes the newest access token of a metadata server, for as long as it is good."""

    def __init__(self, certificate: Certificate, metadata: MetadataServer, lifetime: float) -> None:
        self._metadata = metadata
        super().__init__(certificate, "oauth2accesstoken", "", lifetime)

    @property
    def password(self) -> str:
        """The one token that is good; an unknown one if there is none."""
        newest = self._metadata.issued[-1:]
        return newest[0] if newest and self._metadata.accepts(newest[0]) else secrets.token_hex()

    @password.setter
    def password(self, _: str) -> None:
        """It is not decided here."""


@dataclass
class ArtifactRegistry:
    """A running registry.

    Attributes:
        address: Where it is.
        access_log: Its access log.
        tokens: Its token server.
    """

    address: str
    access_log: Path
    tokens: AccessTokens

    def requests(self) -> list[Request]:
        """The requests answered so far, refused ones included."""
        return read_access_log(self.access_log)


@contextmanager
def artifact_registry(
    folder: Path, authority: CertificateAuthority, metadata: MetadataServer, token_lifetime: float = 300
) -> Iterator[ArtifactRegistry]:
    """Runs a registry for NAME.

    Args:
        folder: Takes its configuration, storage and logs.
        authority: Issues its certificate.
        metadata: Issues the access tokens that its token server takes.
        token_lifetime: Seconds for which the token server's own tokens are good.

    Yields:
        The registry.
    """
    certificate = authority.issue(NAME, [NAME])
    (folder / "storage").mkdir(parents=True)
    tokens = AccessTokens(certificate, metadata, token_lifetime)
    configuration = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "json"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
        "http": {
            "addr": "127.0.0.1:0",
            "tls": {"certificate": str(certificate.cert_file), "key": str(certificate.key_file)},
        },
        "auth": {
            "token": {
                "realm": tokens.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(authority.cert_file),
            }
        },
    }
    (folder / "config.json").write_text(json.dumps(configuration))

    def answers(port: int) -> bool:
        response = requests.get(f"https://127.0.0.1:{port}/v2/", verify=str(authority.cert_file), timeout=600)
        return response.status_code == HTTPStatus.UNAUTHORIZED

    command = ["docker-registry", "serve", str(folder / "config.json")]
    log, access_log = folder / "registry.log", folder / "access.log"
    env = {"PATH": os.defpath}
    with serving(tokens), listening(command, answers=answers, log=log, output=access_log, env=env) as listener:
        yield ArtifactRegistry(f"127.0.0.1:{listener.port}", access_log, tokens)
