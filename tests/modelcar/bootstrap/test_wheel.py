"""What is installed from a wheel: one package, and pipelines that compile to the very same YAML."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.parts.source_copy import copy_source

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--wheel-dir", folder, copy_source(folder / "source")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Warning" not in done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_nothing_is_installed_beside_the_package(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"modelcar", next(top for top in tops if top.endswith(".dist-info"))}


def test_what_people_need_beside_the_code_is_in_it(wheel: Path) -> None:
    names = {name.removeprefix("modelcar/files/") for name in zipfile.ZipFile(wheel).namelist()}
    tracked = subprocess.run(
        ["git", "ls-files", "compiled", "manifests", "notebooks"], check=True, cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert set(tracked.splitlines()) <= names


def test_the_page_of_an_index_has_no_link_that_leads_nowhere(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
    assert "# modelcar-pipelines" in metadata
    assert all(link.startswith(("https://", "#")) for link in re.findall(r"\]\(([^)]*)\)", metadata))


def test_the_installed_package_compiles_the_same_pipelines(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    script = (
        "import sys; from pathlib import Path; from modelcar.pipelines.compilation import compile_all; import modelcar"
    )
    script += "; print(modelcar.__file__); compile_all(Path('compiled'))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=tmp_path, env=environment, capture_output=True
    )
    assert str(tmp_path).encode() in done.stdout, "another modelcar was imported"
    for file in (tmp_path / "compiled").iterdir():
        assert file.read_bytes() == (ROOT / "compiled" / file.name).read_bytes()
