"""`modelcar compile`: the pipelines as YAML."""

from pathlib import Path
from typing import Annotated

import typer

from modelcar.cli.options import CompileOptions, takes_options
from modelcar.pipelines.compilation import compile_all


@takes_options
def compile_command(
    compiled: CompileOptions,
    output: Annotated[Path, typer.Option(help="Folder for the YAML files.")] = Path("compiled"),
) -> None:
    """Compile the pipelines to YAML, to be uploaded in the OpenShift AI dashboard or with the kfp client.

    The steps carry their code and install pinned packages when they start. Instead they may install modelcar as well,
    with `--package`, or run in an image that has all of it, with `--image`. The pipeline for Vertex AI is among them
    where `modelcar-pipelines[vertex]` is installed.

    Example: `modelcar compile --package modelcar-pipelines==0.1.0 --index-url https://nexus.example.com/pypi/simple`
    """
    for file in compile_all(output, compiled.delivery, compiled.backend):
        print(file)
