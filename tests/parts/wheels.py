"""Wheels of the packages that steps install, fetched once: to read an index is two thirds of what pip does there."""

import hashlib
import subprocess
import sys
from pathlib import Path

import kfp

from tests.parts.go_programs import cache_folder, filled_once

_COMPONENTS = Path(__file__).parents[2] / "components"


def step_wheels() -> Path:
    """Returns a folder of the user's cache with the wheels that the components' requirements.txt name.

    Wheels are built where there are sources only, as of kfp.
    """
    files = sorted(_COMPONENTS.glob("*/requirements.txt"))
    pinned = (line for file in files for line in file.read_text().splitlines() if line and line[0].isalnum())
    # Which every step installs as well (modelcar.components.self_contained).
    lines = sorted({*pinned, f"kfp=={kfp.__version__}"})
    folder = cache_folder("wheels", hashlib.sha256("\n".join([sys.version, *lines]).encode()).hexdigest()[:16])

    def fetch(wheels: Path) -> None:
        wheel = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps")
        subprocess.run([*wheel, "--wheel-dir", wheels, *lines], check=True)

    return filled_once(folder, fetch)
