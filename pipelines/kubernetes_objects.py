"""Pipelines as objects of Kubernetes, for GitOps: Pipeline and PipelineVersion of pipelines.kubeflow.org/v2beta1.

A pipeline server whose store is Kubernetes (OpenShift AI: `spec.apiServer.pipelineStore: kubernetes`) shows what is
applied in its project. See https://github.com/kubeflow/pipelines, manifests/kustomize/base/crds.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import yaml

import modelcar
from modelcar.errors import BuildError
from modelcar.pipelines.compilation import ON_KUBERNETES, Backend, compile_one, documents_in
from modelcar.pipelines.delivery import EMBEDDED, Delivery

API_VERSION = "pipelines.kubeflow.org/v2beta1"
DIGITS = 12
"""Digits of the hash of a pipeline's YAML, in the names of its versions."""

_SYNC = {"argocd.argoproj.io/sync-options": "ServerSideApply=true,Prune=false"}
"""Options for Argo CD: the objects are too large for the annotation of a client-side apply (256 KiB), and a version
must stay when the next one takes its place in Git, since schedules may be made of it."""

_KUSTOMIZATION = """\
# The pipelines, for a pipeline server that keeps them in Kubernetes (pipelineStore: kubernetes).
# By hand: kubectl apply --server-side -k {folder}
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
# The project of the pipeline server.
namespace: {namespace}
resources:
{resources}
"""


def version_name(file: Path) -> str:
    """Returns the name of a compiled pipeline's version: that of this release, and a hash of the YAML."""
    return f"{modelcar.__version__}-{hashlib.sha256(file.read_bytes()).hexdigest()[:DIGITS]}"


def write_objects(
    folder: Path,
    namespace: str,
    delivery: Delivery = EMBEDDED,
    backend: Backend = Backend.CURRENT,
    queue: str = "",
) -> list[Path]:
    """Writes each pipeline as a file with its Pipeline and its PipelineVersion, and a kustomization.yaml over them.

    The same code gives the same bytes. A version is never changed, since Kubeflow refuses that: other content has
    another name.

    Args:
        folder: Where the files go.
        namespace: The project of the pipeline server.
        delivery: How our code reaches the steps' pods.
        backend: What they are for.
        queue: Kueue's queue that the steps wait in; empty for none.

    Returns:
        The files that were written, kustomization.yaml last.

    Raises:
        BuildError: The folder cannot be written, or the queue's name is none.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="modelcar-compile-") as place:
            compiled = [compile_one(name, Path(place), delivery, backend, queue) for name in ON_KUBERNETES]
            files = [_write(file, folder) for file in compiled]
        kustomization = folder / "kustomization.yaml"
        resources = "\n".join(f"  - {file.name}" for file in files)
        kustomization.write_text(_KUSTOMIZATION.format(folder=folder, namespace=namespace, resources=resources))
        return [*files, kustomization]
    except OSError as error:
        raise BuildError(f"cannot write to {folder}: {error.strerror}", "Name another folder with --output") from None


def objects(name: str, version: str, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a compiled pipeline as Pipeline and PipelineVersion.

    Args:
        name: The pipeline's name, which is that of the Pipeline.
        version: The version's name, as people see it.
        documents: The compiled YAML: the pipeline, and what it says of Kubernetes.
    """
    described = {"description": documents[0]["pipelineInfo"].get("description", "")}
    spec = {"displayName": version, **described, "pipelineName": name, "pipelineSpec": documents[0]}
    if len(documents) > 1:
        spec["platformSpec"] = documents[1]
    # No spec.displayName: the definition has none in older releases, and a strict server refuses the field.
    return [
        _object("Pipeline", name, described),
        _object("PipelineVersion", f"{name}-{version.rpartition('-')[2]}", spec),
    ]


def _write(compiled: Path, folder: Path) -> Path:
    written = objects(compiled.stem, version_name(compiled), documents_in(compiled))
    file = folder / compiled.name
    file.write_text(yaml.safe_dump_all(written, sort_keys=False, allow_unicode=True, width=1000))
    return file


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "annotations": dict(_SYNC)}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
