"""Python environments beside our own, installed once into the user's cache."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from tests.parts.go_programs import BuildError, built_once, cache_folder

_INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes")


def virtual_environment(name: str, requirements: Path) -> Path:
    """Makes an environment of what a file pins, unless the cache has it.

    Args:
        name: What the cache calls it.
        requirements: The file.

    Returns:
        The environment's folder.

    Raises:
        BuildError: A package cannot be had.
    """
    folder = cache_folder(name, requirements_key(requirements))
    # An environment knows its own place, so it cannot be made elsewhere and moved. A file beside it says it is whole.
    whole = folder.with_name(f"{folder.name}.whole")

    def make() -> None:
        venv.create(folder, clear=True, with_pip=True)
        install(folder / "bin" / "python", "--requirement", requirements)
        whole.touch()

    built_once(whole, make)
    return folder


def requirements_key(requirements: Path) -> str:
    """Returns what the cache knows packages by that a file pins: for this Python."""
    return hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()[:16]


def install(python: Path | str, *options: Path | str) -> None:
    """Installs packages by their hashes.

    Args:
        python: The Python that installs them.
        options: More options of pip.

    Raises:
        BuildError: A package cannot be had.
    """
    done = subprocess.run([python, *_INSTALL, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"pip install {' '.join(map(str, options))} failed:\n{done.stdout}{done.stderr}")
