"""Zig, whose C compiler builds the shell of the default base image, installed once into the user's cache."""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements" / "zig.txt"


def python_with_zig() -> str:
    """Returns a Python that can run `-m ziglang`, of the version that the project pins."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcar-pipelines"
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache / f"zig-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".installed").exists():
            venv.create(folder, clear=True, with_pip=True)
            install = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            subprocess.run([*install, "--no-deps", "--require-hashes", "-r", REQUIREMENTS], check=True)
            (folder / ".installed").touch()
    return str(folder / "bin" / "python")
