"""Somebody else's pipelines with our components: those of docs/own-pipelines.md, and without any of our functions."""

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from modelcar.bootstrap.command import Bootstrapped, unpacked
from modelcar.components.build import build
from modelcar.components.build_in_job import build_in_job
from modelcar.components.download import download
from modelcar.components.mirror import mirror
from modelcar.components.preflight import preflight
from modelcar.components.register import register
from modelcar.components.stream import stream
from modelcar.components.warm import warm
from modelcar.pipelines import configure
from modelcar.pipelines.compilation import documents_in
from modelcar.pipelines.model_to_registry import model_to_registry
from modelcar.pipelines.model_to_registry_streaming import model_to_registry_streaming
from modelcar.pipelines.shared_code import MAX_CONTAINER_BYTES

PAGE = Path(__file__).parents[2] / "docs" / "own-pipelines.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
STEPS = {
    "preflight": preflight,
    "download": download,
    "build": build,
    "build_in_job": build_in_job,
    "stream": stream,
    "mirror": mirror,
    "register": register,
    "warm": warm,
}
TOO_LONG_ALONE = {"preflight", "build_in_job", "build", "stream"}
"""Those of them of which docs/own-pipelines.md says so."""


def compiled(pipeline: Any, file: Path) -> list[dict[str, Any]]:
    compiler.Compiler().compile(pipeline, str(file))
    return documents_in(file)


@pytest.mark.parametrize("step", STEPS)
def test_no_step_is_cached_in_anybodys_pipeline(step: str, tmp_path: Path) -> None:
    component = STEPS[step]

    @dsl.pipeline(name="mine")
    def mine() -> None:
        component(**dict.fromkeys(component.required_inputs, "x"))

    spec = compiled(mine, tmp_path / "mine.yaml")[0]
    (task,) = spec["root"]["dag"]["tasks"].values()
    assert not task.get("cachingOptions", {}).get("enableCache", False)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_carries_its_code_where_kfps_compiler_is_alone(step: str, tmp_path: Path) -> None:
    component = STEPS[step]

    @dsl.pipeline(name="mine")
    def mine() -> None:
        component(**dict.fromkeys(component.required_inputs, "x"))

    for each in (mine, component):
        (executor,) = compiled(each, tmp_path / "mine.yaml")[0]["deploymentSpec"]["executors"].values()
        carried = Bootstrapped.parse(executor["container"]["command"])
        assert carried is not None
        with tarfile.open(fileobj=io.BytesIO(unpacked(carried.archive)), mode="r:bz2") as tar:
            assert {f"modelcar/steps/{step}.py", f"modelcar/steps/{step}/{step}.py"} & set(tar.getnames())
        # Kubeflow's drivers get a step's container as one argument.
        assert (len(json.dumps(executor)) > MAX_CONTAINER_BYTES) == (step in TOO_LONG_ALONE)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_of_the_page_compile(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "mine.py"
    # kfp reads the sources of components.
    source.write_text(example)
    exec(compile(example, str(source), "exec"), {"__name__": "mine"})
    (file,) = tmp_path.glob("*.yaml")
    _, platform = documents_in(file)
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
