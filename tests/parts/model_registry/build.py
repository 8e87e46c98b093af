"""Builds the server of Kubeflow Model Registry."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.parts.go_programs import go_programs

_MODULE = "github.com/kubeflow/hub"
# The module's one program also holds the model catalog, which needs a nested module that the module proxy does not
# serve. This file alone brings the catalog in: without it the registry's server stays as it is.
_LEFT_OUT = Path("cmd", "catalog.go")


def server_program() -> Path:
    """Builds the server unless the cache has it.

    Returns:
        The program.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    return go_programs("model-registry", Path(__file__).parent, prepare=_without_catalog) / "model-registry-server"


def _without_catalog(build: Path, go: Callable[..., str]) -> None:
    source = Path(json.loads(go("mod", "download", "-json", _MODULE))["Dir"])

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(folder, name) == source / _LEFT_OUT]

    # Go refuses an -overlay over files of the module cache, hence a copy.
    shutil.copytree(source, build / "hub", ignore=left_out)
    go("mod", "edit", f"-replace={_MODULE}=./hub")
