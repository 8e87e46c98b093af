"""What is measured, ours and the others', each in a virtual environment of its own."""

import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.pod import REPOSITORY

OLOT = "olot==1.2.1"
OCI_MODELCAR = "oci-modelcar==1.3.0"


def installed(place: Path, requirement: str) -> Path:
    """Installs a program with pip, where commands in a pod find it; it is gone with the place.

    Args:
        place: Takes the virtual environment.
        requirement: The package with its version.

    Returns:
        The folder that has the program.
    """
    folder = place / "peers" / requirement.partition("==")[0]
    _make(folder, [requirement])
    return folder / "bin"


@contextmanager
def ours() -> Iterator[Path]:
    """Installs this project, and what it needs, as Containerfile does; gives the folder that has the programs."""
    with tempfile.TemporaryDirectory(prefix="modelcar-installed-") as folder:
        locked = ["--require-hashes", "--requirement", str(REPOSITORY / "requirements" / "runtime.txt")]
        _make(Path(folder) / "venv", locked, ["--no-deps", str(_copied(Path(folder) / "source"))])
        yield Path(folder) / "venv" / "bin"


def _copied(folder: Path) -> Path:
    """What git knows of this project, so that building leaves nothing in the checkout and takes nothing old from it."""
    names = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    for name in names.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, folder / name)
    return folder


def _make(folder: Path, *requirements: list[str]) -> None:
    venv.create(folder, with_pip=True, symlinks=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for some in requirements:
        done = subprocess.run([*pip, *some], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(some)} could not be installed: {done.stderr.strip()}")
