"""Runs tasks of a compiled pipeline as Vertex Pipelines does: placeholders replaced, in a process, outputs from files.

What is handed over is read by the types of kfp-pipeline-spec, and numbers within structures become floating-point
numbers, for a protobuf Struct knows no others.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.local import placeholder_utils
from kfp.pipeline_spec.pipeline_spec_pb2 import ExecutorInput, ExecutorOutput, PipelineSpec

from tests.parts.google_cloud.vertex import LOCATION, PROJECT

JOB = "model-to-vertex-20260101000000"
ROOT = "gs://my-bucket/runs"
OF_THE_RUN = {
    "{{$.pipeline_google_cloud_project_id}}": PROJECT,
    "{{$.pipeline_google_cloud_location}}": LOCATION,
}
# GCPC asks every 20 seconds whether an upload is done.
IMPATIENT = (
    "import runpy, sys; "
    "from google_cloud_pipeline_components.container.v1.gcp_launcher import lro_remote_runner as polling; "
    "polling._POLLING_INTERVAL_IN_SECONDS = 0.05; "
    "name, sys.argv = sys.argv[1], sys.argv[1:]; runpy.run_module(name, run_name='__main__')"
)


class TaskRun:
    """A task and what came of it.

    Attributes:
        parameters: Its output parameters.
        artifacts: Its output artifacts, each with `uri`, `metadata` and `type`.
        arguments: What its program was given.
        returncode: How its program ended.
        log: What its program said.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.arguments: list[str] = []
        self.returncode = 0
        self.log = ""


class Run:
    """A run of a pipeline, task by task.

    Args:
        pipeline: The compiled pipeline.
        folder: Takes what the tasks write; it is the pipeline root in Cloud Storage.
        environment: The tasks' environment.
    """

    def __init__(self, pipeline: dict[str, Any], folder: Path, environment: Mapping[str, str]) -> None:
        self._pipeline = pipeline
        self.folder = self._folder = folder
        self._environment = environment
        self._tasks = 0
        json_format.ParseDict(pipeline, PipelineSpec())

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The pipeline's parameters, as the tasks see them."""
        definitions = self._pipeline["root"]["inputDefinitions"]["parameters"]
        return {name: given.get(name, one.get("defaultValue")) for name, one in definitions.items()}

    def task(self, name: str, parameters: Mapping[str, Any], artifacts: Mapping[str, Any] | None = None) -> TaskRun:
        """Runs a task.

        Args:
            name: The component's name, without `comp-`.
            parameters: Its input parameters.
            artifacts: Its input artifacts.
        """
        component = self._pipeline["components"][f"comp-{name}"]
        container = self._pipeline["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        self._tasks += 1
        folder = self._folder / f"{name}-{self._tasks}"
        folder.mkdir(parents=True)
        executor_input = self._executor_input(component, folder, parameters, artifacts or {})
        json_format.ParseDict(executor_input, ExecutorInput())
        done = TaskRun()
        command, done.arguments = (
            placeholder_utils.replace_placeholders(
                [_of_the_run(part) for part in container.get(part_of_it, [])], executor_input, JOB, name, ROOT, JOB
            )
            for part_of_it in ("command", "args")
        )
        if "google_cloud_pipeline_components" in command[-1]:
            command = [sys.executable, "-c", IMPATIENT, command[-1]]
        environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **self._environment}
        process = subprocess.run(
            [*command, *done.arguments], check=False, env=environment, cwd=folder, capture_output=True, text=True
        )
        done.returncode, done.log = process.returncode, process.stdout + process.stderr
        if not process.returncode:
            self._collect(done, executor_input, component)
        return done

    def _executor_input(
        self, component: dict[str, Any], folder: Path, parameters: Mapping[str, Any], artifacts: Mapping[str, Any]
    ) -> dict[str, Any]:
        kinds = component["inputDefinitions"].get("parameters", {})
        assert set(parameters) <= set(kinds)
        values = {name: parameters.get(name, kind.get("defaultValue")) for name, kind in kinds.items()}
        outputs = component.get("outputDefinitions", {})
        return {
            "inputs": {
                "parameterValues": {name: _resolved(value) for name, value in values.items()},
                "artifacts": {name: {"artifacts": [one]} for name, one in artifacts.items()},
            },
            "outputs": {
                "parameters": {name: {"outputFile": str(folder / name)} for name in outputs.get("parameters", {})},
                "artifacts": {
                    name: {"artifacts": [{"name": name, "uri": str(folder / name), "type": one["artifactType"]}]}
                    for name, one in outputs.get("artifacts", {}).items()
                },
                "outputFile": str(folder / "executor_output.json"),
            },
        }

    def _collect(self, done: TaskRun, executor_input: dict[str, Any], component: dict[str, Any]) -> None:
        written = Path(executor_input["outputs"]["outputFile"])
        output = json.loads(written.read_text()) if written.is_file() else {}
        json_format.ParseDict(output, ExecutorOutput(), ignore_unknown_fields=True)
        done.parameters = {name: _as_in_struct(value) for name, value in output.get("parameterValues", {}).items()}
        for name, one in component.get("outputDefinitions", {}).get("artifacts", {}).items():
            (said,) = output["artifacts"][name]["artifacts"]
            done.artifacts[name] = {
                "name": f"projects/1/locations/{LOCATION}/metadataStores/default/artifacts/{name}",
                "uri": said["uri"].replace(str(self._folder), ROOT),
                "type": one["artifactType"],
                "metadata": _as_in_struct(said.get("metadata", {})),
            }


def _of_the_run(text: str) -> str:
    for placeholder, value in OF_THE_RUN.items():
        text = text.replace(placeholder, value)
    return text


def _resolved(value: Any) -> Any:
    return _of_the_run(value) if isinstance(value, str) else _as_in_struct(value)


def _as_in_struct(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_in_struct(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_as_in_struct(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def unresolved(arguments: list[str]) -> list[str]:
    """Placeholders that are left in arguments."""
    return [found for argument in arguments for found in re.findall(r"\{\{\$[^}]*\}\}", argument)]
