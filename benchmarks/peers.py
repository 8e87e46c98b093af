"""Other programs that do what ours do, each in a virtual environment of its own."""

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.place import Place

OLOT = "olot==1.2.1"
OCI_MODELCAR = "oci-modelcar==1.3.0"


def installed(place: Place, requirement: str) -> Path:
    """Installs a program with pip, where commands in a pod find it; it is gone with the place.

    Args:
        place: Its claim takes the virtual environment.
        requirement: The package with its version.

    Returns:
        The folder that has the program.
    """
    folder = place.claim / "peers" / requirement.partition("==")[0]
    venv.create(folder, with_pip=True, symlinks=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{requirement} could not be installed: {done.stderr.strip()}")
    return folder / "bin"
