"""`modelcar files`: what comes with modelcar for a cluster and a workbench."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import modelcar
from modelcar.cli.usage import UsageError

_FILES = Path(modelcar.__file__).parent / "files"


class Kind(StrEnum):
    """Kinds of files that come with modelcar."""

    COMPILED = "compiled"
    """The pipelines as YAML, to be uploaded in the dashboard."""

    MANIFESTS = "manifests"
    """Manifests that an administrator applies once."""

    NOTEBOOKS = "notebooks"
    """Notebooks for a workbench."""


def files(
    kinds: Annotated[
        list[Kind] | None, typer.Argument(metavar="[KIND]...", help="compiled, manifests, notebooks. Default: all.")
    ] = None,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write them to.")] = Path("modelcar-files"),
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace files that are there and differ.", show_default=False)
    ] = False,
) -> None:
    """Write the compiled pipelines, the manifests and the notebooks of this release to a folder.

    Files that are there already and differ are left alone, unless with `--replace`.

    Example: `modelcar files --to modelcar-files`
    """
    chosen = kinds or list(Kind)
    wanted = {to / kind / file.relative_to(_FILES / kind): file for kind in chosen for file in _files_of(kind)}
    try:
        different = [str(place) for place, file in wanted.items() if place.exists() and not _is_same(place, file)]
        if different and not replace:
            more = f" and {len(different) - 1} more" if len(different) > 1 else ""
            what = f"{different[0]}{more} would be replaced"
            raise UsageError(what, "Add --replace, or name another folder with --to")
        for place, file in wanted.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot write to {to}: {error.strerror}", "Name another folder with --to") from None
    for kind in chosen:
        print(to / kind)


def _files_of(kind: Kind) -> list[Path]:
    return [file for file in sorted((_FILES / kind).rglob("*")) if file.is_file() and "__pycache__" not in file.parts]


def _is_same(place: Path, file: Path) -> bool:
    return place.is_file() and place.read_bytes() == file.read_bytes()
