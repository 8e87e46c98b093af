"""`modelcar run`: a pipeline on this machine."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from modelcar.cli import folders, local_run
from modelcar.cli.folders import report_of
from modelcar.cli.options import JsonOption, RequestOptions
from modelcar.cli.parameters import takes_parameters
from modelcar.cli.preset import wanted
from modelcar.cli.usage import UsageError
from modelcar.pipelines.compilation import pipeline_named

ClaimOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for downloads; it stands for the claim. Default: downloads, in the user's cache.",
        show_default=False,
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder to keep plan, report and YAML in. Default: one for each model, in the user's cache.",
        show_default=False,
    ),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show all that the steps and kfp say.")]


@takes_parameters("claim", here=True)
def run(
    request: RequestOptions,
    claim: ClaimOption = None,
    report: ReportOption = None,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    **parameters: Any,
) -> None:
    """Run the pipeline *model-to-registry*, or *model-to-registry-streaming*, on this machine.

    It is the very pipeline that is compiled for the cluster, run by kfp's local runner: a preflight that refuses what
    cannot succeed, download and build, or stream, then mirror, register and a report. Running it again does only what
    is missing.

    Registry logins are taken from `podman login`'s and `docker login`'s files or `$REGISTRY_AUTH_FILE`, the Hugging
    Face token from `HF_TOKEN` or `hf auth login`, the Model Registry's from `MODEL_REGISTRY_TOKEN`.

    Example: `modelcar run ibm-granite/granite-3.3-2b-instruct --target quay.io/my-team/granite:3.3-2b`
    """
    asked = wanted(request, parameters)
    if not asked.arguments.get("target"):
        raise UsageError("no target image was named", "Name one: --target registry/repository:tag")

    kept = report or report_of(asked.arguments["model"])
    if not (claim and report) and (place := folders.cache()) != (belongs := folders.wanted_cache()):
        print(f"{belongs} cannot be written, so what would be kept there goes to {place}", file=sys.stderr)
    log = sys.stderr if as_json else sys.stdout
    result = local_run.run(
        pipeline_named(asked.pipeline),
        asked.arguments,
        local_run.Setting(claim or folders.downloads(), kept, log, verbose),
    )
    if as_json:
        print(json.dumps({**asdict(result), "report": str(kept)}))
    else:
        _show(result, kept)


def _show(result: local_run.Result, report: Path) -> None:
    print(f"\nimage       {result.image}")
    if result.model:
        print(f"registered  {result.model}, version {result.version}")
    print(f"to serve    storageUri: oci://{result.image}")
    print(f"next        modelcar serve-yaml {result.image} | oc apply -f -")
    if os.path.isdir(report):
        print(f"report      {report}")
