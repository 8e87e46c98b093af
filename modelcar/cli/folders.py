"""Folders of the user's: downloads and reports go to the cache, as the XDG Base Directory Specification has it."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from modelcar import pod


def cache() -> Path:
    """Returns our folder in the user's cache: $XDG_CACHE_HOME/modelcar, else ~/.cache/modelcar.

    Where that may not be written, as in a home that is somebody else's, it is one of the user's own in the folder for
    temporary files.
    """
    place = wanted_cache()
    return place if _may_be_written(place) else _temporary() or place


def wanted_cache() -> Path:
    """Returns where our folder in the user's cache belongs, whether or not it may be written."""
    return _base("XDG_CACHE_HOME", ".cache") / "modelcar"


def settings_file() -> Path:
    """Returns the file of the user's settings: $XDG_CONFIG_HOME/modelcar/config.yaml, else in ~/.config."""
    return _base("XDG_CONFIG_HOME", ".config") / "modelcar" / "config.yaml"


def downloads() -> Path:
    """Returns the folder that stands for the claim, unless another is named."""
    return cache() / "downloads"


def report_of(model: str) -> Path:
    """Returns the folder of the last report on a model, unless another is named."""
    return cache() / "reports" / model.strip("/").replace("/", "--")


def _may_be_written(folder: Path) -> bool:
    """Tells whether the folder, or the nearest one above it that is there, takes new files."""
    # os.path says of what may not be looked at that it is not there; Path raises.
    there = next(one for one in (folder, *folder.parents) if os.path.isdir(one))
    return os.access(there, os.W_OK | os.X_OK)


def _temporary() -> Path | None:
    """Makes our folder among the temporary files, the same one each time; None if somebody else has taken its name."""
    place = Path(tempfile.gettempdir(), f"modelcar-{os.getuid()}")
    with suppress(OSError):
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
        found = place.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return place
    return None


def _base(variable: str, folder: str) -> Path:
    named = os.environ.get(variable, "")
    # A relative one is to be ignored, as the specification says.
    return Path(named) if os.path.isabs(named) else pod.home() / folder
