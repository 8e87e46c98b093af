"""Somebody else's pipelines with our components: those of docs/own-pipelines.md, and without any of our functions."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from modelcar.components.build import build
from modelcar.components.download import download
from modelcar.components.mirror import mirror
from modelcar.components.register import register
from modelcar.components.stream import stream
from modelcar.components.warm import warm
from modelcar.pipelines import configure
from modelcar.pipelines.model_to_registry import model_to_registry
from modelcar.pipelines.model_to_registry_streaming import model_to_registry_streaming

PAGE = Path(__file__).parents[2] / "docs" / "own-pipelines.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
STEPS = {"download": download, "build": build, "mirror": mirror, "register": register, "stream": stream, "warm": warm}


def compiled(pipeline: Any, file: Path) -> list[dict[str, Any]]:
    compiler.Compiler().compile(pipeline, str(file))
    return list(yaml.safe_load_all(file.read_text()))


@pytest.mark.parametrize("step", STEPS)
def test_no_step_is_cached_in_anybodys_pipeline(step: str, tmp_path: Path) -> None:
    component = STEPS[step]

    @dsl.pipeline(name="mine")
    def mine() -> None:
        component(**dict.fromkeys(component.required_inputs, "x"))

    spec = compiled(mine, tmp_path / "mine.yaml")[0]
    (task,) = spec["root"]["dag"]["tasks"].values()
    assert not task.get("cachingOptions", {}).get("enableCache", False)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_of_the_page_compile(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "mine.py"
    # kfp reads the sources of components.
    source.write_text(example)
    exec(compile(example, str(source), "exec"), {"__name__": "mine"})
    (file,) = tmp_path.glob("*.yaml")
    _, platform = yaml.safe_load_all(file.read_text())
    configured = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert any("secretAsVolume" in one for one in configured.values())
    assert not any("pvcMount" in one for one in configured.values()) or "download(" in example


@pytest.mark.parametrize("pipeline", [model_to_registry, model_to_registry_streaming])
def test_the_image_is_the_output_of_a_pipeline(pipeline: Any, tmp_path: Path) -> None:
    @dsl.pipeline(name="around")
    def around(model: str = "a/b") -> str:
        return pipeline(model=model, target="quay.io/a/b:1").outputs["image"]

    spec = compiled(around, tmp_path / "around.yaml")[0]
    assert spec["root"]["outputDefinitions"]["parameters"]["Output"]["parameterType"] == "STRING"
    assert list(pipeline.component_spec.outputs) == ["image"]


def test_each_step_has_the_function_of_its_name() -> None:
    for step in ("preflight", "download", "build", "stream", "mirror", "register", "report"):
        assert callable(getattr(configure, step))
