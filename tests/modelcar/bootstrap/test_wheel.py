"""What is installed from a wheel: one package, and pipelines that compile to the very same YAML."""

import os
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
    subprocess.run([*pip, "--wheel-dir", folder, copy_source(folder / "source")], check=True)
    return next(folder.glob("*.whl"))


def test_nothing_is_installed_beside_the_package(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"modelcar", next(top for top in tops if top.endswith(".dist-info"))}


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
