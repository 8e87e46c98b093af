"""`modelcar compile`: the pipelines as YAML."""

from pathlib import Path
from typing import Annotated

import typer

from modelcar.cli.options import BackendOption, ImageOption
from modelcar.pipelines import compilation


def compile_pipelines(
    output: Annotated[Path, typer.Option(help="Folder for the YAML files.")] = Path("compiled"),
    image: ImageOption = "",
    backend: BackendOption = compilation.Backend.CURRENT,
) -> None:
    """Compile the pipelines to YAML, to be uploaded in the OpenShift AI dashboard or with the kfp client.

    Without `--image` the steps carry their code and install pinned packages when they start, and need no image of ours.
    The pipeline for Vertex AI is among them where `modelcar-pipelines[vertex]` is installed.
    """
    for file in compilation.compile_all(output, image, backend):
        print(file)
