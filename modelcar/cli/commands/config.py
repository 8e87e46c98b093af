"""`modelcar config`: settings that are written once."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from modelcar.cli.folders import settings_file
from modelcar.cli.help import Application
from modelcar.cli.options import JsonOption
from modelcar.cli.settings import SETTINGS, check_name, read_file, settings, write_file
from modelcar.cli.usage import SettingError

app = Application(invoke_without_command=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(SETTINGS)}.")]


@app.callback()
def config(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the settings, and where each comes from.

    What is set here need not be typed: with a registry and a Model Registry, `modelcar run MODEL` is enough. An option
    on the command line wins over a preset, a preset over a variable of the environment, and that over the file. A
    Model Registry is for runs, their plans and `doctor`: `verify` and `serve-yaml` ask one that is named to them.

    Examples:
    - `modelcar config`
    - `modelcar config set registry quay.io/my-team`
    """
    if context.invoked_subcommand:
        return
    found = list(settings())
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        print(f"{one.name:15} {one.value or '-'}" + (f"   from {one.source}" if one.source else ""))
        print(f"{'':15} {SETTINGS[one.name][1]}. Also ${SETTINGS[one.name][0]}")
    print(f"\nfile            {settings_file()}")


@app.command("set")
def set_command(name: NameArgument, value: Annotated[str, typer.Argument(help="Its value.")]) -> None:
    """Set a setting.

    Example: `modelcar config set model_registry https://registry-rest.apps.example.com`
    """
    check_name(name)
    if not value.strip():
        raise SettingError(f"{name} would be empty", f"To take it out: modelcar config unset {name}")
    file = write_file({**read_file(), name: value})
    print(f"{name} is {value}, in {file}")


@app.command()
def unset(name: NameArgument) -> None:
    """Take a setting out of the file."""
    check_name(name)
    written = read_file()
    written.pop(name, None)
    print(f"{name} is not set any more, in {write_file(written)}")
