"""`modelcar plan`: what a run would do and need, and whether it would succeed."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from modelcar import log_page, pod
from modelcar.cli import folders
from modelcar.cli.options import ImageOption, JsonOption, NamespaceOption, RequestOptions
from modelcar.cli.parameters import parameters, takes_parameters
from modelcar.cli.preset import Wanted, wanted
from modelcar.cli.server.login import LOG_IN, find_cluster
from modelcar.cli.usage import ShownError
from modelcar.cli.words import in_options
from modelcar.cluster.connection import Cluster
from modelcar.errors import ModelcarError
from modelcar.pipelines.compilation import STREAMING
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.page import page
from modelcar.steps.preflight.preflight import Preflight, preflight
from modelcar.steps.preflight.request import RunRequest

_SEEN_FROM_HERE = {"target": "target_secret", "mirror": "mirror_secret", "Model Registry": "model_registry_secret"}
"""Services that a run on a cluster reaches from another place than we do, and the Secrets with whose login."""


@takes_parameters()
def plan(
    request: RequestOptions,
    here: Annotated[
        bool,
        typer.Option("--here", help="Plan `modelcar run`, on this machine, and ask no cluster.", show_default=False),
    ] = False,
    as_json: JsonOption = False,
    namespace: NamespaceOption = "",
    image: ImageOption = "",
    **parameters: Any,
) -> None:
    """Show what a run would do and need, and whether it would succeed. Nothing is moved.

    It is the pipeline's own preflight: files, bytes, duplicates left out, layers, what the claim and the node need;
    logins and addresses, as they are from here. With a login to a cluster (`oc login`) it also says what is to be said
    of claim, nodes, quotas and permissions there; a registry that only the cluster reaches is then no reason against.
    A model alone is enough to begin with.

    Exit code: 0 if it would run, 1 if not, with each reason and what to do.

    Example: `modelcar plan ibm-granite/granite-3.3-2b-instruct --target quay.io/my-team/granite:3.3-2b`
    """
    asked = wanted(request, parameters)
    cluster = None if here else find_cluster(namespace, f"{LOG_IN}; or plan for this machine: --here")
    if here:
        pod.CLAIM = Path(os.environ.get(pod.LOCAL_CLAIM) or folders.downloads())
        os.environ[pod.LOCAL_CLAIM] = str(pod.CLAIM)
    run = _run(asked)
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        found = preflight(run, lambda: cluster) if cluster is None else _from_afar(run, asked, cluster, image)
    if not run.target:
        found = replace(found, findings=tuple(map(_target_to_come, found.findings)))
    if as_json:
        print(json.dumps(_as_json(found)))
    else:
        _show(found)
    try:
        found.check()
    except ModelcarError as error:
        raise ShownError(error.what, error.remedy) from None


def _run(asked: Wanted) -> RunRequest:
    defaults = {name: one.default for name, one in parameters().items() if asked.pipeline in one.pipelines}
    return RunRequest.of({**defaults, **asked.arguments, "streaming": asked.pipeline == STREAMING})


def _from_afar(run: RunRequest, asked: Wanted, cluster: Cluster, image: str) -> Preflight:
    """Plans a run on a cluster: of what is true of this machine, only that counts which is true there as well."""
    # Steps that install what they need have no buildah.
    builder = run.builder if run.builder != "auto" else "buildah" if image else "direct"
    found = preflight(replace(run, builder=builder), lambda: cluster)
    return replace(found, run=run, findings=tuple(_there(found.findings, run, asked, cluster)))


def _there(findings: tuple[Finding, ...], run: RunRequest, asked: Wanted, cluster: Cluster) -> Iterator[Finding]:
    for finding in findings:
        if finding.about == "build":
            yield Finding("build", "ok", "where it runs, and by what, is found out in the cluster by the first step")
        elif finding.about == "target" and not run.target:
            yield Finding("target", "ok", f"{pod.OPENSHIFT_REGISTRY}, in project {cluster.namespace}")
        elif finding.verdict == "refusal" and finding.about in _SEEN_FROM_HERE:
            secret = _SEEN_FROM_HERE[finding.about]
            name = asked.arguments.get(secret, parameters()[secret].default)
            what = f"from here: {finding.what.rstrip('.')}. The run uses the Secret {name}, in the cluster"
            yield replace(finding, verdict="warning", what=what)
        else:
            yield finding


def _target_to_come(finding: Finding) -> Finding:
    """Takes the want of a target for what it is to somebody who plans: something to be named before it is run."""
    if finding.about != "target" or finding.verdict != "refusal":
        return finding
    return Finding(
        "target", "warning", "none was named, so no registry was asked", "Add --target registry/repository:tag"
    )


def _show(found: Preflight) -> None:
    log_page.show(in_options(page(found)))
    # On the page their lines are broken.
    if commands := [finding.command for finding in found.refusals if finding.command]:
        print("To paste:", *commands, sep="\n", flush=True)


def _as_json(found: Preflight) -> dict[str, Any]:
    told: dict[str, Any] = {
        "model": found.run.model,
        "runs": not found.refusals,
        "unchanged": str(found.unchanged) if found.unchanged else None,
        "findings": [asdict(finding) for finding in found.findings],
    }
    if found.plan is None:
        return told
    plan = found.plan
    return told | {
        "commit": plan.snapshot.commit,
        "target": str(plan.target) if plan.target else None,
        "recipe": plan.recipe,
        "bytes": plan.choice.size,
        "files": [{"path": file.path, "bytes": file.size} for file in plan.choice.taken],
        "left_out": [
            {"path": one.file.path, "bytes": one.file.size, "why": one.reason} for one in plan.choice.left_out
        ],
        "variants": [{"name": one.name, "bytes": one.size, "taken": one.is_taken} for one in plan.choice.options],
        "serving": plan.snapshot.serving.model_dump() if plan.snapshot.serving else None,
        "licence": plan.snapshot.licence,
        "quantization": plan.snapshot.quantization,
        "layers": [{"title": layer.title, "bytes": layer.size} for layer in plan.layers],
        "image_bytes": plan.image_bytes,
        "claim_bytes": None if found.run.streaming else plan.claim_bytes,
        "node": None if found.run.streaming else dict(found.run.need.requests),
    }
