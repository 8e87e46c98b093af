"""What the sources of Kubeflow Pipelines and Argo Workflows need before Go builds them without a C compiler."""

import shutil
from collections.abc import Callable
from pathlib import Path

Go = Callable[..., str]

ARGO = "github.com/argoproj/argo-workflows/v3"
PIPELINES = "github.com/kubeflow/pipelines"

_NOT_COMPILED = ("docs", "examples", "sdks", "test", "ui", "hack", "community", "dev")
_SQLITE = "github.com/mattn/go-sqlite3"
_NO_SQLITE = """\
// Package sqlite3 stands for the real one, which needs a C compiler. The API server names it for its own unit tests'
// sake, and runs on MySQL or PostgreSQL only.
package sqlite3

type Error struct{ Code int }

func (Error) Error() string { return "there is no SQLite" }

const ErrConstraint = 19
"""


def new_module(folder: Path, name: str) -> None:
    """Makes an empty module."""
    folder.mkdir()
    (folder / "go.mod").write_text(f"module {name}\n\ngo 1.24.0\n")


def replace_sqlite(build: Path, go: Go) -> None:
    """Puts a package without SQLite in the place of the one with it."""
    new_module(build / "sqlite3", _SQLITE)
    (build / "sqlite3" / "sqlite3.go").write_text(_NO_SQLITE)
    go("mod", "edit", f"-replace={_SQLITE}=./sqlite3")


def copy_argo(argo: Path, copy: Path) -> None:
    """Copies the module with a file that modules cannot have: it is a symbolic link, which they leave out."""
    shutil.copytree(
        argo, copy, ignore=shutil.ignore_patterns(*_NOT_COMPILED), copy_function=shutil.copyfile, dirs_exist_ok=True
    )
    (darwins,) = copy.glob("workflow/executor/*/signal_darwin.go")
    darwins.parent.chmod(0o755)
    shutil.copyfile(darwins, darwins.with_name("signal_linux.go"))
