"""Compiles the pipelines to the YAML that Kubeflow Pipelines and OpenShift AI take."""

import ast
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    # A PyYAML that was built without libyaml reads the same, in ten times the time.
    from yaml import SafeLoader  # type: ignore[assignment]

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

_Change = Callable[[Sequence[dict[str, Any]]], None]
"""A change of a compiled pipeline's documents, in place."""


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

    changes: list[_Change] = []
    if backend is Backend.WITHOUT_TASK_CONFIG:
        pipeline = _without_task_config(pipeline)
        changes.append(_forget_task_config)
    if delivery != EMBEDDED:
        changes.append(lambda documents: _deliver(documents[0], delivery))
    if queue:
        changes.append(lambda documents: _wait_in_queue(documents, queue))
    if in_cluster:
        changes.append(lambda documents: share_code(documents[0]))
    # Apart: what cannot be finished takes the place of no file that is. Beside it, where one may write.
    with tempfile.TemporaryDirectory(prefix=".modelcar-", dir=file.parent) as apart:
        compiled = Path(apart, file.name)
        Compiler().compile(pipeline, str(compiled))
        text = _changed(compiled, changes) if changes else compiled.read_text()
    file.write_text(_with_defaults_in_order(text))
    return file


def documents_in(file: Path) -> list[dict[str, Any]]:
    """Returns the YAML documents of a compiled pipeline: the pipeline, and what it says of Kubernetes."""
    return list(yaml.load_all(file.read_text(), SafeLoader))


def _without_task_config(pipeline: Any) -> Any:
    from modelcar.pipelines.configure import without_task_config
    from modelcar.pipelines.wiring import pipeline as made_of

    with without_task_config():
        named = pipeline.pipeline_spec.pipeline_info
        return made_of(named.name, named.display_name)(pipeline.pipeline_func)


def _forget_task_config(documents: Sequence[dict[str, Any]]) -> None:
    for component in documents[0]["components"].values():
        component.pop("taskConfigPassthroughs", None)
        parameters = component.get("inputDefinitions", {}).get("parameters", {})
        for name in [name for name, kind in parameters.items() if kind["parameterType"] == "TASK_CONFIG"]:
            del parameters[name]


def _with_defaults_in_order(text: str) -> str:
    """Sorts the objects in the comments at the top, which kfp (2.17) writes in another order each time."""

    def sort(found: re.Match[str]) -> str:
        return repr(json.loads(json.dumps(ast.literal_eval(found[0]), sort_keys=True)))

    return _DEFAULT.sub(sort, text)


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


def _changed(file: Path, changes: Sequence[_Change]) -> str:
    header = "".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith("#"))
    documents = documents_in(file)
    for change in changes:
        change(documents)
    # Not libyaml's writer: it breaks lines elsewhere, and not everybody has it.
    return header + str(yaml.safe_dump_all(documents, sort_keys=True))


def _deliver(document: dict[str, Any], delivery: Delivery) -> None:
    for executor in document["deploymentSpec"]["executors"].values():
        delivery.apply(executor["container"])
