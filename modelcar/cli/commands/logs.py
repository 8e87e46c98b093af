"""`modelcar logs`: the logs of a run's steps."""

import json
from typing import Annotated

import typer

from modelcar.cli.options import JsonOption, ServerOptions, takes_options
from modelcar.cli.server.client import Client
from modelcar.cli.server.logs import logs_of
from modelcar.cli.server.run_list import find_run
from modelcar.cli.server.run_view import view


@takes_options
def logs(
    server: ServerOptions,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id or name, or how the id begins.")],
    step: Annotated[str, typer.Option(metavar="STEP", help="The only step to show.", show_default=False)] = "",
    as_json: JsonOption = False,
) -> None:
    """Show the logs of a run's steps, also of a run that has ended.

    They are read from the run's pods or, once those are gone, from what the pipeline server kept.

    Examples:
    - `modelcar logs granite-20261129-031500`
    - `modelcar logs granite-20261129-031500 --step Download`
    """
    client = server.connect()
    show_logs(client, find_run(client, run), step, as_json=as_json)


def show_logs(client: Client, run_id: str, step: str = "", *, as_json: bool = False) -> None:
    """Prints the logs of a run's steps, each line with its step before it.

    Raises:
        ClusterError: There is none to be had.
    """
    found = logs_of(client, view(client, run_id), step)
    if as_json:
        print(json.dumps([{"step": one.name, "title": one.title, "log": text} for one, text in found]))
        return
    for one, text in found:
        for line in text.splitlines():
            print(f"[{one.title}] {line}")
