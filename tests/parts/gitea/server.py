"""Runs Gitea with its database."""

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from pathlib import Path

import requests

from tests.parts.go_programs import cached_programs, go_programs, module_folder
from tests.parts.postgresql import Database, postgresql
from tests.parts.process import listening
from tests.parts.registries import BasicAuthRegistry

SOURCE = Path(__file__).parent
MODULE = "code.gitea.io/gitea"
USERNAME = "modelcar"

_CONFIGURATION = """
RUN_MODE = prod
RUN_USER = {user}
WORK_PATH = {folder}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {module}
OFFLINE_MODE = true
DISABLE_SSH = true
[database]
DB_TYPE = postgres
HOST = {socket}
NAME = postgres
USER = postgres
SSL_MODE = disable
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
[service]
DISABLE_REGISTRATION = true
[packages]
ENABLED = true
[log]
MODE = console
LEVEL = Warn
"""


@cache
def PROGRAMS() -> Path | None:
    """The folder with the program, if it was built (`make registries`): that takes long."""
    return cached_programs("gitea", SOURCE)


def build() -> Path:
    """Builds it, once."""
    return go_programs("gitea", SOURCE)


@contextmanager
def gitea_registry(folder: Path) -> Iterator[BasicAuthRegistry]:
    """Runs Gitea with a user; asks for tokens, which it gives for the user's password.

    Args:
        folder: Takes the configuration, the packages and the logs.

    Yields:
        The registry; the user may write to `modelcar/…`.
    """
    programs = PROGRAMS()
    assert programs is not None
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with postgresql(folder) as database:
        configuration = folder / "app.ini"
        configuration.write_text(_configuration(folder, port, database))
        env = {**os.environ, "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT": "true", "HOME": str(folder)}
        command = [str(programs / "gitea"), "--config", str(configuration)]
        password = secrets.token_urlsafe()
        for words in (
            ["migrate"],
            ["admin", "user", "create", "--username", USERNAME, "--email", "modelcar@example.org"],
        ):
            login = ["--password", password, "--must-change-password=false"] if "create" in words else []
            subprocess.run([*command, *words, *login], env=env, check=True, capture_output=True, timeout=600)
        log = folder / "gitea.log"
        with listening([*command, "web"], answers=_answers, log=log, env=env) as listener:
            host = f"127.0.0.1:{listener.port}"
            yield BasicAuthRegistry(host, "http", listener.pid, folder, log, log, USERNAME, password)


def _configuration(folder: Path, port: int, database: Database) -> str:
    return _CONFIGURATION.format(
        user="root" if os.geteuid() == 0 else os.environ.get("USER", "nobody"),
        folder=folder,
        port=port,
        module=module_folder(SOURCE, MODULE),
        socket=database.cluster,
        secret=secrets.token_urlsafe(),
    )


def _answers(port: int) -> bool:
    return requests.get(f"http://127.0.0.1:{port}/v2/", timeout=600).status_code == HTTPStatus.UNAUTHORIZED
