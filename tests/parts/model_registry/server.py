"""Runs the server of Kubeflow Model Registry on a private PostgreSQL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import requests

from tests.parts.model_registry.build import server_program
from tests.parts.postgresql import Database, postgresql
from tests.parts.process import listening

_READY = "/api/model_registry/v1alpha3/registered_models"


@dataclass(frozen=True)
class ModelRegistryServer:
    """A running Model Registry."""

    host: str
    port: int
    pid: int
    log: Path
    database: Database

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"{self.address}:{self.port}"

    @property
    def address(self) -> str:
        """The address without port, as the registry's Python client wants it."""
        return f"http://{self.host}"


@contextmanager
def model_registry(folder: Path, host: str = "127.0.0.1") -> Iterator[ModelRegistryServer]:
    """Runs an empty Model Registry until the context is left.

    Args:
        folder: Takes the logs.
        host: The address to listen on.

    Yields:
        The server, ready for clients.
    """
    program = server_program()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "model-registry.log"
    with postgresql(folder) as database:
        # The server reads a configuration file in the home folder, and its settings from variables MR_….
        env = {"PATH": os.defpath, "HOME": str(folder)}
        command = _command(program, host, database)
        with listening(command, answers=lambda port: _answers(host, port), log=log, env=env) as listener:
            yield ModelRegistryServer(host, listener.port, listener.pid, log, database)


def _command(program: Path, host: str, database: Database) -> list[str]:
    listen = [f"--hostname={host}", "--port=0"]
    storage = ["--embedmd-database-type=postgres", f"--embedmd-database-dsn={database.dsn}"]
    return [str(program), "proxy", *listen, *storage]


def _answers(host: str, port: int) -> bool:
    return requests.get(f"http://{host}:{port}{_READY}", timeout=600).status_code == HTTPStatus.OK
