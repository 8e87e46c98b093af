"""`modelcar logs`: the logs of a run's steps."""

from typing import Annotated

import typer

from modelcar.cli.options import JsonOption, ServerOptions, takes_options
from modelcar.cli.server.logs import show_logs
from modelcar.cli.server.run_list import find_run


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
