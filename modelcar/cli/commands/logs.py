"""`modelcar logs`: the logs of a run's steps."""

import json
from typing import Annotated

import typer

from modelcar.cli.options import JsonOption, ServerOptions, takes_options
from modelcar.cli.server.logs import as_dicts, show_logs
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
    seen = view(client, find_run(client, run))
    if as_json:
        print(json.dumps(as_dicts(client, seen, step)))
    else:
        show_logs(client, seen, step)
