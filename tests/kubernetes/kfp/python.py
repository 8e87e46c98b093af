"""A Python environment of its own: ML Metadata wants an older protobuf than kfp does."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.parts.go_programs import BuildError

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def environment() -> Path:
    """Makes the environment unless the cache has it.

    Returns:
        Its folder.

    Raises:
        BuildError: A package cannot be had.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcar-pipelines"
    key = hashlib.sha256(sys.version.encode() + _REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = cache / f"kfp-python-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
            _run(str(folder / "bin" / "pip"), "install", *options, "--requirement", str(_REQUIREMENTS))
            (folder / "complete").touch()
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
