"""The compiled pipelines: what Kubeflow Pipelines reads in them, and that they are what the code says today."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.compiler import Compiler
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PipelineTaskSpec, TaskConfigPassthroughType

from modelcar import pod
from modelcar.bootstrap.command import BOOTSTRAP
from modelcar.components.download import download
from modelcar.errors import BuildError
from modelcar.pipelines.compilation import Backend, compile_all, documents_in
from modelcar.pipelines.delivery import Delivery
from tests.parts.run_workflow import run_workflow
from tests.parts.wheels import step_wheels

COMPILED = Path(__file__).parents[2] / "compiled"
COMPONENTS = Path(__file__).parents[2] / "components"
LOCK = Path(__file__).parents[2] / "requirements" / "dev.txt"
PIPELINES = ("model-to-registry", "model-to-registry-streaming", "claim-to-registry")
MEAN_ANOTHER_THING = {"model", "revision", "mirror_target", "max_layer_size"}
"""Parameters that are not quite the same: a claim has no branches, and what is built is mirrored by another step."""

STEPS = ("preflight", "download", "build", "build-in-job", "mirror", "register", "serve", "report")
MOVES = ("download", "build", "build-in-job", "stream", "mirror", "register")
"""The steps that move bytes or write entries: none of them runs where there is nothing to do."""

LONGEST_ARGUMENT = 96 << 10
"""Of the 128 KiB that Linux takes (MAX_ARG_STRLEN)."""

LARGEST_PIPELINE = 512 << 10
LARGEST_STEP = 16 << 10

ARGO_TAKES = 1 << 20
"""Of a Workflow, in bytes of JSON: MAX_WORKFLOW_SIZE, argo-workflows, workflow/packer."""

COPIES = 8
"""In a Workflow, of a step's container, before Argo compresses them: input and output of its driver, and the inputs of
the step's node, of its executor's and of each attempt's, escaped. Measured on Kubeflow Pipelines 2.14: 7.6."""


def read(name: str) -> list[dict[str, Any]]:
    return documents_in(COMPILED / f"{name}.yaml")


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
    steps = [component for component in pipeline.components.values() if component.executor_label]
    for component in steps:
        for name, parameter in component.input_definitions.parameters.items():
            assert parameter.description, f"{name} has no description"


def tasks_of(pipeline: PipelineSpec) -> dict[str, PipelineTaskSpec]:
    """Give every task of a pipeline, those within conditions and the exit handler's body as well."""
    dags = (pipeline.root.dag, *(component.dag for component in pipeline.components.values()))
    return {name: task for dag in dags for name, task in dag.tasks.items()}


def group_of(pipeline: PipelineSpec, task: str) -> PipelineTaskSpec:
    """Give the condition or body that a task stands in."""
    (name,) = [name for name, component in pipeline.components.items() if task in component.dag.tasks]
    return next(task for task in tasks_of(pipeline).values() if task.component_ref.name == name)


def test_a_parameter_has_the_same_words_in_each_pipeline() -> None:
    words: dict[str, set[str]] = {}
    for name in PIPELINES:
        for parameter, told in read(name)[0]["root"]["inputDefinitions"]["parameters"].items():
            words.setdefault(parameter, set()).add(told["description"])

    assert {parameter for parameter, told in words.items() if len(told) > 1} == MEAN_ANOTHER_THING


@pytest.mark.parametrize("name", PIPELINES)
def test_the_steps_run_in_order_and_are_never_cached(name: str) -> None:
    pipeline = json_format.ParseDict(read(name)[0], PipelineSpec())
    tasks = tasks_of(pipeline)
    steps = [step for step in (*STEPS, "stream") if step in tasks]
    made = "stream" if "stream" in tasks else "condition-branches-3"

    assert list(tasks["mirror"].dependent_tasks) == [made]
    assert list(tasks["register"].dependent_tasks) == ["mirror"]
    assert list(group_of(pipeline, "mirror").dependent_tasks) == ["preflight"]
    for step in steps:
        assert not tasks[step].caching_options.enable_cache
        # What preflight refuses it would refuse again.
        assert bool(tasks[step].retry_policy.max_retry_count) == (step != "preflight")


