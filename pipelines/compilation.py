"""Compiles the pipelines to the YAML that Kubeflow Pipelines and OpenShift AI take."""

import ast
import json
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from modelcar.cluster.queue import QUEUE
from modelcar.errors import BuildError
from modelcar.pipelines.delivery import EMBEDDED, Delivery
from modelcar.pipelines.shared_code import share_code

BUILDING, STREAMING = "model_to_registry", "model_to_registry_streaming"
PIPELINES = (BUILDING, STREAMING)
"""The pipelines that one can choose from, as their folders are called."""

CLAIM = "claim_to_registry"
"""The streaming pipeline for a model on a claim, which is mounted into its steps."""

ON_KUBERNETES = (*PIPELINES, CLAIM)

VERTEX = "model_to_vertex"
"""The pipeline for Vertex AI, which needs Google's components: modelcar-pipelines[vertex]."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label, RFC 1123."""

_DEFAULT = re.compile(r"(?<= dict \[Default: )\{.+\}(?=\]$)", re.MULTILINE)


class Backend(StrEnum):
    """Backends that a pipeline can be compiled for."""

    CURRENT = "rhoai-3"
    """OpenShift AI 3.0 and newer, and Kubeflow Pipelines 2.15 and newer."""

    WITHOUT_TASK_CONFIG = "rhoai-2.25"
    """OpenShift AI 2.25, whose pipelines hand no task's configuration over (dsl.TaskConfig)."""


def compile_all(
    folder: Path, delivery: Delivery = EMBEDDED, backend: Backend = Backend.CURRENT, queue: str = ""
) -> list[Path]:
    """Compiles every pipeline, the one for Vertex AI where its extra is installed; the same code gives the same bytes.

    Args:
        folder: Where the files go.
        delivery: How our code reaches the steps' pods.
        backend: What they are for.
        queue: Kueue's queue that the steps wait in; empty for none.

    Returns:
        The files that were written.

    Raises:
        BuildError: The folder cannot be written, or the queue's name is none.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [*ON_KUBERNETES, VERTEX] if find_spec("google_cloud_pipeline_components") else ON_KUBERNETES
        return [compile_one(name, folder, delivery, backend, queue) for name in names]
    except OSError as error:
        raise BuildError(f"cannot write to {folder}: {error.strerror}", "Name another folder with --output") from None


def compile_one(
    pipeline_name: str,
    folder: Path,
    delivery: Delivery = EMBEDDED,
    backend: Backend = Backend.CURRENT,
    queue: str = "",
) -> Path:
    """Compiles one pipeline.

    Args:
        pipeline_name: The pipeline, as its folder is called.
        folder: Where the file goes.
        delivery: How our code reaches the steps' pods.
        backend: What it is for.
        queue: Kueue's queue that the steps wait in; empty for none.

    Returns:
        The file that was written.

    Raises:
        BuildError: The queue's name is none.
    """
    pipeline = pipeline_named(pipeline_name)
    file = folder / f"{pipeline.name}.yaml"
    return compile_pipeline(pipeline, file, delivery, backend, queue, in_cluster=pipeline_name != VERTEX)


def pipeline_named(name: str) -> Any:
    """Returns a pipeline by its folder's name. Only that one is imported: each takes kfp tenths of a second."""
    return getattr(import_module(f"modelcar.pipelines.{name}"), name)


def compile_pipeline(
    pipeline: Any,
    file: Path,
    delivery: Delivery = EMBEDDED,
    backend: Backend = Backend.CURRENT,
    queue: str = "",
    *,
    in_cluster: bool = True,
) -> Path:
    """Compiles any pipeline that has steps of ours, such as one of your own: kfp's compiler alone would not share code.

    Args:
        pipeline: The pipeline, a function below `dsl.pipeline`.
        file: The YAML to write.
        delivery: How our code reaches the steps' pods.
        backend: What it is for.
        queue: Kueue's queue that the steps wait in; empty for none.
        in_cluster: Whether it runs in Kubeflow Pipelines, whose runs have a Workflow that holds the steps' code once.

    Returns:
        The file that was written.

    Raises:
        BuildError: The queue's name is none, or a step is longer than Kubeflow Pipelines can start.
    """
    from kfp.compiler import Compiler

    if backend is Backend.WITHOUT_TASK_CONFIG:
        Compiler().compile(_without_task_config(pipeline), str(file))
        _change(file, lambda document, *_: _forget_task_config(document))
    else:
        Compiler().compile(pipeline, str(file))
    if delivery != EMBEDDED:
        _change(file, lambda document, *_: _deliver(document, delivery))
    if queue:
        _change(file, lambda *documents: _wait_in_queue(documents, queue))
    if in_cluster:
        _change(file, lambda document, *_: share_code(document))
    _put_defaults_in_order(file)
    return file


def _without_task_config(pipeline: Any) -> Any:
    from kfp import dsl

    from modelcar.pipelines.configure import without_task_config

    with without_task_config():
        named = pipeline.pipeline_spec.pipeline_info
        return dsl.pipeline(name=named.name, display_name=named.display_name)(pipeline.pipeline_func)


def _forget_task_config(document: dict[str, Any]) -> None:
    for component in document["components"].values():
        component.pop("taskConfigPassthroughs", None)
        parameters = component.get("inputDefinitions", {}).get("parameters", {})
        for name in [name for name, kind in parameters.items() if kind["parameterType"] == "TASK_CONFIG"]:
            del parameters[name]


def _put_defaults_in_order(file: Path) -> None:
    """Sorts the objects in the comments at the top, which kfp (2.17) writes in another order each time."""

    def sort(found: re.Match[str]) -> str:
        return repr(json.loads(json.dumps(ast.literal_eval(found[0]), sort_keys=True)))

    file.write_text(_DEFAULT.sub(sort, file.read_text()))


def _wait_in_queue(documents: Sequence[dict[str, Any]], queue: str) -> None:
    """Labels the pods of all steps for Kueue, which counts them in a queue; a Job takes its step's label over."""
    if not _NAME.fullmatch(queue):
        raise BuildError(f"{queue!r} is no name of a queue", "Name one of those that `oc get localqueue` shows")
    # A pipeline for Vertex AI says nothing of Kubernetes.
    for document in documents[1:]:
        configured = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for name in documents[0]["deploymentSpec"]["executors"]:
            metadata = configured.setdefault(name, {}).setdefault("podMetadata", {})
            metadata.setdefault("labels", {})[QUEUE] = queue


def _change(file: Path, change: Callable[..., None]) -> None:
    text = file.read_text()
    header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    change(*documents)
    file.write_text(header + yaml.safe_dump_all(documents, sort_keys=True))


def _deliver(document: dict[str, Any], delivery: Delivery) -> None:
    for executor in document["deploymentSpec"]["executors"].values():
        delivery.apply(executor["container"])
