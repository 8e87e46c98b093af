"""A copy of the checkout to build from, so that building leaves nothing in it and takes nothing old from it."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_source(folder: Path) -> Path:
    """Copy what git knows, as it lies in the checkout, without tests and benchmarks.

    Args:
        folder: Where to.

    Returns:
        The folder.
    """
    files = subprocess.run(["git", "ls-files", "-z"], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).exists() and not name.startswith(("tests/", "benchmarks/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name, follow_symlinks=False)
    return folder
