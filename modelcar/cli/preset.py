"""Presets: named sets of parameters, as YAML files that a team keeps."""

import difflib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from modelcar.cli.options import RequestOptions
from modelcar.cli.parameters import parameters
from modelcar.cli.settings import image_below, setting
from modelcar.cli.usage import PresetError, UsageError
from modelcar.errors import SourceError, UnsafeNameError
from modelcar.oci.reference import Reference
from modelcar.pipelines.compilation import BUILDING, CLAIM, STREAMING
from modelcar.sources.folder import claim_and_folder
from modelcar.sources.opening import ENTRY, is_folder, is_own, open_source
from modelcar.user_input import path_of

FOLDER = Path("presets")
VARIABLE = "MODELCAR_PRESETS"
_ENDINGS = (".yaml", ".yml")
_ON_CLAIM = "pvc://"
SHIPPED = Path(__file__).with_name("presets")
"""Those that come with modelcar."""


@dataclass(frozen=True)
class Preset:
    """A named set of parameters.

    Attributes:
        name: Its name, that of its file.
        file: Where it was found.
        description: What it is for.
        streaming: Which pipeline it is for; None for either.
        parameters: Parameters by their names, no others than the file has.
    """

    name: str
    file: Path
    description: str = ""
    streaming: bool | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> "Preset":
        """Reads a file and checks each key and value.

        Raises:
            PresetError: It is no YAML, or not of parameters; names the nearest one.
        """
        try:
            content = yaml.safe_load(file.read_text())
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise PresetError(f"the preset {file} cannot be read: {' '.join(str(error).split())}") from None
        if not isinstance(content, dict):
            raise PresetError(
                f"the preset {file} holds no parameters", "Write a line for each, such as model: org/name"
            )
        try:
            known = _form().model_validate(content).model_dump(exclude_unset=True)
        except ValidationError as error:
            raise PresetError(f"the preset {file}: {'; '.join(_mistakes(error))}") from None
        description, streaming = known.pop("description", ""), known.pop("streaming", None)
        return cls(file.stem, file, description.strip(), streaming, known)


@dataclass(frozen=True)
class Wanted:
    """A pipeline and its arguments: a preset's parameters, and over them those of the command line.

    Attributes:
        pipeline: The pipeline.
        arguments: Its parameters, but for those that are as the pipeline has them.
    """

    pipeline: str
    arguments: dict[str, Any]


def wanted(request: RequestOptions, typed: dict[str, Any]) -> Wanted:
    """Returns what a command is asked to run, and says what of it the pipeline has no use for.

    Args:
        request: A preset to begin with, and which of the pipelines.
        typed: The parameters of the command line, which win over those of the preset.

    Raises:
        UsageError: There is no such preset, or it is wrong, or no model was named, or it is on a claim.
        UnsafeNameError: An image's name is none.
    """
    asked = _wanted(request, typed)
    if (model := asked.arguments["model"]).startswith(_ON_CLAIM):
        raise UsageError(
            f"{model} is on a claim, which pods of its cluster see alone", f"Run it there: modelcar submit {model}"
        )
    return asked


def _wanted(request: RequestOptions, typed: dict[str, Any]) -> Wanted:
    base = find(request.preset) if request.preset else Preset("", Path())
    streaming = base.streaming if request.streaming is None else request.streaming
    pipeline = STREAMING if streaming else BUILDING
    every = {**_set_once({**base.parameters, **typed}), **base.parameters, **typed}
    mine = {name: value for name, value in every.items() if pipeline in parameters()[name].pipelines}
    if not mine.get("model"):
        raise UsageError("no model was named", "Write organisation/name after the command, or a preset that names one")
    for name in [name for name in every if name not in mine]:
        print(f"{parameters()[name].option} is not used by this pipeline", file=sys.stderr)
    # Before anything is uploaded, and before hours of downloading.
    check_model(mine["model"])
    for name, value in mine.items():
        parameters()[name].check(value)
    for name in ("target", "mirror_target"):
        if mine.get(name):
            Reference.parse_target(mine[name])
    return Wanted(pipeline, mine)


