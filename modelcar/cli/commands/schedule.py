"""`modelcar schedule`: runs that a cluster makes by itself."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from modelcar.cli.help import Application
from modelcar.cli.options import CompileOptions, JsonOption, RequestOptions, RunOptions, ServerOptions, takes_options
from modelcar.cli.parameters import takes_parameters
from modelcar.cli.preset import wanted_on_cluster
from modelcar.cli.server import schedules
from modelcar.cli.server.run_list import last_runs
from modelcar.cli.server.upload import upload

_RUNS_LOOKED_AT = 100

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.")]

app = Application(no_args_is_help=True)


@dataclass(frozen=True)
class ScheduleOptions:
    """Times at which a pipeline runs, and its version."""

    cron: Annotated[
        str,
        typer.Option(
            metavar="CRON",
            help='When to run, in UTC: six fields, seconds first, such as "0 0 3 * * *" for 03:00:00.',
        ),
    ]
    name: Annotated[str, typer.Option(help="Name of the schedule. Default: the model's.", show_default=False)] = ""
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the schedule of this name.", show_default=False)
    ] = False
    pin: Annotated[
        bool,
        typer.Option(
            "--pin", help="Stay with the pipeline's version of today, instead of its latest one.", show_default=False
        ),
    ] = False


@app.callback()
def schedule() -> None:
    """Run a pipeline on a cluster again and again.

    A run on a model that did not change ends after its preflight and moves nothing; a new commit on the Hub becomes a
    new version. Times that were missed are not made up for. Kubeflow Pipelines begins a run at each time, also while an
    earlier one is at work: that does no harm, but the later one is for nothing.
    """


@app.command()
@takes_parameters()
def create(
    request: RequestOptions,
    run: RunOptions,
    server: ServerOptions,
    compiled: CompileOptions,
    chosen: ScheduleOptions,
    as_json: JsonOption = False,
    **parameters: Any,
) -> None:
    """Create a schedule, or replace one.

    It takes the pipeline's latest version on the server, so an upgrade needs no new schedule, only a `modelcar submit`
    that uploads it; with `--pin` it stays with that of today.

    Example: `modelcar schedule create ibm-granite/granite-3.3-2b-instruct --cron "0 0 3 * * *"`
    """
    schedules.check_cron(chosen.cron)
    asked = wanted_on_cluster(request, parameters)
    delivery = compiled.delivery
    client = server.connect()
    called = chosen.name or asked.arguments["model"].rpartition("/")[2]
    version = upload(client, asked.pipeline, delivery, compiled.backend, compiled.queue)
    reference = version.reference if chosen.pin else version.latest
    new = schedules.scheduled_run(client, called, chosen.cron, reference, asked, run)
    made, is_new = schedules.create_schedule(client, new, replace=chosen.replace)
    out = sys.stderr if as_json else sys.stdout
    if is_new:
        which = version.name if chosen.pin else "in its latest version"
        print(f"{called}: {chosen.cron} (UTC), {version.pipeline} {which}", file=out)
    else:
        print(f"{called} is scheduled like this already", file=out)
    if as_json:
        print(json.dumps(_as_json(made), default=str))


@app.command("list")
@takes_options
def list_schedules(server: ServerOptions, as_json: JsonOption = False) -> None:
    """List the schedules."""
    client = server.connect()
    found = schedules.all_schedules(client)
    if as_json:
        print(json.dumps([_as_json(one) for one in found], default=str))
    elif not found:
        print('There are no schedules yet. To make one: modelcar schedule create --cron "0 0 3 * * *" --model …')
    else:
        runs = last_runs(client, _RUNS_LOOKED_AT)
        Console(highlight=False).print(_table(found, {one.recurring_run_id: one for one in reversed(runs)}))


@app.command()
@takes_options
def pause(name: _Name, server: ServerOptions) -> None:
    """Pause a schedule."""
    client = server.connect()
    for one in schedules.schedules_named(client, name):
        schedules.pause_schedule(client, one)
    print(f"{name} is paused. To resume it: modelcar schedule resume {name}")


@app.command()
@takes_options
def resume(name: _Name, server: ServerOptions) -> None:
    """Resume a schedule that was paused."""
    client = server.connect()
    found = schedules.schedules_named(client, name)
    for one in found:
        schedules.resume_schedule(client, one)
    print(f"{name} runs again: {schedules.cron_of(found[0])}")


@app.command()
@takes_options
def delete(name: _Name, server: ServerOptions) -> None:
    """Delete a schedule; its runs stay."""
    client = server.connect()
    for one in schedules.schedules_named(client, name):
        schedules.delete_schedule(client, one)
    print(f"{name} is deleted; its runs stay")


def _table(found: list[Any], last: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("schedule", overflow="fold")
    table.add_column("cron", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("last run")
    for one in found:
        run = last.get(one.recurring_run_id)
        ended = f"{str(run.state).lower()}, {run.created_at.astimezone():%Y-%m-%d %H:%M}" if run else "none yet"
        model = str((one.runtime_config.parameters or {}).get("model", ""))
        state = "on" if schedules.is_on(one) else "paused"
        table.add_row(one.display_name, schedules.cron_of(one), state, model, ended)
    return table


def _as_json(one: Any) -> dict[str, Any]:
    return {
        "id": one.recurring_run_id,
        "name": one.display_name,
        "cron": schedules.cron_of(one),
        "on": schedules.is_on(one),
        "version": schedules.version_of(one)[1] or "latest",
        "parameters": one.runtime_config.parameters if one.runtime_config else {},
        "created": one.created_at,
    }
