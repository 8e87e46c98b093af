"""What travels of our own sources: all that a step can reach, nothing that it cannot or that only people read."""

import ast
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from modelcar.bootstrap import sources
from modelcar.bootstrap.command import archive, self_contained_command, unpacked
from tests.parts.filtered_tar import filtered

COMPONENTS = Path(__file__).parents[3] / "components"
STEPS = [file.parent.name for file in sorted(COMPONENTS.glob("*/component.py"))]

MAX_ARGUMENT = 96 << 10
"""Of the 128 KiB that Linux allows."""

MAX_STEP_BYTES = 176 << 10
"""A run's record in the cluster holds all steps' commands, several times, and etcd takes 1.5 MiB of it."""

SAMPLE = '''"""A module.

Of two paragraphs."""
# why
import os  # and why here

X = 1
"""What it is."""


class A:
    """A class."""

    def b(self) -> str:
        """Only a docstring."""

    def c(self, é: "int" = 1, *more: dict[str, int], last: bool) -> str:  # gone
        text = """kept
  # kept too"""
        return text  # gone
'''


def without_texts(source: str, *, annotated: bool = False) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not annotated:
            node.returns = None
        if isinstance(node, ast.arg) and not annotated:
            node.annotation = None
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    return ast.dump(tree)


def step(name: str) -> str:
    """The function of a component, as it is embedded."""
    tree = ast.parse((COMPONENTS / name / "component.py").read_text())
    return ast.unparse(next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == name).body)


def test_annotations_go_where_kfp_does_not_read_them() -> None:
    function = 'def c(self, é: "int" = 1, *more: dict[str, int], last: bool) -> str:'

    assert f"    {function}\n" in sources.stripped(SAMPLE)
    assert "    def c(self, é = 1, *more, last):\n" in sources.bare(SAMPLE)


@pytest.mark.parametrize("name", STEPS)
def test_a_steps_own_function_keeps_what_kfp_reads_of_it(name: str) -> None:
    """Kfp's executor fills parameters by their annotations."""
    source = (COMPONENTS / name / "component.py").read_text()

    assert without_texts(sources.stripped(source), annotated=True) == without_texts(source, annotated=True)


def test_comments_and_docstrings_go_and_lines_stay() -> None:
    left = sources.stripped(SAMPLE)

    assert left.splitlines()[4:7] == ["import os", "", "X = 1"]
    assert '        text = """kept\n  # kept too"""\n        return text\n' in left
    assert not any(gone in left for gone in ("why", "Of two", "What it is", "Only a docstring", "gone"))
    assert len(left.splitlines()) == len(SAMPLE.splitlines())


@pytest.mark.parametrize("path", sources.every(), ids=lambda path: str(path.relative_to(sources.ROOT)))
def test_what_is_left_of_each_module_is_the_same_program(path: Path) -> None:
    source = path.read_text()

    left = sources.bare(source)

    assert without_texts(left) == without_texts(source)
    assert sources.bare(left) == left
    assert len(left) < len(source)


def test_a_step_takes_what_it_imports_and_no_more() -> None:
    code = "def step():\n    from modelcar.steps.mirror import mirror\n    mirror('a', 'b')\n"
    copied = {file.relative_to(sources.ROOT).as_posix() for file in sources.needed(code)}

    assert {"steps/mirror.py", "oci/registry.py", "oci/connection.py", "retries.py", "oci/__init__.py"} <= copied
    assert not {"hub/client.py", "steps/build.py", "image/buildah.py", "cluster/job.py"} & copied


def test_names_that_are_not_ours_bring_nothing() -> None:
    assert sources.needed("import json, requests\nfrom . import x\nfrom kfp import dsl\n") == {}


@pytest.mark.parametrize("name", STEPS)
def test_what_a_step_carries_has_room_to_grow(name: str) -> None:
    code = step(name)
    whole = self_contained_command(["true"], "", code)
    assert max(map(len, whole)) < MAX_ARGUMENT
    assert 0 < len(archive(code)) < MAX_STEP_BYTES


@pytest.mark.parametrize("name", STEPS)
def test_all_that_a_step_carries_can_be_imported_and_lacks_no_name(name: str, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(unpacked(archive(step(name)))), mode="r:bz2") as tar:
        filtered(tar).extractall(tmp_path)
    files = [str(file.relative_to(tmp_path)) for file in sorted(tmp_path.rglob("*.py"))]
    modules = [file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in files]
    # Names of types alone, in annotations that are text, are not there at run time either.
    tool = [sys.executable, "-m", "ruff", "check", "--isolated", "--quiet", "--select", "F821", "--output-format"]
    found = subprocess.run([*tool, "concise", "."], check=False, cwd=tmp_path, capture_output=True, text=True).stdout
    lacking = [line for line in found.splitlines() if not _is_in_text(tmp_path, line)]
    assert lacking == []
    script = f"import importlib\nfor name in {modules}:\n    importlib.import_module(name)\n"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", script], check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _is_in_text(folder: Path, finding: str) -> bool:
    """Tell whether a finding of ruff's is within an annotation that is written as text."""
    file, line, column, _ = finding.split(":", 3)
    before = (folder / file).read_text().splitlines()[int(line) - 1][: int(column) - 1]
    return before.count('"') % 2 == 1
