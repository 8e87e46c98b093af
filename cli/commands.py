"""The `modelcar` command: what a person types."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import modelcar
from modelcar.build import BUILDERS
from modelcar.cli import compilation, local_run
from modelcar.errors import ModelcarError
from modelcar.layers import MAX_LAYER_SIZE
from modelcar.oci.reference import Reference

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Large models from Hugging Face to mirrored, registered, servable OCI images.",
)

Patterns = list[str]
DEFAULT_CLAIM = Path("modelcar-claim")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(modelcar.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


@app.command()
def run(
    model: Annotated[str, typer.Option(help="Id of the model on Hugging Face, organisation/name.")],
    target: Annotated[str, typer.Option(help="Image to write, such as quay.io/my-team/granite:3.3-2b.")],
    mirror: Annotated[str, typer.Option(help="Image to copy it to, in another registry. Default: no copy.")] = "",
    model_registry: Annotated[str, typer.Option(help="Address of the Model Registry. Default: no entry.")] = "",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of the model.")] = "main",
    include: Annotated[Patterns | None, typer.Option(help="Glob of files to take, and no others. Repeatable.")] = None,
    exclude: Annotated[Patterns | None, typer.Option(help="Glob of files to leave out. Repeatable.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Also take duplicate weights.")] = False,
    base_image: Annotated[str, typer.Option(help="Image to put the model on. Default: KServe's modelcar base.")] = "",
    streaming: Annotated[
        bool,
        typer.Option("--streaming", help="Run *model-to-registry-streaming*: one pass, nothing kept on this disk."),
    ] = False,
    builder: Annotated[str, typer.Option(help=f"One of {', '.join(BUILDERS)}.")] = "auto",
    max_layer_size: Annotated[int, typer.Option(help="Largest layer the target takes, in bytes.")] = MAX_LAYER_SIZE,
    registered_name: Annotated[str, typer.Option(help="Name in the Model Registry. Default: the model's id.")] = "",
    model_format: Annotated[str, typer.Option(help="Model format of the serving runtime.")] = "vLLM",
    claim: Annotated[Path, typer.Option(help="Directory for downloads; it stands for the claim.")] = Path(
        "modelcar-claim"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON; the log goes to stderr.")] = False,
) -> None:
    """Run the pipeline *model-to-registry*, or *model-to-registry-streaming*, on this machine.

    It is the very pipeline that is compiled for the cluster, run by kfp's local runner: a preflight that refuses what
    cannot succeed, download and build, or stream, then mirror, register and a report. Running it again does only what
    is missing.

    Registry logins are taken from `podman login`'s and `docker login`'s files or `$REGISTRY_AUTH_FILE`, the Hugging
    Face token from `HF_TOKEN` or `hf auth login`, the Model Registry's from `MODEL_REGISTRY_TOKEN`.

    Example: `modelcar run --model ibm-granite/granite-3.3-2b-instruct --target quay.io/my-team/granite:3.3-2b`
    """
    from modelcar.pipelines.model_to_registry import model_to_registry
    from modelcar.pipelines.model_to_registry_streaming import model_to_registry_streaming

    # Before hours of downloading, not after.
    Reference.parse_target(target)
    if mirror:
        Reference.parse_target(mirror)
    arguments = {
        "model": model,
        "target": target,
        "mirror_target": mirror,
        "model_registry": model_registry,
        "revision": revision,
        "include": include or [],
        "exclude": exclude or [],
        "everything": everything,
        "base_image": base_image,
        "max_layer_size": max_layer_size,
        "registered_name": registered_name,
        "model_format": model_format,
    }
    pipeline = model_to_registry_streaming
    if not streaming:
        pipeline = model_to_registry
        arguments["builder"] = builder
    result = local_run.run(pipeline, arguments, claim, log=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(asdict(result)))
    else:
        _show(result)


@app.command("compile")
def compile_pipelines(
    output: Annotated[Path, typer.Option(help="Folder for the YAML files.")] = Path("compiled"),
    image: Annotated[
        str, typer.Option(help="Image that has modelcar and buildah in it, for disconnected clusters.")
    ] = "",
    backend: Annotated[
        compilation.Backend,
        typer.Option("--for", help="What it will run on; rhoai-3 is Kubeflow 2.15 and newer as well."),
    ] = compilation.Backend.CURRENT,
) -> None:
    """Compile the pipelines to YAML, to be uploaded in the OpenShift AI dashboard or with the kfp client.

    Without `--image` the steps carry their code and install pinned packages when they start, and need no image of ours.
    """
    for file in compilation.compile_all(output, image, backend):
        print(file)


def _show(result: local_run.Result) -> None:
    print(f"\nimage       {result.image}")
    if result.model:
        print(f"registered  {result.model}, version {result.version}")
    print(f"to serve    storageUri: oci://{result.image}")


def main() -> None:
    """Runs the command; a failure that has a name is one line and a non-zero exit."""
    try:
        app()
    except ModelcarError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