@pytest.mark.parametrize("name", PIPELINES)
def test_a_model_is_served_only_where_somebody_asks_for_it(name: str) -> None:
    pipeline = json_format.ParseDict(read(name)[0], PipelineSpec())
    condition = group_of(pipeline, "serve").trigger_policy.condition

    assert condition == "inputs.parameter_values['pipelinechannel--serve_as'] != ''"
    assert pipeline.root.input_definitions.parameters["serve_as"].default_value.string_value == ""


@pytest.mark.parametrize("name", PIPELINES)
def test_nothing_is_moved_where_there_is_nothing_to_do(name: str) -> None:
    pipeline = json_format.ParseDict(read(name)[0], PipelineSpec())
    condition = group_of(pipeline, "mirror").trigger_policy.condition
    assert condition == "inputs.parameter_values['pipelinechannel--preflight-unchanged'] == false"
    within = set(pipeline.components[group_of(pipeline, "mirror").component_ref.name].dag.tasks)
    moving = {step for step in MOVES if step in tasks_of(pipeline) and not step.startswith("build")}
    assert moving <= within
    assert not {"preflight", "report"} & within


@pytest.mark.parametrize("name", PIPELINES)
def test_the_report_comes_whatever_happens_and_is_told_how_the_run_ended(name: str) -> None:
    pipeline = json_format.ParseDict(read(name)[0], PipelineSpec())
    report = pipeline.root.dag.tasks["report"]
    (body,) = set(pipeline.root.dag.tasks) - {"report", "code"}
    assert list(report.dependent_tasks) == [body]
    assert report.trigger_policy.strategy == report.trigger_policy.ALL_UPSTREAM_TASKS_COMPLETED
    assert report.inputs.parameters["status"].task_final_status.producer_task == body


def test_preflight_decides_where_the_build_runs(pipeline: PipelineSpec) -> None:
    in_job, in_pod = (group_of(pipeline, step).trigger_policy.condition for step in ("build-in-job", "build"))
    assert in_job == "inputs.parameter_values['pipelinechannel--preflight-build_mode'] != 'pod'"
    assert in_pod == f"!({in_job})"


@pytest.mark.parametrize("step", ["build", "build-in-job"])
def test_the_build_lands_on_the_chosen_nodes_with_the_disk_it_asks_for(
    step: str, placed: dict[str, KubernetesExecutorConfig], containers: dict[str, dict[str, Any]]
) -> None:
    assert _input(placed[step].node_selector.node_selector_json) == "preflight-node_selector"
    assert _input(placed[step].tolerations[0].toleration_json) == "tolerations"
    resources = containers[step]["resources"]
    # The driver writes `resources.limits[<accelerator type>] = <count>`.
    assert resources["accelerator"]["resourceType"] == "ephemeral-storage"
    assert _named(resources["accelerator"]["resourceCount"]) == "preflight-ephemeral_storage"
    assert _named(resources["resourceCpuRequest"]) == "build_cpu"
    assert _named(resources["resourceMemoryRequest"]) == "build_memory"


def test_what_is_set_on_the_build_task_goes_to_its_job_alone(pipeline: PipelineSpec) -> None:
    passed = pipeline.components["comp-build-in-job"].task_config_passthroughs
    environment = TaskConfigPassthroughType.ENV
    assert {one.field: one.apply_to_task for one in passed} == {field: field == environment for field in range(1, 7)}
    assert not pipeline.components["comp-build"].task_config_passthroughs


