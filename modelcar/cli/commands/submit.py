"""`modelcar submit`: a run on a cluster."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import kfp_server_api  # type: ignore[import-untyped]
import typer

from modelcar.cli.display import as_json as run_as_json
from modelcar.cli.display import display, show_end
from modelcar.cli.options import CompileOptions, JsonOption, RequestOptions, RunOptions, ServerOptions
from modelcar.cli.parameters import takes_parameters
from modelcar.cli.preset import Wanted, wanted_on_cluster
from modelcar.cli.server.client import ANSWER_SECONDS, Client
from modelcar.cli.server.follow import follow
from modelcar.cli.server.run_view import RunView
from modelcar.cli.server.upload import Version, find_experiment, upload
from modelcar.cli.usage import ShownError
from modelcar.records.termination_message import EndedError

INTERRUPTED = 130


@takes_parameters()
def submit(
    request: RequestOptions,
    run: RunOptions,
    server: ServerOptions,
    compiled: CompileOptions,
    name: Annotated[str, typer.Option(help="Name of the run. Default: the model's, and the time.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", " /--detach", help="Show progress until the run has ended.")
    ] = True,
    logs: Annotated[bool, typer.Option("--logs", help="Show the steps' logs as well.", show_default=False)] = False,
    as_json: JsonOption = False,
    **parameters: Any,
) -> None:
    """Run a pipeline on OpenShift AI or Kubeflow, and show its progress.

    The pipeline is uploaded under a version that its content names, so that the same one is there but once. Then the
    run is created and followed: steps, nodes, bytes and rate, as far as you may read its pods. **Ctrl-C ends the
    showing, not the run**: `modelcar status RUN --follow` takes it up again, `modelcar cancel RUN` ends the run.
    Exit code: 0 if it succeeded, 1 if not, with the reason and what to do.

    You are who `oc login` made you, or a pod's service account; `$KFP_EXISTING_TOKEN` goes before both. With Kubeflow
    alone, forward a port (`kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80`) and name it with `--server`.

    Example: `modelcar submit --preset mistral-24b-full --target quay.io/my-team/mistral:24b`
    """
    asked = wanted_on_cluster(request, parameters)
    delivery = compiled.delivery
    client = server.connect()
    out = sys.stderr if as_json else sys.stdout
    version = upload(client, asked.pipeline, delivery, compiled.backend, compiled.queue)
    print(f"pipeline {version.pipeline}, version {version.name}{', uploaded' if version.is_new else ''}", file=out)
    made = _create(client, version, asked, name, run)
    print(f"run {made.display_name}  {made.run_id}", file=out, flush=True)
    if not wait:
        print(f"to see it: modelcar status {made.run_id}", file=out)
        if as_json:
            print(json.dumps({"id": made.run_id, "name": made.display_name, "version": version.name}))
        return
    finish(followed(client, made.run_id, logs=logs, as_json=as_json), as_json=as_json)


def followed(client: Client, run_id: str, *, logs: bool, as_json: bool) -> RunView:
    """Follows a run to its end, or until Ctrl-C, and then says how to go on."""
    with detaching(run_id), display(to_stderr=as_json) as shown:
        return follow(client, run_id, shown, with_logs=logs)


def finish(run: RunView, *, as_json: bool) -> None:
    """Says how a run ended.

    Raises:
        ModelcarError: It failed; in the report's words.
        Exit: It was cancelled.
    """
    show_end(run, sys.stderr if as_json else sys.stdout)
    if as_json:
        print(run_as_json(run))
    if run.error:
        raise ShownError(run.error, run.remedy)
    if not run.is_well:
        raise typer.Exit(1)


def _create(client: Client, version: Version, asked: Wanted, name: str, run: RunOptions) -> Any:
    body = kfp_server_api.V2beta1Run(
        display_name=name or _name(asked.arguments["model"]),
        experiment_id=find_experiment(client, run.experiment),
        pipeline_version_reference=version.reference,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=asked.arguments),
        service_account=run.service_account or None,
    )
    with client.api_errors(f"create the run {body.display_name}"):
        return client.runs.run_service_create_run(body, _request_timeout=ANSWER_SECONDS)


def _name(model: str) -> str:
    return f"{model.rpartition('/')[2]}-{datetime.now():%Y%m%d-%H%M%S}"


@contextmanager
def detaching(run_id: str) -> Iterator[None]:
    """Says of a signal that ends the showing of a run that the run goes on."""
    try:
        yield
    except (EndedError, KeyboardInterrupt) as end:
        print(
            f"\nThe run goes on. To see it: modelcar status {run_id} --follow\nTo end it: modelcar cancel {run_id}",
            file=sys.stderr,
        )
        raise SystemExit(end.code if isinstance(end, EndedError) else INTERRUPTED) from None
