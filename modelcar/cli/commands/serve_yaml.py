"""`modelcar serve-yaml`: the YAML with which an image is served."""

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelcar.cli.options import takes_options
from modelcar.cli.settings import setting
from modelcar.cli.usage import UsageError

if TYPE_CHECKING:
    from modelcar.serving.documents import ServingDocuments
    from modelcar.serving.platform import Platform
    from modelcar.serving.served_model import RegistryEntry, ServedModel


@dataclass(frozen=True)
class ServiceOptions:
    """The service: what serves it, what it is called, and how its image is pulled."""

    serving: Annotated[
        str,
        typer.Option(
            help="rhoai-2.25, rhoai-3, kserve, or auto for what the cluster of KUBECONFIG has. "
            "Default: that of `modelcar config`, else auto."
        ),
    ] = ""
    name: Annotated[str, typer.Option("--as", help="Name of the service. Default: the model's.")] = ""
    connection: Annotated[str, typer.Option(help="Connection, or pull Secret, with which the image is pulled.")] = ""
    hardware_profile: Annotated[
        str, typer.Option(help="OpenShift AI's hardware profile, NAME or NAMESPACE/NAME.", metavar="NAME")
    ] = ""
    model_registry: Annotated[
        str, typer.Option(metavar="URL", help="Model Registry with the image's entry, for the dashboard's link to it.")
    ] = ""
    model_format: Annotated[str, typer.Option(help="Model format as KServe calls it; as the build found it.")] = ""


@takes_options
def serve_yaml(
    image: Annotated[str, typer.Argument(help="Image to serve, registry/repository:tag or @sha256:…")],
    service: ServiceOptions,
    llm: Annotated[bool, typer.Option("--llm", help="An LLMInferenceService, for OpenShift AI 3.4 and newer.")] = False,
    output: Annotated[Path | None, typer.Option(help="Directory for the files, instead of printing one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Print what to create so that KServe serves an image: an InferenceService, and its runtime if it needs one.

    Model format, arguments, GPUs and memory are what the build found in the model's files; without a note of that in
    the image they are guessed from its size. With a cluster at hand, a serving runtime that the project has is used.

    Example: `modelcar serve-yaml quay.io/my-team/granite:3.3-2b --connection quay-login | oc apply -f -`
    """
    from modelcar.errors import PlanError

    # What is said on the way, such as that a registry asks us to wait, is not part of the document.
    with redirect_stdout(sys.stderr):
        platform, model, documents = _described(image, service)
    files = {
        "inference-service.yaml": documents.inference_service,
        "llm-inference-service.yaml": documents.llm_inference_service,
    }
    wanted = "llm-inference-service.yaml" if llm else "inference-service.yaml"
    if not files[wanted]:
        raise PlanError(
            f"{model.model} has no LLMInferenceService: that takes OpenShift AI 3.4 or newer, vLLM and a GPU",
            "Leave out --llm",
        )
    if as_json:
        print(json.dumps({"image": model.image, "platform": platform.name, "before": documents.before, "files": files}))
        return
    if documents.before and not llm:
        print(f"First, once in the project: {documents.before}", file=sys.stderr)
    if output is None:
        print(files[wanted], end="")
        return
    _write(files, output)


def _described(image: str, service: ServiceOptions) -> "tuple[Platform, ServedModel, ServingDocuments]":
    from modelcar.cli.server.login import LOG_IN, find_cluster
    from modelcar.serving.documents import serving_documents
    from modelcar.serving.platform import choose_platform
    from modelcar.serving.runtime import find_runtime
    from modelcar.serving.served_model import read_served_model

    serving = service.serving or setting("serving") or "auto"
    remedy = f"{LOG_IN}; or name the platform: --serving rhoai-3"
    cluster = find_cluster(remedy=remedy) if serving == "auto" else None
    platform = choose_platform(serving, cluster)
    entry = _entry(image, service.model_registry)
    model = replace(read_served_model(image, service.model_format), service=service.name, entry=entry)
    there = find_runtime(model, cluster) if cluster and platform.found and platform.name != "kserve" else None
    return platform, model, serving_documents(model, platform, service.connection, there, service.hardware_profile)


def _entry(image: str, model_registry: str) -> "RegistryEntry | None":
    from modelcar.model_registry import find_ids
    from modelcar.serving.served_model import RegistryEntry

    return RegistryEntry.of(model_registry, *find_ids(image, model_registry)) if model_registry else None


def _write(files: Mapping[str, str], output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if content:
                (output / name).write_text(content, encoding="utf-8")
                print(output / name)
    except OSError as error:
        if error.filename is None:
            # Of stdout, whose end is nobody's folder.
            raise
        raise UsageError(f"cannot write to {output}: {error.strerror}", "Name another folder: --output DIR") from None
