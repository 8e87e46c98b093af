"""The `modelcar` command: what a person types."""

import ast
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

import modelcar
from modelcar.cli.help import Application, Command, Group
from modelcar.cli.usage import EXIT_CODE, UNANSWERED, FileError, ShownError, UnansweredError, UsageError
from modelcar.errors import ModelcarError, UnsafeNameError

COMMANDS = {
    "plan": "plan",
    "run": "run",
    "submit": "submit",
    "status": "status",
    "logs": "logs",
    "cancel": "status",
    "schedule": "schedule",
    "inspect": "inspect",
    "diff": "inspect",
    "verify": "verify",
    "doctor": "doctor",
    "serve-yaml": "serve_yaml",
    "serve": "serve",
    "warm": "warm",
    "compile": "compile",
    "downloads": "downloads",
    "config": "config",
    "presets": "presets",
    "files": "files",
}
"""The commands in the order of the help, and the modules in modelcar/cli/commands that have them.

A module has a function of the command's name (with `_command` after it where that name is taken). For a command with
commands of its own that function is the callback of a typer application, which is called `app`.
"""

_CLICK_ERROR: Any = next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException")
"""Wrong usage as typer finds it; which package has it has changed between its versions."""


class LazyCommand(Command):
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
        super().__init__(name, help=documented[self._function], rich_markup_mode=None)
        self._module = module

    def load(self) -> Any:
        """Returns the command itself, with its options and its own commands."""
        module = import_module(f"modelcar.cli.commands.{self._module}")
        app = getattr(module, "app", None)
        if app is None:
            app = Application()
            app.command(self.name)(getattr(module, self._function))
        return get_command(app)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Loads the command and has it read the command line."""
        return self.load().make_context(*arguments, **options)


class LazyGroup(Group):
    """The command with all its commands, none of which is imported yet."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{**options, "commands": {name: LazyCommand(name, where) for name, where in COMMANDS.items()}}
        )


app = Application(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=True,
    help="Large models from Hugging Face to mirrored, registered, servable OCI images.\n\n"
    "To begin with: `modelcar plan MODEL`. Each command tells more with `--help`.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(modelcar.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command; a failure that has a name is one line and a non-zero exit, also for what reads JSON."""
    try:
        raise SystemExit(app(prog_name="modelcar", standalone_mode=False) or 0)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            # typer ends with 1 where nobody reads on; whoever runs us knows of what else stdout refuses, too.
            raise end.__context__ from None
        raise
    except ModelcarError as error:
        told, code = error, _exit_code(error)
    except _CLICK_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            # It has codes for a terminal, which typer leaves out for a file.
            typer.echo(error.ctx.get_help())
            raise SystemExit(EXIT_CODE) from None
        told, code = _usage_error(error), EXIT_CODE
    what, remedy = (told.what, told.remedy) if isinstance(told, FileError) else _in_options(told)
    print(f"error: {ModelcarError(what, remedy)}", file=sys.stderr)
    if "--json" in sys.argv and not isinstance(told, ShownError):
        print(json.dumps({"error": what, "remedy": remedy}))
    raise SystemExit(code)


def _exit_code(error: ModelcarError) -> int:
    if isinstance(error, (UsageError, UnsafeNameError)):
        return EXIT_CODE
    return UNANSWERED if isinstance(error, UnansweredError) else 1


def _in_options(error: ModelcarError) -> tuple[str, str]:
    # Only here: it reads the pipelines' parameters.
    from modelcar.cli.words import in_options

    return in_options(error.what), in_options(error.remedy)


def _usage_error(error: Any) -> ModelcarError:
    """Returns wrong usage in one line: what, and how to see what is right."""
    said = " ".join(error.format_message().split()).rstrip(".").replace("?.", "?")
    if error.ctx is None:
        return UsageError(said)
    path = error.ctx.command_path
    name = getattr(error, "option_name", "")
    near = getattr(error, "possibilities", None) or ()
    if name and (elsewhere := _elsewhere(name)) and not near:
        return UsageError(f"{path} has no option {name}", elsewhere)
    if name and "(" not in said:
        said = f"{path} has no option {name}"
    return UsageError(re.sub(r"^[A-Z](?=[a-z])", lambda found: found[0].lower(), said), f"See {path} --help")


def _elsewhere(option: str) -> str:
    """Returns where an option means something that means nothing on this machine."""
    from modelcar.cli.parameters import parameters

    mine = [one for one in parameters().values() if one.option == option and one.is_for_cluster]
    return "It is for runs on a cluster: modelcar submit, modelcar schedule create" if mine else ""
