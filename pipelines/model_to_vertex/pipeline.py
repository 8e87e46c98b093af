"""The pipeline for Vertex AI: preflight, stream onto a serving image, upload what is missing; and a report."""

from typing import Any, Dict, List

from google_cloud_pipeline_components.v1.model import ModelUploadOp
from kfp import dsl

from modelcar.components.preflight_on_vertex import preflight_on_vertex
from modelcar.components.prepare_upload import prepare_upload
from modelcar.components.report_on_vertex import report_on_vertex
from modelcar.components.stream_on_vertex import stream_on_vertex
from modelcar.pipelines.wiring import pipeline, self_contained_task_of

SERVING_IMAGE = "us-docker.pkg.dev/vertex-ai/vertex-vision-model-garden-dockers/pytorch-vllm-serve:20260320_0916_RC01"
"""vLLM as Vertex AI's Model Garden serves it. Unlike vLLM's own image it answers Vertex AI's `predict` requests, and it
lies in Artifact Registry, where everyone may read it and nobody counts pulls."""

SERVING_ARGS = ["--host=0.0.0.0", "--port=8080", "--model=/models"]
SERVING_CONTAINER = {
    # Takes the place of the image's entry point, which would replace --model by a folder that it downloads.
    "command": ["python", "-m", "vllm.entrypoints.api_server"],
    "ports": [{"containerPort": 8080}],
    "predictRoute": "/generate",
    "healthRoute": "/ping",
}
"""Settings with which Model Garden's own deployments run that image, but for the model, which is in it
(docs/vertex.md)."""

PROJECT, LOCATION = "{{$.pipeline_google_cloud_project_id}}", "{{$.pipeline_google_cloud_location}}"
"""Placeholders that Vertex Pipelines replaces by the project and the region of the run."""


def _never_cached(task: dsl.PipelineTask, retries: int = 0) -> None:
    """Runs a task each time, for what it does is outside; again, if asked for, after a failure that may pass."""
    task.set_caching_options(False)
    if retries:
        task.set_retry(num_retries=retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="600s")


@pipeline(name="model-to-vertex", display_name="Model to Vertex AI")
def model_to_vertex(
    model: str = "ibm-granite/granite-3.3-2b-instruct",
    target: str = "",
    revision: str = "main",
    include: List[str] = [],
    exclude: List[str] = [],
    everything: bool = False,
    allow_pickle: List[str] = [],
    variant: str = "",
    serving_image: str = SERVING_IMAGE,
    serving_args: List[str] = SERVING_ARGS,
    serving_container: Dict[str, Any] = SERVING_CONTAINER,
    registered_name: str = "",
    version_aliases: List[str] = ["default"],
    tensor_parallel: int = 0,
    context_length: int = 0,
    shared_memory_mb: int = 0,
    deployment_minutes: int = 0,
    max_layer_size: int = 9_900_000_000,
    reshard: bool = False,
    if_exists: str = "update",
    allow_base_models: bool = False,
    hf_token_secret: str = "",
    project: str = PROJECT,
    location: str = LOCATION,
) -> None:
    """Stream a model from Hugging Face onto a serving image in Artifact Registry; enter it in Vertex AI.

    A plan comes first, which refuses what cannot succeed; a report comes last, whatever happens. Running it again does
    only what is missing: a commit that is there already adds no version, a new one does.

    Args:
        model: Id of the model on Hugging Face, organisation/name.
        target: Image to write, such as europe-west4-docker.pkg.dev/my-project/models/granite:3.3-2b.
        revision: Branch, tag or commit of the model.
        include: Glob patterns, as a JSON list, of the only weights to take. Empty: all that are needed to serve it.
        exclude: Glob patterns, as a JSON list, of files to leave out.
        everything: Also take duplicate weights and those for other frameworks.
        allow_pickle: Files, as a JSON list, to take although they run code when loaded (pickles). ["*"]: all of them.
        variant: Which of several alternatives to take, such as Q4_K_M, fp16, onnx or a folder. Empty: the usual one.
        serving_image: Image to put the model on, as /models. By default Model Garden's vLLM.
        serving_args: Arguments of the server, as a JSON list. They may name variables, as $(AIP_HTTP_PORT).
        serving_container: More of Vertex AI's ModelContainerSpec, as JSON: command, ports, routes, env, probes.
        registered_name: Name in the Model Registry. Empty: the model's id.
        version_aliases: Aliases of the new version, as a JSON list. The one called default is what is deployed.
        tensor_parallel: GPUs that share the model, for vLLM. 0: as many of 80 GB as hold it.
        context_length: Tokens that vLLM sees at once. 0: what the model's configuration says, up to 32768.
        shared_memory_mb: Shared memory of the server, in MB. 0: 16384 where several GPUs share the model.
        deployment_minutes: Minutes that a deployment may take. 0: what the image's size asks for, 30 to 120.
        max_layer_size: Largest layer to make, in bytes. Artifact Registry's quota is 9900000000 unless you raised it.
        reshard: Cut larger safetensors and GGUF files into smaller ones, tensor by tensor. Such files are read twice.
        if_exists: For a tag that holds something else. update: one of the same model moves; replace: any; refuse: none.
        allow_base_models: Also take a serving image with files in /models, which are then served with the model.
        hf_token_secret: Secret of Secret Manager with a Hugging Face token, for gated and private models. Empty: none.
        project: Project of the Model Registry and of the secret. By default the one that this runs in.
        location: Region of the Model Registry, which has to be the one that this runs in, as it is by default.
    """
    given = dict(locals())
    reported = self_contained_task_of(report_on_vertex, given)
    _never_cached(reported.set_display_name("Report"))

    with dsl.ExitHandler(reported, name="Preflight to upload"):
        planned = self_contained_task_of(preflight_on_vertex, given, run_location=LOCATION)
        _never_cached(planned.set_display_name("Preflight"))
        server = {name: planned.outputs[name] for name in ("serving_args", "serving_container")}

        streamed = self_contained_task_of(stream_on_vertex, given, **server)
        _never_cached(streamed.set_display_name("Stream"), retries=3)

        image = {name: streamed.outputs[name] for name in ("commit", "image")}
        prepared = self_contained_task_of(prepare_upload, given, **image, **server)
        _never_cached(prepared.set_display_name("Compare with the Model Registry"), retries=3)

        what = {
            "project": project,
            "location": location,
            "display_name": prepared.outputs["display_name"],
            "description": prepared.outputs["description"],
            "labels": prepared.outputs["labels"],
            "version_aliases": version_aliases,
            "unmanaged_container_model": prepared.outputs["container_model"],
        }
        # An upload is not tried again: had the first attempt's answer been lost, the second would add another version.
        with dsl.If(prepared.outputs["missing"] == "model", name="No such model yet"):
            _never_cached(ModelUploadOp(**what).set_display_name("Upload"))
        with dsl.If(prepared.outputs["missing"] == "version", name="No such version yet"):
            added = ModelUploadOp(**what, parent_model=prepared.outputs["parent_model"])
            _never_cached(added.set_display_name("Upload a version"))
