"""The compiled pipelines: what Kubeflow Pipelines reads in them, and that they are what the code says today."""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.compiler import Compiler
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from modelcar.cli.compilation import compile_all
from modelcar.components.download import download
from modelcar.embedding import BOOTSTRAP
from modelcar.errors import BuildError

COMPILED = Path(__file__).parents[1] / "compiled"
COMPONENTS = Path(__file__).parents[1] / "components"
LOCK = Path(__file__).parents[1] / "requirements" / "dev.txt"
PIPELINES = ("model-to-registry", "model-to-registry-streaming")
STEPS = ("download", "build", "mirror", "register")
LONGEST_ARGUMENT = 128 << 10
"""Linux's MAX_ARG_STRLEN."""


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text()))


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return read("model-to-registry")


@pytest.fixture(scope="module")
def pipeline(documents: list[dict[str, Any]]) -> PipelineSpec:
    return json_format.ParseDict(documents[0], PipelineSpec())


@pytest.fixture(scope="module")
def placed(documents: list[dict[str, Any]]) -> dict[str, KubernetesExecutorConfig]:
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {
        name.removeprefix("exec-"): json_format.ParseDict(config, KubernetesExecutorConfig())
        for name, config in executors.items()
    }


@pytest.fixture(scope="module")
def containers(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    executors = documents[0]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor["container"] for name, executor in executors.items()}


def test_compiled_is_what_the_code_says_today(tmp_path: Path) -> None:
    for file in compile_all(tmp_path):
        fresh = file.read_bytes() == (COMPILED / file.name).read_bytes()
        assert fresh, f"{file.name} is stale: run `make compile`"
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in COMPILED.iterdir()}


def test_compiling_in_another_place_and_time_gives_the_same_bytes(tmp_path: Path) -> None:
    environment = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    modelcar = Path(sys.executable).with_name("modelcar")
    subprocess.run([modelcar, "compile", "--output", "out"], check=True, cwd=tmp_path, env=environment)
    for file in (tmp_path / "out").iterdir():
        assert file.read_bytes() == (COMPILED / file.name).read_bytes()


@pytest.mark.parametrize("name", PIPELINES)
def test_every_parameter_has_a_default_and_a_description(name: str) -> None:
    pipeline = json_format.ParseDict(read(name)[0], PipelineSpec())
    parameters = pipeline.root.input_definitions.parameters
    assert set(parameters) >= {"model", "target", "mirror_target", "model_registry"}
    for name, parameter in parameters.items():
        assert parameter.is_optional, f"{name} has no default"
        assert len(parameter.description) > 20, f"{name} has no description"
        assert "\n" not in parameter.description, f"the description of {name} is more than a line in the form"
    for component in pipeline.components.values():
        for name, parameter in component.input_definitions.parameters.items():
            assert parameter.description, f"{name} has no description"


def test_the_steps_run_in_order_and_are_never_cached(pipeline: PipelineSpec) -> None:
    tasks = pipeline.root.dag.tasks
    assert [list(tasks[step].dependent_tasks) for step in STEPS] == [[], ["download"], ["build"], ["mirror"]]
    for step in STEPS:
        assert not tasks[step].caching_options.enable_cache
        assert tasks[step].retry_policy.max_retry_count >= 2


def test_the_build_lands_on_the_chosen_nodes_with_the_disk_it_asks_for(
    placed: dict[str, KubernetesExecutorConfig], containers: dict[str, dict[str, Any]]
) -> None:
    assert placed["build"].node_selector.node_selector_json.component_input_parameter == "node_selector"
    assert placed["build"].tolerations[0].toleration_json.component_input_parameter == "tolerations"
    resources = containers["build"]["resources"]
    # The driver writes `resources.limits[<accelerator type>] = <count>`.
    assert resources["accelerator"]["resourceType"] == "ephemeral-storage"
    assert _named(resources["accelerator"]["resourceCount"]) == "build_ephemeral_storage"
    assert _named(resources["resourceCpuRequest"]) == "build_cpu"
    assert _named(resources["resourceMemoryRequest"]) == "build_memory"


def test_what_is_set_on_the_build_task_reaches_its_function(pipeline: PipelineSpec) -> None:
    build = pipeline.components["comp-build"]
    assert {(passed.field, passed.apply_to_task) for passed in build.task_config_passthroughs} == {
        (field, True) for field in range(1, 7)
    }
    assert build.input_definitions.parameters["task_config"].is_optional


