"""`modelcar compile`: the pipelines as YAML."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from modelcar.cli.options import CompileOptions, takes_options
from modelcar.cli.usage import UsageError
from modelcar.pipelines.compilation import compile_all
from modelcar.pipelines.kubernetes_objects import write_objects

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label, RFC 1123."""


class Form(StrEnum):
    """Forms that the pipelines are written in."""

    PIPELINES = "pipelines"
    """The YAML that dashboards and kfp's client upload."""

    KUBERNETES = "kubernetes"
    """Objects to apply, for GitOps."""


@takes_options
def compile_command(
    compiled: CompileOptions,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the YAML. Default: `compiled`; as objects, `kubernetes`.", show_default=False),
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--as",
            help="pipelines: to be uploaded. kubernetes: objects and a kustomization.yaml, for pipeline servers that "
            "keep pipelines in Kubernetes.",
        ),
    ] = Form.PIPELINES,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Project of the objects, for `--as kubernetes`.")
    ] = "modelcar",
) -> None:
    """Compile the pipelines to YAML, to be uploaded in the OpenShift AI dashboard or with the kfp client.

    The steps carry their code and install pinned packages when they start. Instead they may install modelcar as well,
    with `--package`, or run in an image that has all of it, with `--image`. The pipeline for Vertex AI is among them
    where `modelcar-pipelines[vertex]` is installed.

    With `--as kubernetes` they are objects of Kubernetes: keep the folder in Git and let Argo CD apply it, or run
    `kubectl apply --server-side -k kubernetes`. A new version of a pipeline is a new object beside the old one.

    Example: `modelcar compile --package modelcar-pipelines==0.1.0 --index-url https://nexus.example.com/pypi/simple`
    """
    if form is Form.PIPELINES:
        files = compile_all(output or Path("compiled"), compiled.delivery, compiled.backend, compiled.queue)
    elif not _NAMESPACE.fullmatch(namespace):
        raise UsageError(f"{namespace!r} is no name of a project", "Write it as `oc project -q` does: -n my-project")
    else:
        folder = output or Path("kubernetes")
        files = write_objects(folder, namespace, compiled.delivery, compiled.backend, compiled.queue)
    for file in files:
        print(file)