def test_a_backend_without_task_config_gets_the_same_as_parameters(tmp_path: Path) -> None:
    file = compile_all(tmp_path, backend=Backend.WITHOUT_TASK_CONFIG)[0]
    documents = documents_in(file)
    assert "TASK_CONFIG" not in file.read_text()
    assert "taskConfigPassthroughs" not in file.read_text()
    pipeline = json_format.ParseDict(documents[0], PipelineSpec())
    inputs = tasks_of(pipeline)["build-in-job"].inputs.parameters
    assert {name: inputs[name].component_input_parameter.removeprefix("pipelinechannel--") for name in PLACE} == PLACE
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert not {"pvcMount", "nodeSelector", "tolerations"} & set(executors["exec-build-in-job"])
    assert {"pvcMount", "nodeSelector", "tolerations"} <= set(executors["exec-build"])
    assert "resources" not in documents[0]["deploymentSpec"]["executors"]["exec-build-in-job"]["container"]
    # The pipelines in this process are as they were.
    assert compile_all(tmp_path)[0].read_bytes() == (COMPILED / "model-to-registry.yaml").read_bytes()


ARTIFACTS = {
    "preflight": {"plan": "system.Markdown", "plan_page": "system.HTML"},
    "report": {
        **{"report": "system.Markdown", "report_page": "system.HTML", "figures": "system.Metrics"},
        **{"inference_service": "system.Artifact", "llm_inference_service": "system.Artifact"},
    },
}
PLACE = {
    "claim": "claim",
    "node_selector": "preflight-node_selector",
    "tolerations": "tolerations",
    "build_cpu": "build_cpu",
    "build_memory": "build_memory",
    "build_ephemeral_storage": "preflight-ephemeral_storage",
}


def test_claim_secrets_and_limits_are_on_the_tasks_that_need_them(
    placed: dict[str, KubernetesExecutorConfig],
) -> None:
    claims = {step: [_input(mount.pvc_name_parameter) for mount in placed[step].pvc_mount] for step in STEPS}
    assert {step: names for step, names in claims.items() if names} == {
        "download": ["claim"],
        "build": ["claim"],
        "build-in-job": ["claim"],
    }
    secrets = {
        step: [_input(secret.secret_name_parameter) for secret in placed[step].secret_as_volume] for step in STEPS
    }
    one, both = ["target_secret"], ["target_secret", "mirror_secret"]
    assert {step: names for step, names in secrets.items() if names} == {
        "preflight": ["hf_token_secret", "source_secret", *both, "model_registry_secret", "signing_secret"],
        "download": ["hf_token_secret", "source_secret"],
        "build": [*one, "signing_secret"],
        "build-in-job": [*one, "signing_secret"],
        "mirror": both,
        "register": [*both, "model_registry_secret"],
        "serve": both,
        "report": both,
    }
    for step in STEPS:
        assert all(secret.optional for secret in placed[step].secret_as_volume)
        # Backends before KFP 2.15 refuse `optional` there.
        assert not placed[step].secret_as_env
        assert [_input(pull.secret_name_parameter) for pull in placed[step].image_pull_secret] == ["image_pull_secret"]
        assert placed[step].active_deadline_seconds >= 3600


def _configs(executors: dict[str, Any]) -> dict[str, KubernetesExecutorConfig]:
    return {
        name.removeprefix("exec-"): json_format.ParseDict(config, KubernetesExecutorConfig())
        for name, config in executors.items()
    }


