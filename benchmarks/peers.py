"""What is measured, ours and the others', each in a virtual environment of its own."""

import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.pod import REPOSITORY
from tests.parts.source_copy import copy_source

OLOT = "olot==1.2.1"
OCI_MODELCAR = "oci-modelcar==1.3.0"


def installed(claim: Path, requirement: str) -> Path:
    """Installs a program with pip, where commands in a pod find it; it is gone with the claim.

    Args:
        claim: Takes the virtual environment.
        requirement: The package with its version.

    Returns:
        The folder that has the program.
    """
    folder = claim / "peers" / requirement.partition("==")[0]
    _make(folder, [requirement])
    return folder / "bin"


@contextmanager
def ours() -> Iterator[Path]:
    """Installs this project, and what it needs, as Containerfile does; gives the folder that has the programs."""
    with tempfile.TemporaryDirectory(prefix="modelcar-installed-") as folder:
        locked = ["--no-deps", "--require-hashes", "--requirement", str(REPOSITORY / "requirements" / "runtime.txt")]
        _make(Path(folder) / "venv", locked, ["--no-deps", str(copy_source(Path(folder) / "source"))])
        yield Path(folder) / "venv" / "bin"


def _make(folder: Path, *requirements: list[str]) -> None:
    venv.create(folder, with_pip=True, symlinks=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for some in requirements:
        done = subprocess.run([*pip, *some], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(some)} could not be installed: {done.stderr.strip()}")
