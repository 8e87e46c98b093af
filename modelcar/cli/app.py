"""The `modelcar` command: what a person types."""

import sys
from typing import Annotated

import typer

import modelcar
from modelcar.cli import usage
from modelcar.cli.commands import presets
from modelcar.cli.commands.compile import compile_pipelines
from modelcar.cli.commands.plan import plan
from modelcar.cli.commands.run import run
from modelcar.cli.commands.schedule import schedule
from modelcar.cli.commands.serve_yaml import serve_yaml
from modelcar.cli.commands.status import cancel, status
from modelcar.cli.commands.submit import submit
from modelcar.cli.commands.verify import verify
from modelcar.errors import ModelcarError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Large models from Hugging Face to mirrored, registered, servable OCI images.",
)

for command in (plan, run, submit, status, cancel, schedule, verify):
    app.command()(command)
app.command("compile")(compile_pipelines)
app.command("serve-yaml")(serve_yaml)
app.add_typer(presets.app, name="presets")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(modelcar.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command; a failure that has a name is one line and a non-zero exit."""
    try:
        app()
    except ModelcarError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(usage.EXIT_CODE if isinstance(error, usage.UsageError) else 1) from None
