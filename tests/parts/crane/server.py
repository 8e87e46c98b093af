"""Runs the registry of go-containerregistry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import requests

from tests.parts.go_programs import go_programs
from tests.parts.process import listening
from tests.parts.registries import Registry


def crane_program() -> Path:
    """Builds crane unless the cache has it.

    Returns:
        The program.
    """
    return go_programs("crane", Path(__file__).parent) / "crane"


@contextmanager
def crane_registry(folder: Path) -> Iterator[Registry]:
    """Runs a registry on plain HTTP that lets everyone in.

    It takes one upload at a time, keeps none that broke, cannot be asked where one is, and answers 204 to its bytes.

    Args:
        folder: Takes the blobs and the log. The manifests stay in the registry's memory.

    Yields:
        The registry.
    """
    storage, log = folder / "storage", folder / "registry.log"
    storage.mkdir(parents=True)
    command = [str(crane_program()), "registry", "serve", "--address=127.0.0.1:0", f"--disk={storage}"]
    with listening(command, answers=_answers, log=log, env={"PATH": os.defpath, "HOME": str(folder)}) as listener:
        yield Registry(f"127.0.0.1:{listener.port}", "http", listener.pid, storage, log, log)


def _answers(port: int) -> bool:
    return requests.get(f"http://127.0.0.1:{port}/v2/", timeout=600).status_code == HTTPStatus.OK
