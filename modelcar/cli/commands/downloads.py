"""`modelcar downloads`: the downloads of this machine, or of a claim."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from modelcar.claim.listing import list_downloads, remove_downloads
from modelcar.cli import folders
from modelcar.cli.help import Application
from modelcar.cli.options import JsonOption, NamespaceOption
from modelcar.errors import ClaimError
from modelcar.user_input import path_of

app = Application(invoke_without_command=True)

ClaimOption = Annotated[
    str,
    typer.Option(
        metavar="NAME|./DIR",
        help="A PersistentVolumeClaim of the project, or a folder of this machine, which is written with a /. "
        "Default: downloads, in the user's cache.",
        show_default=False,
    ),
]
ImageOption = Annotated[
    str,
    typer.Option(help="Image with Python for the pod that looks at a claim. Default: the steps'.", show_default=False),
]


@app.callback()
def downloads(
    context: typer.Context,
    claim: ClaimOption = "",
    namespace: NamespaceOption = "",
    image: ImageOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the downloads that runs left: here, or on a claim.

    A run that is made again fetches nothing that is there. To look at a claim a pod is started in the project, which
    mounts it, and is removed again.

    Examples:
    - `modelcar downloads`
    - `modelcar downloads --claim modelcar -n my-project`
    """
    if context.invoked_subcommand:
        return
    _show(_ask(claim, namespace, image, []), claim, as_json=as_json)


@app.command()
def remove(
    model: Annotated[str, typer.Argument(metavar="MODEL[@COMMIT]", help="Model, and the beginning of its commit.")],
    claim: ClaimOption = "",
    namespace: NamespaceOption = "",
    image: ImageOption = "",
    as_json: JsonOption = False,
) -> None:
    """Remove a model's downloads, or that of one commit.

    One that is being downloaded is left.

    Example: `modelcar downloads remove ibm-granite/granite-3.3-2b-instruct`
    """
    name, _, commit = model.partition("@")
    found = _ask(claim, namespace, image, [name, commit])
    if not found:
        raise ClaimError(f"there is no download of {model}", f"To see them all: modelcar downloads{_on(claim)}")
    if as_json:
        print(json.dumps(found))
    for one in found if not as_json else ():
        done = "is being downloaded, and stays" if one["busy"] else f"is removed, {decimal(one['bytes'])}"
        print(f"{one['model']} {one['commit']} {done}")
    if any(one["busy"] for one in found):
        raise typer.Exit(1)


def _ask(claim: str, namespace: str, image: str, words: list[str]) -> list[dict[str, Any]]:
    if not claim or "/" in claim:
        root = str(path_of(claim, ClaimError) if claim else folders.downloads())
        try:
            return remove_downloads(root, *words) if words else list_downloads(root)
        except OSError as error:
            raise ClaimError(f"cannot look at {root}: {error.strerror}", "Name another folder: --claim ./DIR") from None
    # Only here: a folder of this machine needs no cluster.
    from modelcar.cli.claim_pod import ask_claim
    from modelcar.cli.server.login import LOG_IN, need_cluster

    remedy = f"{LOG_IN}; a folder of this machine is written with a /: --claim ./{claim}"
    cluster = need_cluster(namespace, remedy, purpose=f"that has the claim {claim}")
    return ask_claim(cluster, claim, words, image)


def _show(found: list[dict[str, Any]], claim: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    where = claim or str(folders.downloads())
    if not found:
        print(f"There are no downloads in {where}.")
        return
    table = Table(box=None, pad_edge=False)
    for head in ("model", "commit", "size", "", "changed"):
        table.add_column(head, overflow="fold", justify="right" if head == "size" else "left")
    for one in found:
        state = "" if one["complete"] else "not complete"
        changed = f"{datetime.fromtimestamp(one['changed']):%Y-%m-%d %H:%M}"
        table.add_row(one["model"], one["commit"][:12], decimal(one["bytes"]), state, changed)
    Console(highlight=False).print(table)
    print(f"\n{decimal(sum(one['bytes'] for one in found))} in {where}. To remove one: modelcar downloads remove MODEL")


def _on(claim: str) -> str:
    return f" --claim {claim}" if claim else ""
