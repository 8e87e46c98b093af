"""`modelcar verify`: the hash chain of an image, checked again."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelcar.steps.verify.result import State, Verification

_MARKS = {
    State.PROVED: Text("✓", "green"),
    State.BROKEN: Text("✗", "bold red"),
    State.NOT_CHECKED: Text("·", "dim"),
}


def verify(
    image: Annotated[str, typer.Argument(help="Image to check, registry/repository:tag or @sha256:…")],
    key: Annotated[Path | None, typer.Option(help="Public key (cosign.pub) that must have signed it.")] = None,
    model_registry: Annotated[str, typer.Option(help="Address of the Model Registry whose entry must name it.")] = "",
    registered_name: Annotated[str, typer.Option(help="Name in the Model Registry. Default: the model's id.")] = "",
    offline: Annotated[
        bool, typer.Option("--offline", help="Hold the files against the provenance, and ask no Hub.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Read no layer; take the registry's word for them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")] = False,
) -> None:
    """Check the whole chain of an image again, from the Model Registry's entry to the files on the Hub.

    Reads every byte of every layer, unless `--quick`. Prints each link; exits with 1 if one is broken.

    Example: `modelcar verify quay.io/my-team/granite:3.3-2b --key cosign.pub`
    """
    from modelcar.attestation.keys import PublicKey
    from modelcar.steps.verify.verify import verify as check

    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        done = check(
            image,
            key=PublicKey.read(key) if key else None,
            model_registry=model_registry,
            registered_name=registered_name,
            offline=offline,
            quick=quick,
        )
    if as_json:
        links = [{"name": link.name, "state": link.state.value, "detail": link.detail} for link in done.links]
        print(json.dumps({"image": str(done.image), "whole": done.is_whole, "links": links}))
    else:
        _show(done)
    if not done.is_whole:
        raise typer.Exit(1)


def _show(done: Verification) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for link in done.links:
        table.add_row(_MARKS[link.state], link.name, Text(link.detail))
    console = Console(soft_wrap=False, highlight=False)
    if not console.is_terminal:
        # A log is searched for digests, which must not be broken in two.
        console.width = 10_000
    console.print(Text(str(done.image)))
    console.print(table)
    broken = sum(link.state is State.BROKEN for link in done.links)
    console.print(Text(f"{broken} broken" if broken else "whole"))
