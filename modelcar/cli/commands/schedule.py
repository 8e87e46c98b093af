"""`modelcar schedule`: runs that a cluster makes by itself."""

import json
import sys
from typing import Annotated, Any

import kfp_server_api  # type: ignore[import-untyped]
import typer
from rich.console import Console
from rich.table import Table

from modelcar.cli.commands.status import last_runs
from modelcar.cli.options import (
    BackendOption,
    CaOption,
    ExperimentOption,
    ImageOption,
    JsonOption,
    NamespaceOption,
    PresetOption,
    ServerOption,
    ServiceAccountOption,
    StreamingOption,
    wanted,
)
from modelcar.cli.parameters import takes_parameters
from modelcar.cli.preset import Wanted
from modelcar.cli.server.client import ANSWER_SECONDS, Client
from modelcar.cli.server.upload import Version, find_experiment, upload
from modelcar.cli.usage import UsageError
from modelcar.errors import ClusterError
from modelcar.pipelines.compilation import Backend

_FIELDS = 6
_MOST = 100
_RUNS_LOOKED_AT = 100
_ACTIONS = "What to do"


@takes_parameters()
def schedule(
    cron: Annotated[
        str,
        typer.Option(
            metavar="CRON",
            help='When to run, in UTC: six fields, seconds first, such as "0 0 3 * * *" for 03:00:00.',
            rich_help_panel=_ACTIONS,
        ),
    ] = "",
    listed: Annotated[
        bool, typer.Option("--list", help="List schedules.", rich_help_panel=_ACTIONS, show_default=False)
    ] = False,
    pause: Annotated[
        str, typer.Option(metavar="NAME", help="Let a schedule rest.", rich_help_panel=_ACTIONS, show_default=False)
    ] = "",
    resume: Annotated[
        str, typer.Option(metavar="NAME", help="Let it go on.", rich_help_panel=_ACTIONS, show_default=False)
    ] = "",
    delete: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Remove a schedule; its runs stay.", rich_help_panel=_ACTIONS, show_default=False
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the schedule. Default: the model's.", show_default=False)] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the schedule of this name.", show_default=False)
    ] = False,
    pin: Annotated[
        bool,
        typer.Option(
            "--pin", help="Stay with the pipeline's version of today, instead of its latest one.", show_default=False
        ),
    ] = False,
    preset: PresetOption = "",
    streaming: StreamingOption = None,
    as_json: JsonOption = False,
    server: ServerOption = "",
    namespace: NamespaceOption = "",
    ca: CaOption = None,
    experiment: ExperimentOption = "modelcar",
    service_account: ServiceAccountOption = "",
    image: ImageOption = "",
    backend: BackendOption = Backend.CURRENT,
    **parameters: Any,
) -> None:
    """Run a pipeline on a cluster again and again.

    A run on a model that did not change ends after its preflight and moves nothing; a new commit on the Hub becomes a
    new version. One run at a time, and times that were missed are not made up for. A schedule takes the pipeline's
    latest version on the server, so an upgrade needs no new schedule, only a `modelcar submit` that uploads it; with
    `--pin` it stays with that of today.

    Example: `modelcar schedule --cron "0 0 3 * * *" --preset mistral-24b-full --target quay.io/my-team/mistral:24b`
    """
    asked_for = [one for one in (cron and "--cron", listed and "--list", pause and "--pause") if one]
    asked_for += [one for one in (resume and "--resume", delete and "--delete") if one]
    if len(asked_for) != 1:
        given = f"{' and '.join(asked_for)} do not go together" if asked_for else "nothing was asked for"
        raise UsageError(given, 'Give one of --cron "0 0 3 * * *", --list, --pause, --resume and --delete')
    if cron:
        check_cron(cron)
        asked = wanted(preset, streaming, parameters)
        client = Client.connect(server, namespace, ca)
        called = name or asked.arguments["model"].rpartition("/")[2]
        old = _named(client, called)
        out = sys.stderr if as_json else sys.stdout
        version = upload(client, asked.pipeline, image, backend)
        body = _body(client, called, cron, version, asked, experiment, service_account, pin=pin)
        if old and _is_same(old[0], body):
            print(f"{called} is scheduled like this already", file=out)
            made = old[0]
        elif old and not replace:
            raise ClusterError(
                f"there is a schedule {called} already, of another kind: {_cron(old[0])}",
                "Add --replace to replace it, or --name NAME for another one",
            )
        else:
            made = _create(client, body, old)
            which = version.name if pin else "in its latest version"
            print(f"{called}: {cron} (UTC), {version.pipeline} {which}{', replaced' if old else ''}", file=out)
        if as_json:
            print(json.dumps(_as_json(made), default=str))
        return
    client = Client.connect(server, namespace, ca)
    if listed:
        _list(client, as_json=as_json)
    elif pause:
        for one in _existing(client, pause):
            with client.explained(f"pause {pause}"):
                client.schedules.recurring_run_service_disable_recurring_run(one.recurring_run_id)
        print(f"{pause} is paused. To let it go on: modelcar schedule --resume {pause}")
    elif resume:
        for one in _existing(client, resume):
            with client.explained(f"resume {resume}"):
                client.schedules.recurring_run_service_enable_recurring_run(one.recurring_run_id)
        print(f"{resume} goes on: {_cron(_existing(client, resume)[0])}")
    else:
        _delete(client, _existing(client, delete))
        print(f"{delete} is removed; its runs stay")


