"""`modelcar serve-yaml`: the YAML with which an image is served."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def serve_yaml(
    image: Annotated[str, typer.Argument(help="Image to serve, registry/repository:tag or @sha256:…")],
    serving: Annotated[
        str, typer.Option(help="rhoai-2.25, rhoai-3, kserve, or auto for what the cluster of KUBECONFIG has.")
    ] = "auto",
    llm: Annotated[bool, typer.Option("--llm", help="An LLMInferenceService, for OpenShift AI 3.4 and newer.")] = False,
    connection: Annotated[str, typer.Option(help="Connection, or pull Secret, with which the image is pulled.")] = "",
    hardware_profile: Annotated[
        str, typer.Option(help="OpenShift AI's hardware profile, NAME or NAMESPACE/NAME.", metavar="NAME")
    ] = "",
    model_format: Annotated[str, typer.Option(help="Model format as KServe calls it; as the build found it.")] = "",
    output: Annotated[Path | None, typer.Option(help="Directory for the files, instead of printing one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Print what to create so that KServe serves an image: an InferenceService, and its runtime if it needs one.

    Model format, arguments, GPUs and memory are what the build found in the model's files; without a note of that in
    the image they are guessed from its size. With a cluster at hand, a serving runtime that the project has is used.

    Example: `modelcar serve-yaml quay.io/my-team/granite:3.3-2b --connection quay-login | oc apply -f -`
    """
    from modelcar.cluster.connection import Cluster
    from modelcar.errors import PlanError
    from modelcar.serving.documents import serving_documents
    from modelcar.serving.platform import choose_platform
    from modelcar.serving.runtime import find_runtime
    from modelcar.serving.served_model import read_served_model

    cluster = Cluster.find()
    platform = choose_platform(serving, cluster)
    model = read_served_model(image, model_format)
    there = find_runtime(model, cluster) if cluster and platform.found and platform.name != "kserve" else None
    documents = serving_documents(model, platform, connection, there, hardware_profile)
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
    output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if content:
            (output / name).write_text(content, encoding="utf-8")
            print(output / name)
