"""The code of a pipeline's steps in one place: for any pipeline that has steps of ours."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp import dsl
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from modelcar.bootstrap.command import Bootstrapped, marked_parts, reference
from modelcar.components.mirror import mirror
from modelcar.components.stream import stream
from modelcar.errors import BuildError
from modelcar.pipelines.compilation import Backend, compile_pipeline, documents_in
from modelcar.pipelines.delivery import Delivery
from modelcar.pipelines.model_to_registry_streaming import model_to_registry_streaming
from modelcar.pipelines.shared_code import MAX_CONTAINER_BYTES, share_code


@dsl.container_component
def theirs() -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="quay.example/theirs:1", command=["true"])


@dsl.pipeline(name="own")
def own(model: str, target: str, mirror_target: str) -> None:
    """Stream a model and mirror it."""
    streamed = stream(model=model, target=target)
    mirror(image=streamed.outputs["image"], mirror_target=mirror_target)
    theirs()


@dsl.pipeline(name="others")
def others() -> None:
    """Do what has nothing to do with us."""
    theirs()


def compiled(pipeline: Any, folder: Path, *given: Any) -> dict[str, Any]:
    return documents_in(compile_pipeline(pipeline, folder / "own.yaml", *given))[0]


def test_a_pipeline_of_ones_own_has_the_code_once(tmp_path: Path) -> None:
    pipeline = compiled(own, tmp_path)
    json_format.ParseDict(pipeline, PipelineSpec())

    executors = pipeline["deploymentSpec"]["executors"]
    held = executors.pop("exec-code")["container"]["command"][1:]
    steps = {name: Bootstrapped.parse(one["container"]["command"]) for name, one in executors.items()}
    assert steps.pop("exec-theirs") is None
    told = {step.archive for step in steps.values() if step}
    assert len(steps) == 2
    assert len(told) == 1
    text = "".join(part.split(":", 3)[3] for part in held)
    assert held == marked_parts(text)
    assert told == {reference(text)}


def test_our_pipelines_are_compiled_without_packing_the_code_of_each_step(tmp_path: Path) -> None:
    """Each takes a third of a second, and every command that knows the pipelines would wait for all."""
    script = (
        "import sys; from pathlib import Path; from modelcar.bootstrap import command; counts = []\n"
        "for name in ('model_to_registry', 'model_to_registry_streaming'):\n"
        "    from modelcar.pipelines.compilation import compile_one\n"
        "    __import__(f'modelcar.pipelines.{name}'); counts.append(command.archive.cache_info().misses)\n"
        "    compile_one(name, Path(sys.argv[1])); counts.append(command.archive.cache_info().misses)\n"
        "print(counts)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True)
    assert done.stdout == "[0, 1, 1, 2]\n"


def test_our_pipeline_as_a_step_gets_its_code(tmp_path: Path) -> None:
    @dsl.pipeline(name="around")
    def around() -> None:
        model_to_registry_streaming(model="a/b", target="quay.io/a/b:1")
        theirs()

    executors = compiled(around, tmp_path)["deploymentSpec"]["executors"]
    held = executors.pop("exec-code")["container"]["command"][1:]
    steps = [Bootstrapped.parse(one["container"]["command"]) for one in executors.values()]
    text = "".join(part.split(":", 3)[3] for part in held)
    assert {step.archive for step in steps if step} == {reference(text)}


@pytest.mark.parametrize(
    "delivery", [Delivery(image="quay.example/x:1"), Delivery(package="modelcar-pipelines==0.1.0")]
)
def test_where_an_image_or_a_package_has_the_code_no_branch_holds_it(delivery: Delivery, tmp_path: Path) -> None:
    pipeline = compiled(own, tmp_path, delivery)
    assert set(pipeline["root"]["dag"]["tasks"]) == {"stream", "mirror", "theirs"}


def test_the_branch_that_holds_the_code_never_runs(tmp_path: Path) -> None:
    tasks = compiled(own, tmp_path, Delivery(), Backend.WITHOUT_TASK_CONFIG)["root"]["dag"]["tasks"]
    assert set(tasks) == {"stream", "mirror", "theirs", "code"}
    assert tasks["code"]["triggerPolicy"] == {"condition": "false"}
    assert not any("code" in task.get("dependentTasks", []) for task in tasks.values())


def test_a_pipeline_without_steps_of_ours_stays_as_it_is(tmp_path: Path) -> None:
    pipeline = compiled(others, tmp_path)
    assert set(pipeline["deploymentSpec"]["executors"]) == {"exec-theirs"}
    before = json.dumps(pipeline)
    share_code(pipeline)
    assert json.dumps(pipeline) == before


def test_a_step_that_kubeflow_could_not_start_is_refused(tmp_path: Path) -> None:
    pipeline = compiled(own, tmp_path)
    executors = pipeline["deploymentSpec"]["executors"]
    executors["exec-theirs"]["container"]["command"] = ["x" * 60_000] * 3
    del executors["exec-code"]
    executors["exec-mirror"]["container"]["command"] = mirror.component_spec.implementation.container.command
    with pytest.raises(BuildError, match=rf"the step theirs has \d+ bytes.*no step of more than {MAX_CONTAINER_BYTES}"):
        share_code(pipeline)
