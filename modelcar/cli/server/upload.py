"""Needs of a run on a server: an experiment, and the pipeline, in a version that its content names."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api  # type: ignore[import-untyped]

from modelcar.cli.server.client import ANSWER_SECONDS, Client
from modelcar.errors import ClusterError
from modelcar.pipelines.compilation import Backend, compile_one
from modelcar.pipelines.delivery import Delivery
from modelcar.pipelines.kubernetes_objects import version_name

_EQUALS = 1
"""kfp's number of the operation; its client has no name for it."""


@dataclass(frozen=True)
class Version:
    """A version of a pipeline on a server.

    Attributes:
        pipeline: The pipeline's name.
        name: The version's name: modelcar's version and a hash of the YAML.
        pipeline_id: The pipeline's id.
        id: The version's id.
        is_new: Whether it was uploaded just now.
    """

    pipeline: str
    name: str
    pipeline_id: str
    id: str
    is_new: bool

    @property
    def reference(self) -> Any:
        """The version as a run refers to it."""
        return kfp_server_api.V2beta1PipelineVersionReference(pipeline_id=self.pipeline_id, pipeline_version_id=self.id)

    @property
    def latest(self) -> Any:
        """The pipeline as a schedule refers to it: without a version, each run takes the latest of its time."""
        return kfp_server_api.V2beta1PipelineVersionReference(pipeline_id=self.pipeline_id)


def upload(client: Client, pipeline: str, delivery: Delivery, backend: Backend, queue: str = "") -> Version:
    """Compiles a pipeline, and uploads it unless this very content is there.

    Args:
        client: The server.
        pipeline: The pipeline, as its folder is called.
        delivery: How our code reaches the steps' pods.
        backend: What the server is.
        queue: Kueue's queue that the steps wait in; empty for none.

    Raises:
        ClusterError: The server refused.
        BuildError: The queue's name is none.
    """
    with tempfile.TemporaryDirectory(prefix="modelcar-upload-") as folder:
        file = compile_one(pipeline, Path(folder), delivery, backend, queue)
        name = version_name(file)
        pipeline_id = _find_pipeline(client, file.stem) or _create_pipeline(client, file.stem)
        if known := _find_version(client, pipeline_id, name):
            return Version(file.stem, name, pipeline_id, known, is_new=False)
        return Version(file.stem, name, pipeline_id, _upload_version(client, pipeline_id, name, file), is_new=True)


def named(name: str) -> str:
    """A filter for what is called like this."""
    return json.dumps({"predicates": [{"operation": _EQUALS, "key": "display_name", "stringValue": name}]})


def find_experiment(client: Client, name: str) -> str:
    """The id of an experiment, which is created if there is none of that name."""
    with client.api_errors(f"find the experiment {name}"):
        answer = client.experiments.experiment_service_list_experiments(
            filter=named(name), namespace=client.namespace, _request_timeout=ANSWER_SECONDS
        )
        for one in answer.experiments or []:
            return str(one.experiment_id)
    wanted_one = kfp_server_api.V2beta1Experiment(display_name=name, namespace=client.namespace)
    with client.api_errors(f"create the experiment {name}"):
        made = client.experiments.experiment_service_create_experiment(wanted_one, _request_timeout=ANSWER_SECONDS)
        return str(made.experiment_id)


def _find_pipeline(client: Client, name: str) -> str:
    with client.api_errors("list pipelines"):
        answer = client.pipelines.pipeline_service_list_pipelines(
            namespace=client.namespace, filter=named(name), _request_timeout=ANSWER_SECONDS
        )
        return next((str(one.pipeline_id) for one in answer.pipelines or []), "")


def _create_pipeline(client: Client, name: str) -> str:
    wanted = kfp_server_api.V2beta1Pipeline(display_name=name, namespace=client.namespace)
    try:
        with client.api_errors(f"create the pipeline {name}"):
            made = client.pipelines.pipeline_service_create_pipeline(wanted, _request_timeout=ANSWER_SECONDS)
            return str(made.pipeline_id)
    except ClusterError:
        # Somebody else may just have made it.
        if found := _find_pipeline(client, name):
            return found
        raise


def _find_version(client: Client, pipeline_id: str, name: str) -> str:
    with client.api_errors("list versions of the pipeline"):
        answer = client.pipelines.pipeline_service_list_pipeline_versions(
            pipeline_id, filter=named(name), _request_timeout=ANSWER_SECONDS
        )
        return next((str(one.pipeline_version_id) for one in answer.pipeline_versions or []), "")


def _upload_version(client: Client, pipeline_id: str, name: str, file: Path) -> str:
    try:
        with client.api_errors(f"take version {name} of the pipeline"):
            made = client.uploads.upload_pipeline_version(
                str(file), name=name, pipelineid=pipeline_id, _request_timeout=ANSWER_SECONDS
            )
            return str(made.pipeline_version_id)
    except ClusterError:
        if found := _find_version(client, pipeline_id, name):
            return found
        raise
