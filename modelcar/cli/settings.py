"""Settings that a user writes once: in a file of the user's, or in the environment, which wins."""

import difflib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from modelcar.cli.folders import settings_file
from modelcar.cli.usage import SettingError

SETTINGS = {
    "registry": ("MODELCAR_REGISTRY", "Where images go unless --target says: quay.io/my-team"),
    "mirror": ("MODELCAR_MIRROR", "Where they are copied to unless --mirror says: registry.apps.example.com/models"),
    "model_registry": (
        "MODELCAR_MODEL_REGISTRY",
        "Address of the Model Registry: https://registry-rest.apps.example.com",
    ),
    "namespace": ("KFP_NAMESPACE", "Project on the cluster. Default: that of the login"),
    "serving": ("MODELCAR_SERVING", "What YAML is for: rhoai-2.25, rhoai-3, kserve, or auto"),
    "presets": ("MODELCAR_PRESETS", "Folders with presets, with : between them"),
}
"""The settings, each with its variable and its meaning."""


@dataclass(frozen=True)
class Setting:
    """Setting and its source.

    Attributes:
        name: Its name.
        value: Its value; empty where there is none.
        source: Where it comes from: a variable, the file; empty where it is not set.
    """

    name: str
    value: str
    source: str


def setting(name: str) -> str:
    """Returns a setting's value; empty where it is not set.

    Raises:
        SettingError: The file of settings cannot be used.
    """
    return _setting(name, read_file()).value


def settings() -> Iterator[Setting]:
    """Yields all settings.

    Raises:
        SettingError: The file of settings cannot be used.
    """
    written = read_file()
    yield from (_setting(name, written) for name in SETTINGS)


def read_file() -> dict[str, str]:
    """Returns what the file of settings says; nothing if there is none.

    Raises:
        SettingError: It cannot be used.
    """
    file = settings_file()
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        # A random user's home may be one that it must not look into. What can be seen is there, and says something.
        if not os.path.lexists(file):
            return {}
        raise SettingError(
            f"the settings {file} cannot be read: {error.strerror}", "Make it readable for you"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"the settings {file} cannot be read: {' '.join(str(error).split())}", "Mend it") from None
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise SettingError(f"the settings {file} are no list of names and texts", "Write a line for each, name: value")
    for name in content:
        check_name(str(name))
    return content


def write_file(content: dict[str, str]) -> Path:
    """Writes the file of settings anew, in one step; where it is a link, what that leads to.

    Raises:
        SettingError: It cannot be written.
    """
    file = Path(os.path.realpath(settings_file()))
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        if file.exists():
            shutil.copymode(file, beside)
        beside.replace(file)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise SettingError(
            f"cannot write {file}: {error.strerror}", "Name a folder of yours in XDG_CONFIG_HOME"
        ) from None
    return settings_file()


def check_name(name: str) -> None:
    """Raises if there is no setting of a name.

    Raises:
        SettingError: There is none; names the nearest.
    """
    if name not in SETTINGS:
        near = difflib.get_close_matches(name, SETTINGS, 1)
        remedy = f"Did you mean {near[0]}?" if near else f"There are {', '.join(SETTINGS)}"
        raise SettingError(f"there is no setting {name!r}", remedy)


def image_below(prefix: str, model: str, revision: str = "") -> str:
    """Returns the image of a model below a registry's prefix: its name, and its revision as the tag."""
    scheme, found, place = model.partition("://")
    last = place.partition("?")[0] if found else model
    if scheme == "model-registry":
        last = last.rpartition("/")[0] or last
    elif found:
        # The tag or digest of an image, the revision of a model.
        last = re.sub(r"(?<=[^/])[:@][^/]*$", "", last)
    name = re.sub(r"[^a-z0-9]+", "-", last.rstrip("/").rpartition("/")[2].lower()).strip("-") or "model"
    tag = re.sub(r"[^\w.-]+", "-", revision or "main").strip(".-")[:128] or "main"
    return f"{prefix.rstrip('/')}/{name}:{tag}"


def _setting(name: str, written: dict[str, str]) -> Setting:
    variable = SETTINGS[name][0]
    if value := os.environ.get(variable, ""):
        return Setting(name, value, f"${variable}")
    value = written.get(name, "")
    return Setting(name, value, str(settings_file()) if value else "")
