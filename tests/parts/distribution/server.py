"""Runs the distribution project's registry."""

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
def distribution_registry(folder: Path) -> Iterator[Registry]:
    """Runs a registry on plain HTTP that lets everyone in.

    It keeps the bytes of an upload that broke, says how many they are, and goes on from there.

    Args:
        folder: Takes the configuration, the storage and the logs.

    Yields:
        The registry.
    """
    storage, log, access_log = folder / "storage", folder / "registry.log", folder / "access.log"
    storage.mkdir(parents=True)
    configuration = folder / "config.json"
    configuration.write_text(json.dumps(_configuration(storage)))
    program = go_programs("distribution", Path(__file__).parent) / "registry"
    # It would send traces to a collector on this machine.
    env = {"PATH": os.defpath, "OTEL_TRACES_EXPORTER": "none"}
    command = [str(program), "serve", str(configuration)]
    with listening(command, answers=_answers, log=log, output=access_log, env=env) as listener:
        yield Registry(f"127.0.0.1:{listener.port}", "http", listener.pid, storage, log, access_log)


def _configuration(storage: Path) -> dict[str, object]:
    return {
        "version": 0.1,
        "log": {"level": "info", "formatter": "json"},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }


def _answers(port: int) -> bool:
    return requests.get(f"http://127.0.0.1:{port}/v2/", timeout=600).status_code == HTTPStatus.OK
