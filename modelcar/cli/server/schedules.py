"""The schedules of a pipeline server: Kubeflow's recurring runs."""

from typing import Any

import kfp_server_api  # type: ignore[import-untyped]

from modelcar.cli.options import RunOptions
from modelcar.cli.preset import Wanted
from modelcar.cli.server.client import ANSWER_SECONDS, Client
from modelcar.cli.server.upload import find_experiment
from modelcar.cli.usage import UsageError
from modelcar.errors import ClusterError

_CRON_FIELDS = 6
_MAX_SCHEDULES = 100


def check_cron(cron: str) -> None:
    """Refuses what Kubeflow would understand as something else.

    Raises:
        UsageError: It has not six fields.
    """
    fields = cron.split()
    if cron.startswith("@") or len(fields) == _CRON_FIELDS:
        return
    if len(fields) == _CRON_FIELDS - 1:
        raise UsageError(
            f"{cron!r} has five fields, of which Kubeflow would take the first for seconds",
            f'Put the seconds before them: --cron "0 {" ".join(fields)}"',
        )
    raise UsageError(
        f"{cron!r} has {len(fields)} fields and not six: second minute hour day month weekday",
        'For each night at three: --cron "0 0 3 * * *"',
    )


def all_schedules(client: Client) -> list[Any]:
    """Returns the schedules there are, the newest first."""
    with client.api_errors("list schedules"):
        answer = client.schedules.recurring_run_service_list_recurring_runs(
            namespace=client.namespace,
            page_size=_MAX_SCHEDULES,
            sort_by="created_at desc",
            _request_timeout=ANSWER_SECONDS,
        )
        return list(answer.recurring_runs or [])


def schedules_named(client: Client, name: str) -> list[Any]:
    """Returns all schedules of a name: Kubeflow allows several, and whoever pauses one means them all.

    Raises:
        ClusterError: There is none.
    """
    if found := [one for one in all_schedules(client) if one.display_name == name]:
        return found
    raise ClusterError(f"there is no schedule {name!r}", "To see them: modelcar schedule list")


def scheduled_run(client: Client, name: str, cron: str, version: Any, asked: Wanted, run: RunOptions) -> Any:
    """Returns a schedule as Kubeflow takes it: one run at a time, and times that were missed are not made up for.

    Args:
        client: The server.
        name: The schedule's name.
        cron: When it runs.
        version: The version of the pipeline, as the server refers to it.
        asked: The pipeline and its arguments.
        run: How the server keeps and runs its runs.
    """
    return kfp_server_api.V2beta1RecurringRun(
        display_name=name,
        experiment_id=find_experiment(client, run.experiment),
        pipeline_version_reference=version,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=asked.arguments),
        trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=cron)),
        mode=kfp_server_api.RecurringRunMode.ENABLE,
        max_concurrency="1",
        no_catchup=True,
        service_account=run.service_account or None,
    )


def create_schedule(client: Client, wanted: Any, *, replace: bool) -> tuple[Any, bool]:
    """Creates a schedule, unless the same one is there.

    Args:
        client: The server.
        wanted: The schedule (`scheduled_run`).
        replace: Whether another one of its name is replaced.

    Returns:
        The schedule, and whether it was created now.

    Raises:
        ClusterError: There is another one of its name, which is not to be replaced, or the server refused.
    """
    old = [one for one in all_schedules(client) if one.display_name == wanted.display_name]
    if old and _is_same(old[0], wanted):
        return old[0], False
    if old and not replace:
        raise ClusterError(
            f"there is a schedule {wanted.display_name} already, of another kind: {cron_of(old[0])}",
            "Add --replace to replace it, or --name NAME for another one",
        )
    with client.api_errors(f"schedule {wanted.display_name}"):
        created = client.schedules.recurring_run_service_create_recurring_run(wanted, _request_timeout=ANSWER_SECONDS)
    # Only now: if the server refuses the new one, the old one is there still.
    for one in old:
        delete_schedule(client, one)
    return created, True


def pause_schedule(client: Client, schedule: Any) -> None:
    """Pauses a schedule."""
    with client.api_errors(f"pause {schedule.display_name}"):
        client.schedules.recurring_run_service_disable_recurring_run(
            schedule.recurring_run_id, _request_timeout=ANSWER_SECONDS
        )


def resume_schedule(client: Client, schedule: Any) -> None:
    """Resumes a schedule that was paused."""
    with client.api_errors(f"resume {schedule.display_name}"):
        client.schedules.recurring_run_service_enable_recurring_run(
            schedule.recurring_run_id, _request_timeout=ANSWER_SECONDS
        )


def delete_schedule(client: Client, schedule: Any) -> None:
    """Deletes a schedule; its runs stay."""
    with client.api_errors(f"delete the schedule {schedule.display_name}"):
        client.schedules.recurring_run_service_delete_recurring_run(
            schedule.recurring_run_id, _request_timeout=ANSWER_SECONDS
        )


def cron_of(schedule: Any) -> str:
    """Returns when a schedule runs, in words for one that was made with an interval; empty if it does not say."""
    trigger = schedule.trigger
    if trigger and trigger.cron_schedule:
        return str(trigger.cron_schedule.cron)
    if trigger and trigger.periodic_schedule:
        return f"every {trigger.periodic_schedule.interval_second} s"
    return ""


def is_on(schedule: Any) -> bool:
    """Tells whether a schedule is not paused."""
    return bool(schedule.status == "ENABLED" or (schedule.status is None and schedule.mode == "ENABLE"))


def version_of(schedule: Any) -> tuple[str, str]:
    """Returns the ids of a schedule's pipeline and of its version; the latter empty for the latest."""
    reference = schedule.pipeline_version_reference
    return (reference.pipeline_id or "", reference.pipeline_version_id or "") if reference else ("", "")


def _is_same(old: Any, new: Any) -> bool:
    """Tells whether a schedule does already what is asked for, and is not paused."""
    return bool(
        cron_of(old) == cron_of(new)
        and version_of(old) == version_of(new)
        and (old.runtime_config.parameters or {}) == new.runtime_config.parameters
        and old.experiment_id == new.experiment_id
        and (not new.service_account or old.service_account == new.service_account)
        and is_on(old)
    )