def test_streaming_needs_no_claim_and_no_place() -> None:
    executors = read("model-to-registry-streaming")[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    steps = ("preflight", "stream", "mirror", "register", "serve", "report")
    assert set(executors) == {f"exec-{step}" for step in steps}
    for executor in executors.values():
        config = json_format.ParseDict(executor, KubernetesExecutorConfig())
        assert not config.pvc_mount
        assert not config.HasField("node_selector")


def test_a_claim_with_a_model_is_mounted_where_the_model_is_read_alone() -> None:
    executors = read("claim-to-registry")[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    mounts = {
        name: [(_input(mount.pvc_name_parameter), mount.mount_path) for mount in config.pvc_mount]
        for name, config in _configs(executors).items()
    }
    assert {name: found for name, found in mounts.items() if found} == {
        "preflight": [("source_claim", str(pod.SOURCE_CLAIM))],
        "stream": [("source_claim", str(pod.SOURCE_CLAIM))],
    }


@pytest.mark.parametrize("name", PIPELINES)
def test_what_reads_the_model_reads_what_preflight_found(name: str) -> None:
    tasks = tasks_of(json_format.ParseDict(read(name)[0], PipelineSpec()))
    reading = tasks["download"] if "download" in tasks else tasks["stream"]
    assert reading.inputs.parameters["model"].component_input_parameter == "pipelinechannel--preflight-model"


@pytest.mark.parametrize("name", PIPELINES)
def test_a_compiled_pipeline_does_not_grow(name: str) -> None:
    """The dashboard takes 1 MB of a pipeline."""
    assert (COMPILED / f"{name}.yaml").stat().st_size < LARGEST_PIPELINE


@pytest.mark.parametrize("name", PIPELINES)
def test_no_step_carries_code_that_the_run_carries_for_all(name: str) -> None:
    """A step's driver has the step's container as one argument; a run's Workflow has it five times or more."""
    executors = read(name)[0]["deploymentSpec"]["executors"]
    del executors["exec-code"]
    assert max(len(json.dumps(executor)) for executor in executors.values()) < LARGEST_STEP
    once = len(json.dumps(read(name)))
    copies = sum(len(json.dumps(executor)) for executor in executors.values()) * COPIES
    assert once + copies < ARGO_TAKES


@pytest.mark.parametrize("name", PIPELINES)
def test_no_argument_is_longer_than_linux_takes(name: str) -> None:
    for executor in read(name)[0]["deploymentSpec"]["executors"].values():
        assert max(len(part) for part in executor["container"]["command"]) < LONGEST_ARGUMENT


def test_the_tested_packages_are_the_shipped_ones() -> None:
    locked = set(re.findall(r"^([a-z0-9._-]+==\S+)", LOCK.read_text(), re.MULTILINE))
    for step in sorted(folder.name for folder in COMPONENTS.iterdir() if (folder / "component.py").exists()):
        shipped = set((COMPONENTS / step / "requirements.txt").read_text().split())
        assert shipped <= locked, f"{step}: run `make lock`"


@pytest.mark.parametrize(
    ("step", "inputs", "says"),
    [
        (
            "preflight",
            {"model": "not a model id"},
            "error: this run cannot succeed: 'not a model id' is not a model id.",
        ),
        ("build-in-job", {"directory": "/nowhere"}, "error: "),
        ("download", {"model": "not a model id"}, "error: 'not a model id' is not a model id."),
        ("build", {"directory": "/nowhere"}, "error: /nowhere holds no finished download."),
        ("stream", {"model": "not a model id"}, "error: 'not a model id' is not a model id."),
        ("mirror", {"image": "quay.io/x/y:1", "mirror_target": ""}, "no mirror was asked for"),
        ("report", {"status": {"state": "FAILED", "pipelineTaskName": "x"}, "model": "a/b"}, "a/b"),
        ("register", {"image": "quay.io/x/y:1", "model_registry": ""}, "no Model Registry was named"),
        ("serve", {"image": "quay.io/x/y:1", "serve_as": "y"}, "error: there is no cluster to serve on"),
    ],
)
def test_a_compiled_step_runs_in_a_python_that_has_nothing_installed(
    step: str, inputs: dict[str, Any], says: str, bare_python: Path, tmp_path: Path
) -> None:
    pipeline = read("model-to-registry-streaming" if step == "stream" else "model-to-registry")[0]
    container = pipeline["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
    outputs: dict[str, Any] = {"outputFile": str(tmp_path / "outputs.json")}
    outputs["artifacts"] = {
        name: {"artifacts": [{"name": name, "type": {"schemaTitle": kind}, "uri": str(tmp_path / name)}]}
        for name, kind in ARTIFACTS.get(step, {}).items()
    }
    executor_input = {"inputs": {"parameterValues": inputs}, "outputs": outputs}
    arguments = [json.dumps(executor_input) if part == "{{$}}" else part for part in container["args"]]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PATH": f"{bare_python}:/usr/bin:/bin",
        "TMPDIR": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(step_wheels()),
    }
    with run_workflow(pipeline, tmp_path) as run:
        done = subprocess.run(
            [*run.command(container["command"]), *arguments],
            check=False,
            env=environment | run.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (done.returncode == 1) == says.startswith("error")


def test_an_image_of_ones_own_takes_the_place_of_the_packages(tmp_path: Path) -> None:
    file = compile_all(tmp_path, Delivery(image="registry.example/modelcar:1"))[0]
    executors = documents_in(file)[0]["deploymentSpec"]["executors"]
    assert set(executors) == {f"exec-{step}" for step in STEPS}
    for executor in executors.values():
        assert executor["container"]["image"] == "registry.example/modelcar:1"
        assert BOOTSTRAP not in executor["container"]["command"]
        assert "kfp.dsl.executor_main" in " ".join(executor["container"]["command"])


def test_the_step_of_another_project_keeps_its_image(tmp_path: Path) -> None:
    file = compile_all(tmp_path, Delivery(image="registry.example/modelcar:1"))[-1]
    executors = documents_in(file)[0]["deploymentSpec"]["executors"]
    images = {name: executor["container"]["image"].partition(":")[0] for name, executor in executors.items()}
    assert images == {
        "exec-preflight-on-vertex": "registry.example/modelcar",
        "exec-stream-on-vertex": "registry.example/modelcar",
        "exec-prepare-upload": "registry.example/modelcar",
        "exec-report-on-vertex": "registry.example/modelcar",
        "exec-model-upload": "gcr.io/ml-pipeline/google-cloud-pipeline-components",
        "exec-model-upload-2": "gcr.io/ml-pipeline/google-cloud-pipeline-components",
    }


def test_a_component_can_be_used_in_another_pipeline(tmp_path: Path) -> None:
    from kfp import dsl

    @dsl.pipeline(name="theirs")
    def theirs(model: str) -> None:
        download(model=model)

    Compiler().compile(theirs, str(tmp_path / "theirs.yaml"))
    compiled = documents_in(tmp_path / "theirs.yaml")[0]
    assert compiled["deploymentSpec"]["executors"]["exec-download"]["container"]["command"][2] == BOOTSTRAP


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="cannot write to"):
        compile_all(tmp_path / "file" / "below")


def _input(parameter: Any) -> str:
    """Give the pipeline's parameter, or the task's output, that a setting is taken from."""
    return str(parameter.component_input_parameter).removeprefix("pipelinechannel--")


def _named(placeholder: str) -> str:
    match = re.fullmatch(r"\{\{\$\.inputs\.parameters\['pipelinechannel--([\w-]+)'\]\}\}", placeholder)
    assert match, placeholder
    return match[1]


@pytest.mark.parametrize("backend", Backend)
def test_queue_is_on_every_steps_pod(backend: Backend, tmp_path: Path) -> None:
    for file in compile_all(tmp_path, backend=backend, queue="builds"):
        pipeline, *platform = documents_in(file)
        for document in platform:
            configured = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
            assert set(configured) == set(pipeline["deploymentSpec"]["executors"]) - {"exec-code"}
            for one in configured.values():
                json_format.ParseDict(one, KubernetesExecutorConfig())
                assert one["podMetadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "builds"}


@pytest.mark.parametrize("queue", ["Builds", "a/b", "-", "x" * 64, "a b"])
def test_name_of_a_queue_that_is_none_is_refused(queue: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is no name of a queue"):
        compile_all(tmp_path, queue=queue)

    assert list(tmp_path.iterdir()) == []