def wanted_on_cluster(request: RequestOptions, typed: dict[str, Any]) -> Wanted:
    """Returns what a command is asked to run on a cluster, see `wanted`.

    Raises:
        UsageError: The model is a folder of this machine, which no cluster sees.
    """
    asked = _wanted(request, typed)
    model = asked.arguments["model"]
    if is_folder(model):
        raise UsageError(f"{model} is a folder of this machine", "Run it here: modelcar run, or put it into S3: s3://…")
    if not model.startswith(_ON_CLAIM):
        return asked
    # A model that lies on a claim is streamed from there: to download it to a claim would be to copy it.
    theirs = {name: value for name, value in asked.arguments.items() if STREAMING in parameters()[name].pipelines}
    return Wanted(CLAIM, {**theirs, "source_claim": claim_and_folder(model)[0]})


def _set_once(named: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters that the user's settings have, and says where an image goes by them."""
    found = {name: value for name in ("model_registry", "serving") if (value := setting(name))}
    for name, prefix in (("target", setting("registry")), ("mirror_target", setting("mirror"))):
        if prefix and name not in named and named.get("model"):
            found[name] = image_below(prefix, named["model"], named.get("revision", ""))
            print(f"{parameters()[name].option} {found[name]}, by modelcar config", file=sys.stderr)
    return found


def check_model(model: str) -> None:
    """Raises if the id of a model cannot be one, nor the name of another source.

    Raises:
        UsageError: It is none.
    """
    if is_own(model):
        try:
            if model.startswith(_ON_CLAIM):
                claim_and_folder(model)
            elif not model.startswith(ENTRY):
                open_source(model)
        except (SourceError, UnsafeNameError) as error:
            raise UsageError(error.what, error.remedy) from None
        return
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(model)
    except HFValidationError:
        raise UsageError(
            f"{model!r} is not a model id", "Write it as organisation/name, s3://bucket/folder or ./folder"
        ) from None


def folders() -> list[Path]:
    """Returns the folders where presets are looked for; the first that has one of a name wins.

    Raises:
        PresetError: One is below a home that there is not.
    """
    named = [path_of(one, PresetError) for one in setting("presets").split(os.pathsep) if one]
    return [FOLDER, *named, SHIPPED]


def presets() -> list[Path]:
    """The files of all presets that can be named, by name.

    Raises:
        PresetError: A folder may not be looked into.
    """
    found: dict[str, Path] = {}
    for folder in folders():
        for file in _presets_in(folder):
            found.setdefault(file.stem, file)
    return [found[name] for name in sorted(found)]


def _presets_in(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(_ENDINGS))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise PresetError(
            f"presets are looked for in {folder}, which cannot be read: {error.strerror}",
            f"Make it readable for you, or name others: modelcar config set presets, or ${VARIABLE}",
        ) from None


def find(name: str) -> Preset:
    """Reads the preset of a name, or of a file, which is written with a / or as NAME.yaml.

    Raises:
        UsageError: There is none, or it is wrong.
    """
    if "/" in name or name.endswith(_ENDINGS):
        return Preset.read(path_of(name, PresetError))
    files = {file.stem: file for file in presets()}
    if name not in files:
        near = difflib.get_close_matches(name, files, 1)
        remedy = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no preset {name!r}", f"{remedy}To see them all: modelcar presets")
    return Preset.read(files[name])


@cache
def _form() -> type[BaseModel]:
    """Returns the form of a preset: the pipelines' parameters by their types, its description and its pipeline."""
    fields: dict[str, Any] = {name: (one.kind, one.default) for name, one in parameters().items()}
    config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    return create_model("Preset", __config__=config, description=(str, ""), streaming=(bool, False), **fields)


def _mistakes(error: ValidationError) -> Iterator[str]:
    known = (*parameters(), "description", "streaming")
    for one in error.errors():
        name = ".".join(str(part) for part in one["loc"])
        if one["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name.replace("-", "_"), known, 1)
            yield f"there is no parameter {name!r}" + (f". Did you mean {near[0]}?" if near else "")
        elif one["type"] == "string_type":
            quoted = str(one["input"]).lower() if isinstance(one["input"], bool) else one["input"]
            yield f'{name} must be text. Write it in quotes: "{quoted}"'
        else:
            yield f"{name}: {one['msg']}"