def test_claim_secrets_and_limits_are_on_the_tasks_that_need_them(
    placed: dict[str, KubernetesExecutorConfig],
) -> None:
    claims = {
        step: [mount.pvc_name_parameter.component_input_parameter for mount in placed[step].pvc_mount] for step in STEPS
    }
    assert claims == {"download": ["claim"], "build": ["claim"], "mirror": [], "register": []}
    logins = {
        step: [secret.secret_name_parameter.component_input_parameter for secret in placed[step].secret_as_volume]
        for step in STEPS
    }
    both = ["target_secret", "mirror_secret"]
    assert logins == {"download": [], "build": ["target_secret"], "mirror": both, "register": both}
    for step in STEPS:
        assert all(secret.optional for secret in placed[step].secret_as_volume)
        assert all(secret.optional for secret in placed[step].secret_as_env)
        assert [pull.secret_name_parameter.component_input_parameter for pull in placed[step].image_pull_secret] == [
            "image_pull_secret"
        ]
        assert placed[step].active_deadline_seconds >= 3600
    assert [key.env_var for key in placed["download"].secret_as_env[0].key_to_env] == ["HF_TOKEN"]
    assert [key.env_var for key in placed["register"].secret_as_env[0].key_to_env] == ["MODEL_REGISTRY_TOKEN"]


def test_streaming_needs_no_claim_and_no_place() -> None:
    documents = read("model-to-registry-streaming")
    pipeline = json_format.ParseDict(documents[0], PipelineSpec())
    tasks = pipeline.root.dag.tasks
    assert [list(tasks[step].dependent_tasks) for step in ("stream", "mirror", "register")] == [
        [],
        ["stream"],
        ["mirror"],
    ]
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for executor in executors.values():
        config = json_format.ParseDict(executor, KubernetesExecutorConfig())
        assert not config.pvc_mount
        assert not config.HasField("node_selector")
        assert [secret.secret_name_parameter.component_input_parameter for secret in config.secret_as_volume] == [
            "target_secret",
            "mirror_secret",
        ]
    assert all(not task.caching_options.enable_cache for task in tasks.values())


@pytest.mark.parametrize("name", PIPELINES)
def test_no_argument_is_longer_than_linux_takes(name: str) -> None:
    for executor in read(name)[0]["deploymentSpec"]["executors"].values():
        assert max(len(part) for part in executor["container"]["command"]) < LONGEST_ARGUMENT


def test_the_tested_packages_are_the_shipped_ones() -> None:
    locked = set(re.findall(r"^([a-z0-9._-]+==\S+)", LOCK.read_text(), re.MULTILINE))
    for step in (*STEPS, "stream"):
        shipped = set((COMPONENTS / step / "requirements.txt").read_text().split())
        assert shipped <= locked, f"{step}: run `make lock`"


@pytest.mark.parametrize(
    ("step", "inputs", "says"),
    [
        ("download", {"model": "not a model id"}, "error: 'not a model id' is not a model id."),
        ("build", {"directory": "/nowhere"}, "error: /nowhere holds no finished download."),
        ("stream", {"model": "not a model id"}, "error: 'not a model id' is not a model id."),
        ("mirror", {"image": "quay.io/x/y:1", "target": ""}, "no mirror was asked for"),
        ("register", {"image": "quay.io/x/y:1", "url": ""}, "no Model Registry was named"),
    ],
)
def test_a_compiled_step_runs_in_a_python_that_has_nothing_installed(
    step: str, inputs: dict[str, Any], says: str, tmp_path: Path
) -> None:
    executors = read("model-to-registry-streaming" if step == "stream" else "model-to-registry")[0]["deploymentSpec"]
    container = executors["executors"][f"exec-{step}"]["container"]
    venv.create(tmp_path / "python", with_pip=True)
    executor_input = {"inputs": {"parameterValues": inputs}, "outputs": {"outputFile": str(tmp_path / "outputs.json")}}
    arguments = [json.dumps(executor_input) if part == "{{$}}" else part for part in container["args"]]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PATH": f"{tmp_path}/python/bin:/usr/bin:/bin",
        "TMPDIR": str(tmp_path),
    }
    command = [*container["command"], *arguments]
    done = subprocess.run(command, check=False, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (done.returncode == 1) == says.startswith("error")


def test_an_image_of_ones_own_takes_the_place_of_the_packages(tmp_path: Path) -> None:
    file = compile_all(tmp_path, image="registry.example/modelcar:1")[0]
    executors = next(yaml.safe_load_all(file.read_text()))["deploymentSpec"]["executors"]
    assert len(executors) == len(STEPS)
    for executor in executors.values():
        assert executor["container"]["image"] == "registry.example/modelcar:1"
        assert BOOTSTRAP not in executor["container"]["command"]
        assert "kfp.dsl.executor_main" in " ".join(executor["container"]["command"])


def test_a_component_can_be_used_in_another_pipeline(tmp_path: Path) -> None:
    from kfp import dsl

    @dsl.pipeline(name="theirs")
    def theirs(model: str) -> None:
        download(model=model)

    Compiler().compile(theirs, str(tmp_path / "theirs.yaml"))
    compiled = next(yaml.safe_load_all((tmp_path / "theirs.yaml").read_text()))
    assert compiled["deploymentSpec"]["executors"]["exec-download"]["container"]["command"][2] == BOOTSTRAP


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="cannot write to"):
        compile_all(tmp_path / "file" / "below")


def _named(placeholder: str) -> str:
    match = re.fullmatch(r"\{\{\$\.inputs\.parameters\['pipelinechannel--(\w+)'\]\}\}", placeholder)
    assert match, placeholder
    return match[1]
