"""The `modelcar` command: what a person types."""

import ast
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

import modelcar
from modelcar.cli import usage
from modelcar.errors import ModelcarError

COMMANDS = {
    "plan": "plan",
    "run": "run",
    "submit": "submit",
    "status": "status",
    "cancel": "status",
    "schedule": "schedule",
    "verify": "verify",
    "doctor": "doctor",
    "serve-yaml": "serve_yaml",
    "serve": "serve",
    "warm": "warm",
    "compile": "compile",
    "presets": "presets",
    "files": "files",
}
"""The commands in the order of the help, and the modules in modelcar/cli/commands that have them.

A module has a function of the command's name (with `_command` after it where that name is taken). For a command with
commands of its own that function is the callback of a typer application, which is called `app`.
"""

_RICH: dict[str, Any] = {"rich_markup_mode": "markdown"}


class LazyCommand(TyperCommand):
    """A command whose module is imported when it is run, and not to show the others' help.

    Args:
        name: Its name.
        module: The name of its module in modelcar/cli/commands.
    """

    def __init__(self, name: str, module: str) -> None:
        file = Path(__file__).parent / "commands" / f"{module}.py"
        functions = (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))
        documented = {node.name: ast.get_docstring(node) for node in functions}
        function = name.replace("-", "_")
        self._function = function if function in documented else f"{function}_command"
        super().__init__(name, help=documented[self._function], **_RICH)
        self._module = module

    def load(self) -> Any:
        """Returns the command itself, with its options and its own commands."""
        module = import_module(f"modelcar.cli.commands.{self._module}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, **_RICH)
            app.command(self.name)(getattr(module, self._function))
        return get_command(app)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Loads the command and has it read the command line."""
        return self.load().make_context(*arguments, **options)


class LazyGroup(TyperGroup):
    """The command with all its commands, none of which is imported yet."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{**options, "commands": {name: LazyCommand(name, where) for name, where in COMMANDS.items()}}
        )


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Large models from Hugging Face to mirrored, registered, servable OCI images.",
    **_RICH,
)


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
