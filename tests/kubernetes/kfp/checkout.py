"""The backend of a release that the Go module proxy does not serve, built from a checkout of kubeflow/pipelines."""

import os
import shutil
from pathlib import Path

from tests.kubernetes.kfp.preparation import (
    ARGO,
    PIPELINES,
    Go,
    copy_argo,
    keep_definitions,
    module_folder,
    replace_sqlite,
)
from tests.parts.go_programs import go_programs

_VARIABLE = "MODELCAR_TEST_PIPELINES"
_FOLDERS = ("backend", "api", "kubernetes_platform", "third_party")
_PROGRAMS = (
    "backend/src/agent/persistence",
    "backend/src/apiserver",
    "backend/src/crd/controller/scheduledworkflow",
    "backend/src/v2/cmd/driver",
    "backend/src/v2/cmd/launcher-v2",
)
_ARGO_PROGRAMS = ("cmd/argoexec", "cmd/workflow-controller")


def given_checkout() -> Path | None:
    """The checkout that MODELCAR_TEST_PIPELINES names, of release 2.15 or newer; None if it names none."""
    named = os.environ.get(_VARIABLE)
    return Path(named).resolve() if named else None


def programs_of(checkout: Path) -> Path:
    """Builds the programs, and those of the Argo that the release asks for, unless the cache has them.

    Raises:
        BuildError: Go failed.
    """
    release = (checkout / "VERSION").read_text().strip()

    def prepare(build: Path, go: Go) -> None:
        for name in _FOLDERS:
            shutil.copytree(checkout / name, build / name)
        replace_sqlite(build, go)
        go("mod", "edit", *(f"-tool={PIPELINES}/{program}" for program in _PROGRAMS))
        argo = module_folder(go, ARGO)
        shutil.copytree(_argo_programs(argo), build / "programs")
        keep_definitions(argo, checkout, build / "programs")

    return go_programs(f"kubeflow-pipelines-{release}", checkout, prepare=prepare)


def _argo_programs(argo: Path) -> Path:
    def prepare(build: Path, go: Go) -> None:
        copy_argo(argo, build)
        go("mod", "edit", *(f"-tool={ARGO}/{program}" for program in _ARGO_PROGRAMS))

    return go_programs("argo-workflows", argo, prepare=prepare)
