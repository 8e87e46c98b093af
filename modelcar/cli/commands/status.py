"""`modelcar status` and `modelcar cancel`: runs on a cluster."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from modelcar.cli.commands.submit import finish, followed
from modelcar.cli.display import as_json as run_as_json
from modelcar.cli.display import run_table, show_end
from modelcar.cli.options import JsonOption, ServerOptions, takes_options
from modelcar.cli.server.client import ANSWER_SECONDS, ENDED, Client
from modelcar.cli.server.logs import as_dicts, show_logs
from modelcar.cli.server.run_list import find_run, last_runs
from modelcar.cli.server.run_view import state_of, view
from modelcar.cli.words import in_options
from modelcar.errors import ClusterError
from modelcar.progress import duration

_LOOKED_AT = 100
"""Number of the runs among which one is found by its name, or by how its id begins."""


@takes_options
def status(
    server: ServerOptions,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Its id or name, or how the id begins.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=_LOOKED_AT, help="How many runs to list.")] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show progress until the run has ended.", show_default=False)
    ] = False,
    logs: Annotated[bool, typer.Option("--logs", help="Show the steps' logs as well.", show_default=False)] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the last runs, or one in detail.

    With `--follow` it is as if `modelcar submit` had just started the run: Ctrl-C ends the showing, not the run, and
    the exit code is 0 if it succeeded, 1 if not.
    """
    client = server.connect()
    if not run:
        _list(client, limit, as_json=as_json)
        return
    run_id = find_run(client, run)
    if follow:
        finish(followed(client, run_id, logs=logs, as_json=as_json), as_json=as_json)
        return
    seen = view(client, run_id)
    if as_json:
        print(json.dumps(json.loads(run_as_json(seen)) | ({"logs": as_dicts(client, seen)} if logs else {})))
        return
    Console(highlight=False).print(run_table(seen))
    show_end(seen, sys.stdout)
    if seen.error:
        print(in_options(str(ClusterError(seen.error, seen.remedy))), flush=True)
    if logs:
        show_logs(client, seen)


@takes_options
def cancel(
    server: ServerOptions,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id or name, or how the id begins.")],
) -> None:
    """End a run on a cluster.

    What was downloaded and sent is kept: the next run goes on from there.
    """
    client = server.connect()
    run_id = find_run(client, run)
    found = client.run(run_id)
    if found.state in ENDED:
        print(f"{found.display_name} has ended already: {_state(found)}")
        return
    with client.api_errors(f"end the run {run_id}"):
        client.runs.run_service_terminate_run(run_id, _request_timeout=ANSWER_SECONDS)
    print(f"{found.display_name} is being ended. To see it: modelcar status {run_id} --follow")


def _list(client: Client, limit: int, *, as_json: bool) -> None:
    runs = last_runs(client, limit)
    if as_json:
        print(json.dumps([_as_json(run) for run in runs], default=str))
        return
    if not runs:
        print("There are no runs yet. To make one: modelcar submit organisation/name --target …")
        return
    table = Table(box=None, pad_edge=False)
    for head, fold in (("run", True), ("state", False), ("started", False), ("took", False), ("id", False)):
        table.add_column(head, no_wrap=not fold, overflow="fold")
    for run in runs:
        started = run.created_at.astimezone()
        table.add_row(run.display_name, _state(run), f"{started:%Y-%m-%d %H:%M}", duration(_seconds(run)), run.run_id)
    Console(highlight=False).print(table)


def _as_json(run: Any) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "name": run.display_name,
        "state": state_of(run),
        "created": run.created_at,
        "finished": run.finished_at if run.state in ENDED else None,
        "schedule": run.recurring_run_id,
    }


def _state(run: Any) -> str:
    return state_of(run).lower()


def _seconds(run: Any) -> float:
    end = run.finished_at if run.state in ENDED else datetime.now(UTC)
    return max(float((end - run.created_at).total_seconds()), 0.0)
