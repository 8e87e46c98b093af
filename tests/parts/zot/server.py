"""Runs zot."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import requests

from tests.parts.go_programs import go_programs
from tests.parts.process import listening
from tests.parts.registries import Registry


@contextmanager
def zot_registry(folder: Path) -> Iterator[Registry]:
    """Runs a registry on plain HTTP that lets everyone in.

    It keeps its blobs as an OCI layout for each repository, and none of an upload that broke.

    Args:
        folder: Takes the configuration, the storage and the log.

    Yields:
        The registry.
    """
    storage, log = folder / "storage", folder / "registry.log"
    storage.mkdir(parents=True)
    configuration = folder / "config.json"
    configuration.write_text(json.dumps(_configuration(storage)))
    # Without its extensions (search, synchronization), and without GnuPG's C library.
    program = go_programs("zot", Path(__file__).parent, flags=["-tags=containers_image_openpgp"]) / "zot"
    env = {"PATH": os.defpath, "HOME": str(folder)}
    with listening([str(program), "serve", str(configuration)], answers=_answers, log=log, env=env) as listener:
        yield Registry(f"127.0.0.1:{listener.port}", "http", listener.pid, storage, log, log)


def _configuration(storage: Path) -> dict[str, object]:
    return {
        "distSpecVersion": "1.0.1",
        "storage": {"rootDirectory": str(storage)},
        "http": {"address": "127.0.0.1", "port": "0"},
        "log": {"level": "info"},
    }


def _answers(port: int) -> bool:
    return requests.get(f"http://127.0.0.1:{port}/v2/", timeout=600).status_code == HTTPStatus.OK
