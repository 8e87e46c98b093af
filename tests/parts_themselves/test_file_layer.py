"""Layers made of this machine's files: what a pod's Python finds compiled in them."""

import py_compile
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

from tests.kubernetes.file_layer import FileLayer


def test_a_pod_imports_what_this_machine_has_compiled(tmp_path: Path) -> None:
    package, pod = tmp_path / "here" / "models", tmp_path / "pod"
    package.mkdir(parents=True)
    for name in ("__init__", "weights", "tokenizer"):
        (package / f"{name}.py").touch()
    for name in ("__init__", "weights"):
        py_compile.compile(str(package / f"{name}.py"))
    layer = FileLayer()
    layer.tree(PurePosixPath("models"), package)

    pod.mkdir()
    subprocess.run(["tar", "-x"], input=layer.finished(), cwd=pod, check=True)
    command = [sys.executable, "-B", "-v", "-c", "import models.weights, models.tokenizer"]
    done = subprocess.run(command, cwd=pod, env={}, capture_output=True, text=True, check=True)

    assert re.findall(r"code object from '.*/models/__pycache__/(\w+)\.", done.stderr) == ["__init__", "weights"]
