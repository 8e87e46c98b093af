"""Folders of the user's: downloads and reports go to the cache, as the XDG Base Directory Specification has it."""

import os
from pathlib import Path

from modelcar import pod


def cache() -> Path:
    """Returns our folder in the user's cache: $XDG_CACHE_HOME/modelcar, else ~/.cache/modelcar."""
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


def _base(variable: str, folder: str) -> Path:
    named = os.environ.get(variable, "")
    # A relative one is to be ignored, as the specification says.
    return Path(named) if os.path.isabs(named) else pod.home() / folder
