"""Compiles the pipelines to the YAML that Kubeflow Pipelines and OpenShift AI take."""

from pathlib import Path
from typing import Any

import yaml

from modelcar.errors import BuildError


def compile_all(folder: Path, image: str = "") -> list[Path]:
    """Compiles every pipeline; the same code gives the same bytes.

    Args:
        folder: Where the files go.
        image: An image with everything in it (Containerfile), for clusters that reach no package index. Empty: the
            steps carry our code and install what they need.

    Returns:
        The files that were written.

    Raises:
        BuildError: The folder cannot be written.
    """
    from kfp.compiler import Compiler

    from modelcar.pipelines.model_to_registry import model_to_registry
    from modelcar.pipelines.model_to_registry_streaming import model_to_registry_streaming

    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for pipeline in (model_to_registry, model_to_registry_streaming):
            file = folder / f"{pipeline.name}.yaml"
            Compiler().compile(pipeline, str(file))
            if image:
                _use_image(file, image)
            written.append(file)
    except OSError as error:
        raise BuildError(f"cannot write to {folder}: {error.strerror}", "Name another folder with --output") from None
    return written


def _use_image(file: Path, image: str) -> None:
    from modelcar.embedding import without_bootstrap

    text = file.read_text()
    header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container["image"] = image
        container["command"] = without_bootstrap(container["command"])
    file.write_text(header + yaml.safe_dump_all(documents, sort_keys=True))