def check_cron(cron: str) -> None:
    """Refuses what Kubeflow would understand as something else.

    Raises:
        UsageError: It has not six fields.
    """
    fields = cron.split()
    if cron.startswith("@") or len(fields) == _FIELDS:
        return
    if len(fields) == _FIELDS - 1:
        raise UsageError(
            f"{cron!r} has five fields, of which Kubeflow would take the first for seconds",
            f'Put the seconds before them: --cron "0 {" ".join(fields)}"',
        )
    raise UsageError(
        f"{cron!r} has {len(fields)} fields and not six: second minute hour day month weekday",
        'For each night at three: --cron "0 0 3 * * *"',
    )


def schedules(client: Client) -> list[Any]:
    """The schedules there are, the newest first."""
    with client.explained("list schedules"):
        answer = client.schedules.recurring_run_service_list_recurring_runs(
            namespace=client.namespace, page_size=_MOST, sort_by="created_at desc", _request_timeout=ANSWER_SECONDS
        )
        return list(answer.recurring_runs or [])


def _named(client: Client, name: str) -> list[Any]:
    return [one for one in schedules(client) if one.display_name == name]


def _existing(client: Client, name: str) -> list[Any]:
    """All schedules of a name: Kubeflow allows several, and whoever pauses one means them all."""
    if found := _named(client, name):
        return found
    raise ClusterError(f"there is no schedule {name!r}", "To see them: modelcar schedule --list")


def _body(
    client: Client,
    name: str,
    cron: str,
    version: Version,
    asked: Wanted,
    experiment: str,
    service_account: str,
    *,
    pin: bool,
) -> Any:
    return kfp_server_api.V2beta1RecurringRun(
        display_name=name,
        experiment_id=find_experiment(client, experiment),
        pipeline_version_reference=version.reference if pin else version.latest,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=asked.arguments),
        trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=cron)),
        mode=kfp_server_api.RecurringRunMode.ENABLE,
        max_concurrency="1",
        no_catchup=True,
        service_account=service_account or None,
    )


def _create(client: Client, body: Any, old: list[Any]) -> Any:
    with client.explained(f"schedule {body.display_name}"):
        made = client.schedules.recurring_run_service_create_recurring_run(body, _request_timeout=ANSWER_SECONDS)
    # Only now: if the server refuses the new one, the old one is there still.
    _delete(client, old)
    return made


def _delete(client: Client, these: list[Any]) -> None:
    for one in these:
        with client.explained(f"remove the schedule {one.display_name}"):
            client.schedules.recurring_run_service_delete_recurring_run(
                one.recurring_run_id, _request_timeout=ANSWER_SECONDS
            )


def _is_same(old: Any, new: Any) -> bool:
    """Whether a schedule does already what is asked for, and is not paused."""
    return bool(
        _cron(old) == _cron(new)
        and _which_version(old) == _which_version(new)
        and (old.runtime_config.parameters or {}) == new.runtime_config.parameters
        and old.experiment_id == new.experiment_id
        and (not new.service_account or old.service_account == new.service_account)
        and _is_on(old)
    )


def _which_version(one: Any) -> tuple[str, str]:
    """Returns the ids of a schedule's pipeline and of its version; the latter empty for the latest."""
    reference = one.pipeline_version_reference
    return (reference.pipeline_id or "", reference.pipeline_version_id or "") if reference else ("", "")


def _list(client: Client, *, as_json: bool) -> None:
    found = schedules(client)
    runs = last_runs(client, _RUNS_LOOKED_AT)
    last = {run.recurring_run_id: run for run in reversed(runs) if run.recurring_run_id}
    if as_json:
        print(json.dumps([_as_json(one) for one in found], default=str))
        return
    if not found:
        print('There are no schedules yet. To make one: modelcar schedule --cron "0 0 3 * * *" --model …')
        return
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
        table.add_row(one.display_name, _cron(one), "on" if _is_on(one) else "paused", model, ended)
    Console(highlight=False).print(table)


def _as_json(one: Any) -> dict[str, Any]:
    return {
        "id": one.recurring_run_id,
        "name": one.display_name,
        "cron": _cron(one),
        "on": _is_on(one),
        "version": _which_version(one)[1] or "latest",
        "parameters": one.runtime_config.parameters if one.runtime_config else {},
        "created": one.created_at,
    }


def _cron(one: Any) -> str:
    trigger = one.trigger
    if trigger and trigger.cron_schedule:
        return str(trigger.cron_schedule.cron)
    if trigger and trigger.periodic_schedule:
        return f"every {trigger.periodic_schedule.interval_second} s"
    return ""


def _is_on(one: Any) -> bool:
    return bool(one.status == "ENABLED" or (one.status is None and one.mode == "ENABLE"))
