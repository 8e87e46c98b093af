"""The pipeline for Vertex AI as Vertex Pipelines reads it, and the page that says how to run it."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
import yaml
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
from google.cloud.aiplatform.utils import gcs_utils
from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
from google.cloud.aiplatform_v1.types import PipelineJob
from google.cloud.aiplatform_v1.types.model import ModelContainerSpec
from google.protobuf import json_format
from google_cloud_pipeline_components.types.artifact_types import UnmanagedContainerModel, VertexModel
from kfp.compiler import Compiler
from kfp.pipeline_spec import pipeline_spec_pb2 as schema

from modelcar.components.prepare_upload import prepare_upload
from modelcar.image.entry_points import overrides_model
from modelcar.pipelines.compilation import documents_in
from modelcar.pipelines.model_to_vertex import model_to_vertex
from modelcar.pipelines.model_to_vertex.pipeline import SERVING_ARGS, SERVING_CONTAINER, SERVING_IMAGE
from modelcar.steps import vertex_upload

PAGE = Path(__file__).parents[2] / "docs" / "vertex.md"
IMAGE = f"europe-west4-docker.pkg.dev/my-project/models/x@sha256:{'0' * 64}"
LONGEST_ARGUMENT = 128 << 10
"""Linux's MAX_ARG_STRLEN."""

