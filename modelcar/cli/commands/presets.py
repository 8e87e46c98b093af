"""`modelcar presets`: the named sets of parameters there are."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from modelcar.cli.help import Application
from modelcar.cli.options import JsonOption
from modelcar.cli.preset import FOLDER, SHIPPED, VARIABLE, Preset, find, presets
from modelcar.cli.usage import UsageError

app = Application(invoke_without_command=True)


@app.callback()
def presets_command(context: typer.Context, as_json: JsonOption = False) -> None:
    """List named sets of parameters: YAML files that a team keeps, for `--preset`.

    They are looked for in `presets/` of the working directory, in the folders of `$MODELCAR_PRESETS`, and among those
    that come with modelcar. A preset has a line for each parameter, such as `model: organisation/name`, named as in
    the pipeline; `streaming: true` chooses the other pipeline. An option on the command line wins over it.
    """
    if context.invoked_subcommand:
        return
    found = [_read(file.stem) for file in presets()]
    if as_json:
        print(json.dumps([_as_json(preset) for preset in found if isinstance(preset, Preset)]))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("preset", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("what for")
    table.add_column("from", overflow="fold")
    for preset in found:
        if isinstance(preset, Preset):
            place = "modelcar" if preset.file.parent == SHIPPED else str(preset.file.parent)
            table.add_row(preset.name, str(preset.parameters.get("model", "")), preset.description, place)
        else:
            print(f"error: {preset}", file=sys.stderr)
    Console(highlight=False).print(table)
    print(f"\nYours go into {FOLDER}/NAME.yaml, or a folder that ${VARIABLE} names.")


@app.command()
def show(name: Annotated[str, typer.Argument(help="The preset.")], as_json: JsonOption = False) -> None:
    """Show a preset: its file, as it is."""
    preset = find(name)
    if as_json:
        print(json.dumps(_as_json(preset)))
        return
    # With its comments, which say why.
    print(f"# {preset.file}\n{preset.file.read_text().rstrip()}")


def _read(name: str) -> Preset | UsageError:
    """A preset, or what is wrong with it, which must not keep the others from being listed."""
    try:
        return find(name)
    except UsageError as error:
        return error


def _as_json(preset: Preset) -> dict[str, object]:
    return {
        "name": preset.name,
        "file": str(preset.file),
        "description": preset.description,
        "streaming": preset.streaming,
        "parameters": preset.parameters,
    }
