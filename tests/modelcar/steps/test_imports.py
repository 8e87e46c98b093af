"""A step starts without libraries that it may never call: each costs every pod and command tenths of a second."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

COMPONENTS = Path(__file__).parents[3] / "components"
STEPS = [file.parent.name for file in sorted(COMPONENTS.glob("*/component.py"))]

AT_USE = {"kubernetes", "model_registry", "mr_openapi", "aiohttp", "license_expression", "markdown_it", "rich.console"}
AT_USE |= {"cryptography", "nacl", "hf_xet", "kfp", "typer", "numpy", "pygments"}
"""Imported where they are used."""

HUB = "huggingface_hub.hf_api"
READ_THE_HUB = {"preflight", "preflight_on_vertex", "download", "stream", "stream_on_vertex"}


def imports_of(step: str) -> str:
    """The imports within a component's function."""
    tree = ast.parse((COMPONENTS / step / "component.py").read_text())
    face = next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == step)
    return "\n".join(ast.unparse(one) for one in ast.walk(face) if isinstance(one, ast.Import | ast.ImportFrom))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_no_large_library_before_it_needs_it(step: str) -> None:
    script = f"{imports_of(step)}\nimport sys\nprint(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    imported = set(shown.split())
    assert "modelcar.errors" in imported
    assert imported & AT_USE == set()
    assert (HUB in imported) == (step in READ_THE_HUB)
