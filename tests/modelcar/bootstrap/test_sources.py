"""What travels of our own sources: all that a step imports, nothing that only people read."""

import ast
import inspect
from pathlib import Path

import pytest

from modelcar.bootstrap import sources
from modelcar.components.mirror import mirror
from modelcar.components.register import register

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

    def c(self) -> str:
        text = """kept
  # kept too"""
        return text  # gone
'''


def without_texts(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    return ast.dump(tree)


def test_comments_and_docstrings_go_and_lines_stay() -> None:
    left = sources.stripped(SAMPLE)

    assert left.splitlines()[4:7] == ["import os", "", "X = 1"]
    assert '        text = """kept\n  # kept too"""\n        return text\n' in left
    assert not any(gone in left for gone in ("why", "Of two", "What it is", "Only a docstring", "gone"))
    assert len(left.splitlines()) == len(SAMPLE.splitlines())


@pytest.mark.parametrize("path", sources.every(), ids=lambda path: str(path.relative_to(sources.ROOT)))
def test_what_is_left_of_each_module_is_the_same_program(path: Path) -> None:
    source = path.read_text()

    left = sources.stripped(source)

    assert without_texts(left) == without_texts(source)
    assert sources.stripped(left) == left
    assert len(left) < len(source)


def test_a_step_takes_what_it_imports_and_no_more() -> None:
    copied = {file.stem for file in sources.needed("def step():\n    from modelcar.steps.mirror import mirror\n")}

    assert {"mirror", "registry", "connection", "retries", "progress", "errors", "__init__"} <= copied
    assert not {"hub", "build", "buildah", "preflight", "report", "job", "model_registry"} & copied


def test_names_that_are_not_ours_bring_nothing() -> None:
    assert sources.needed("import json, requests\nfrom . import x\nfrom kfp import dsl\n") == []


@pytest.mark.parametrize("component", [mirror, register], ids=["mirror", "register"])
def test_every_import_within_a_step_is_there(component: object) -> None:
    files = set(sources.needed(inspect.cleandoc(inspect.getsource(component.python_func))))  # type: ignore[attr-defined]

    assert all(set(sources.needed(file.read_text())) <= files for file in files)