# https://cloud.google.com/vertex-ai/docs/pipelines: the platform's own, and those of kfp that it shares.
PLACEHOLDERS = re.compile(
    r"\$|\$\.(inputs|outputs)\..+|\$\.pipeline_job_(uuid|name)|\$\.pipeline_google_cloud_(project_id|location)"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "model-to-vertex.yaml"
    Compiler().compile(model_to_vertex, str(path))
    return path


@pytest.fixture(scope="module")
def compiled(file: Path) -> dict[str, Any]:
    # Vertex AI's client reads one document; a second one would be kfp-kubernetes' settings.
    document = documents_in(file)[0]
    return document


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give the requests that would have created runs; nothing goes out."""
    requests: list[dict[str, Any]] = []

    def create(_: object, **request: Any) -> PipelineJob:
        requests.append(request)
        return PipelineJob(
            request["pipeline_job"], name=f"{request['parent']}/pipelineJobs/{request['pipeline_job_id']}"
        )

    monkeypatch.setattr(PipelineServiceClient, "create_pipeline_job", create)
    # The client looks whether the bucket is there.
    monkeypatch.setattr(gcs_utils, "create_gcs_bucket_for_pipeline_artifacts_if_it_does_not_exist", lambda **_: None)
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "my-project"))
    return requests


def strings(value: Any) -> Iterator[str]:
    """Give every text within a document."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *strings(one))
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def test_it_is_a_pipeline_job_by_the_schema(compiled: dict[str, Any]) -> None:
    job = {
        "pipelineSpec": compiled,
        "runtimeConfig": {"gcsOutputDirectory": "gs://b/r", "parameterValues": {"model": "a/b"}},
    }
    json_format.ParseDict(job, schema.PipelineJob())
    deployment = json_format.ParseDict(compiled["deploymentSpec"], schema.PipelineDeploymentConfig())
    assert set(deployment.executors) == {
        *("exec-preflight-on-vertex", "exec-stream-on-vertex", "exec-prepare-upload", "exec-report-on-vertex"),
        *("exec-model-upload", "exec-model-upload-2"),
    }
    for name, executor in deployment.executors.items():
        assert executor.WhichOneof("spec") == "container", name
        assert max(len(part) for part in executor.container.command) < LONGEST_ARGUMENT


def test_it_has_nothing_that_vertex_does_not_know(compiled: dict[str, Any]) -> None:
    assert set(compiled) == {
        *("components", "deploymentSpec", "pipelineInfo", "root", "schemaVersion", "sdkVersion"),
    }
    assert compiled["schemaVersion"] == "2.1.0"
    for executor in compiled["deploymentSpec"]["executors"].values():
        assert set(executor) == {"container"}
        assert set(executor["container"]) == {"image", "command", "args"}
    definitions = [compiled["root"], *compiled["components"].values()]
    kinds = {
        one["parameterType"]
        for definition in definitions
        for part in ("inputDefinitions", "outputDefinitions")
        for one in definition.get(part, {}).get("parameters", {}).values()
    }
    # https://cloud.google.com/vertex-ai/docs/pipelines/email-notifications has an exit handler that takes a status.
    assert kinds <= {"STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN", "LIST", "STRUCT", "TASK_FINAL_STATUS"}
    found = {one for text in strings(compiled) for one in re.findall(r"\{\{(\$[^{}]*)\}\}", text)}
    assert found
    assert [one for one in found if not PLACEHOLDERS.fullmatch(one)] == []


def test_images_lie_where_vertex_pulls_from(compiled: dict[str, Any]) -> None:
    images = {executor["container"]["image"] for executor in compiled["deploymentSpec"]["executors"].values()}
    # A name without a registry is Docker Hub's.
    registries = {image.partition("/")[0] if "/" in image else "docker.io" for image in images}
    assert registries == {"docker.io", "gcr.io"}


def test_nothing_is_cached_and_only_what_may_be_repeated_is_tried_again(compiled: dict[str, Any]) -> None:
    dags = [compiled["root"]["dag"], *(one["dag"] for one in compiled["components"].values() if "dag" in one)]
    groups = ("condition", "exit-handler")
    tasks = {name: task for dag in dags for name, task in dag["tasks"].items() if not name.startswith(groups)}
    assert {name for name, task in tasks.items() if "retryPolicy" in task} == {"stream-on-vertex", "prepare-upload"}
    assert [task["cachingOptions"] for task in tasks.values()] == [{}] * 6


def test_an_upload_happens_only_where_something_is_missing(compiled: dict[str, Any]) -> None:
    steps = compiled["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    conditions = {
        "".join(compiled["components"][task["componentRef"]["name"]]["dag"]["tasks"]): task["triggerPolicy"][
            "condition"
        ]
        for task in steps.values()
        if "triggerPolicy" in task
    }
    missing = "inputs.parameter_values['pipelinechannel--prepare-upload-missing']"
    assert conditions == {"model-upload": f"{missing} == 'model'", "model-upload-2": f"{missing} == 'version'"}
    uploads = {
        name: set(task["inputs"]["artifacts"])
        for component in compiled["components"].values()
        for name, task in component.get("dag", {}).get("tasks", {}).items()
        if name.startswith("model-upload")
    }
    assert uploads == {
        "model-upload": {"unmanaged_container_model"},
        "model-upload-2": {"unmanaged_container_model", "parent_model"},
    }


def test_a_report_comes_last_whatever_happens(compiled: dict[str, Any]) -> None:
    last = compiled["root"]["dag"]["tasks"]["report-on-vertex"]
    assert last["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert last["dependentTasks"] == ["exit-handler-1"]
    assert last["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}


def test_the_plan_comes_first_and_completes_the_server(compiled: dict[str, Any]) -> None:
    steps = compiled["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert "dependentTasks" not in steps["preflight-on-vertex"]
    for name in ("stream-on-vertex", "prepare-upload"):
        for key in ("serving_args", "serving_container"):
            assert steps[name]["inputs"]["parameters"][key] == {
                "taskOutputParameter": {"outputParameterKey": key, "producerTask": "preflight-on-vertex"}
            }


def test_every_parameter_has_a_default_and_a_description_of_one_line(compiled: dict[str, Any]) -> None:
    for name, parameter in compiled["root"]["inputDefinitions"]["parameters"].items():
        assert parameter["isOptional"], name
        assert len(parameter["description"]) > 20, name
        assert "\n" not in parameter["description"], name


def test_outputs_are_of_googles_types_and_hold_what_those_describe() -> None:
    outputs = prepare_upload.component_spec.outputs
    for name, kind in (("container_model", UnmanagedContainerModel), ("parent_model", VertexModel)):
        assert outputs[name].type == f"{kind.schema_title}@{kind.schema_version}"
    spec = vertex_upload.describe("a/b", "c" * 40, IMAGE, SERVING_ARGS, SERVING_CONTAINER).container.spec()
    known = yaml.safe_load(UnmanagedContainerModel.schema)["properties"]["containerSpec"]["properties"]
    assert set(spec) <= set(known)
    for name, value in spec.items():
        assert isinstance(value, {"string": str, "array": list}[known[name]["type"]])
    model = UnmanagedContainerModel.create(predict_schemata={}, container_spec=spec)
    assert set(model.metadata) == {"predictSchemata", "containerSpec"}


def test_a_container_has_the_fields_of_the_api() -> None:
    fields = set(ModelContainerSpec.pb(ModelContainerSpec()).DESCRIPTOR.fields_by_name)
    assert set(vertex_upload.Container.model_fields) == fields


def test_the_client_builds_a_run_of_it(file: Path, submitted: list[dict[str, Any]]) -> None:
    job = aiplatform.PipelineJob(
        display_name="all of it",
        template_path=str(file),
        pipeline_root="gs://my-bucket/runs",
        parameter_values={
            "model": "a/b",
            "everything": True,
            "include": ["*.safetensors"],
            "serving_container": {"ports": [{"containerPort": 7080}], "predictRoute": "/p"},
            "max_layer_size": 5_000_000_000,
        },
        project="my-project",
        location="europe-west4",
        credentials=AnonymousCredentials(),
    )
    job.submit(service_account="runner@my-project.iam.gserviceaccount.com")
    (request,) = submitted
    sent = json_format.MessageToDict(PipelineJob.pb(request["pipeline_job"]))
    assert request["parent"] == "projects/my-project/locations/europe-west4"
    assert sent["serviceAccount"] == "runner@my-project.iam.gserviceaccount.com"
    assert sent["runtimeConfig"]["parameterValues"]["serving_container"]["ports"] == [{"containerPort": 7080}]
    json_format.ParseDict(sent["pipelineSpec"], schema.PipelineSpec())
    with pytest.raises(ValueError, match="mirror_target is not found"):
        aiplatform.PipelineJob(
            display_name="x", template_path=str(file), pipeline_root="gs://b/r", parameter_values={"mirror_target": "x"}
        )


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_documented_submission_builds_a_request(
    file: Path, submitted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent.parent)
    (file.parent.parent / "compiled").symlink_to(file.parent)
    exec(blocks("python")[0], {})
    (request,) = submitted
    given = dict(request["pipeline_job"].runtime_config.parameter_values)
    assert set(given) == {"model", "target"}
    assert vertex_upload.check_target(given["target"]).tag == "3.3-2b"
    commands = " ".join(blocks("sh"))
    account = request["pipeline_job"].service_account
    assert f"service-accounts create {account.partition('@')[0]}\n" in commands
    assert (
        f"buckets create {request['pipeline_job'].runtime_config.gcs_output_directory.removesuffix('/runs')} "
        in commands
    )
    assert f"repositories create {given['target'].split('/')[2]} " in commands
    assert commands.count("europe-west4") == 2


def test_documented_deployment_calls_what_there_is() -> None:
    call = re.search(r"model\.deploy\((.+)\)", blocks("python")[1])
    assert call
    names = re.findall(r"(\w+)=", call[1])
    assert set(names) <= set(inspect.signature(aiplatform.Model.deploy).parameters)


@pytest.mark.parametrize("block", blocks("json"))
def test_documented_servers_are_containers_that_the_api_takes(block: str) -> None:
    values = json.loads(block)
    parameters = set(inspect.signature(model_to_vertex.pipeline_func).parameters)
    assert set(values) <= parameters
    entry = vertex_upload.describe("a/b", "c" * 40, IMAGE, values["serving_args"], values["serving_container"])
    spec = ModelContainerSpec.from_json(json.dumps(entry.container.spec()))
    assert spec.ports[0].container_port == 8080
    image, told = values.get("serving_image", SERVING_IMAGE), {one.name: one.value for one in spec.env}
    assert overrides_model(image, values["serving_container"], values["serving_args"]) is None
    # Servers of Hugging Face's take the port of AIP_HTTP_PORT.
    assert "huggingface" in image or {"--port=8080", "--model=/models"} <= set(spec.args)
    assert "huggingface" not in image or told["MODEL_ID"] == "/models"


def test_the_page_names_the_labels_and_messages_that_there_are() -> None:
    text = PAGE.read_text()
    for label in (vertex_upload.MODEL, vertex_upload.COMMIT, vertex_upload.DIGEST, vertex_upload.CONTAINER):
        assert f"| `{label}` |" in text
    assert SERVING_IMAGE.startswith("us-docker.pkg.dev/vertex-ai/")
    rows = text.partition("## When it fails")[2].partition("\n## ")[0]
    said = re.findall(r"^\| `(.+?)` \|", rows, re.MULTILINE)
    ours = " ".join(path.read_text() for path in Path(vertex_upload.__file__).parents[1].rglob("*.py"))
    assert len(said) == 5
    assert [one for one in said if one.removesuffix(" 403") not in ours] == []
