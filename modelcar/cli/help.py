"""Help of the commands, readable at any width: beside an option stands its meaning, or below it where it is narrow."""

import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from modelcar.cli.encoding import legible

MAX_COLUMNS = 100
NARROW = 60
"""Columns below which there is no room for two beside each other."""

_NAMES = 28
"""Columns of the options' names, where there is room."""

ARGUMENTS, REQUIRED, FIRST, OPTIONS = "Arguments", "Required", "Model and image", "Options"
_EMPHASIS = re.compile(r"(?<![\w*`])(\*\*?)(?=\S)([^*`]+?)(?<=\S)\1(?![\w*`])")
_EXAMPLE = re.compile(r"(?:Example: |- )?`(modelcar .+)`")
_BREAKS, _GOES_ON = re.compile(r" (?=--|\| )"), " \\"
"""Places in a command where a line may end, and the end of one that goes on."""

_VALUES = {
    "IMAGE": ("image", "target"),
    "NAME": ("name", "claim", "connection", "secret", "account", "format", "variant", "preset", "owner", "as"),
    "DIR": ("output", "report", "to", "folder"),
    "FILE": ("key", "ca"),
    "N": ("limit", "cpu", "tail"),
    "BYTES": ("size",),
    "SIZE": ("memory", "storage"),
    "SECONDS": ("timeout",),
    "URL": ("registry",),
    "PATTERN": ("include", "exclude", "pickle"),
    "JSON": ("tolerations",),
    "LABEL": ("nodes", "tags"),
    "PLATFORM": ("serving", "backend"),
    "REVISION": ("revision",),
    "FORM": ("form",),
    "MODEL": ("adapters",),
}
"""Values that options take, by the last word of the option's name."""

Function = TypeVar("Function", bound=Callable[..., Any])

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command that shows its help in our form."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        formatter.write(page(self, ctx))


class Group(TyperGroup):
    """A command with commands of its own that shows its help in our form."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        formatter.write(page(self, ctx))


class Application(typer.Typer):
    """An application of typer whose commands show their help in our form.

    Args:
        **options: Passed on to typer.
    """

    def __init__(self, **options: Any) -> None:
        given = {"cls": Group, "add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}
        super().__init__(**{"context_settings": SETTINGS, **given, **options})

    def command(self, *arguments: Any, **options: Any) -> Callable[[Function], Function]:
        """Returns a decorator that makes a function a command."""
        return super().command(*arguments, **{"cls": Command, "context_settings": SETTINGS, **options})


def page(command: Any, context: Any) -> str:
    """Returns the help of a command."""
    columns = min(shutil.get_terminal_size().columns, MAX_COLUMNS)
    lines = ["", *_wrapped(_usage(command, context), columns, indent="  ", first=""), ""]
    for paragraph in (command.help or "").split("\n\n"):
        lines += [*_paragraph(paragraph, columns), ""]
    for head, rows in _sections(command, context):
        lines.append(typer.style(f"{head}:", bold=True))
        for names, meaning in rows:
            lines += _row(names, meaning, columns)
        lines.append("")
    # typer writes UTF-8 whatever the terminal takes.
    return legible("\n".join(lines))


def _usage(command: Any, context: Any) -> str:
    arguments = [_argument(one) for one in command.params if one.param_type_name == "argument"]
    more = ["COMMAND"] if isinstance(command, TyperGroup) else []
    return " ".join(["Usage:", context.command_path, *arguments, *more, "[OPTIONS]"])


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _paragraph(paragraph: str, columns: int) -> Iterator[str]:
    for block in _blocks(paragraph):
        if example := _EXAMPLE.fullmatch(block):
            if block.startswith("Example"):
                yield "Example:"
            yield from _command(example[1], columns)
        else:
            yield from _wrapped(plain(block), columns)


def _command(example: str, columns: int) -> Iterator[str]:
    """Yields a command to paste: where it is too long it goes on in further lines, as a shell takes them."""
    line, *more = _BREAKS.split(f"  {example}")
    for part in more:
        if len(line) + len(part) + len(_GOES_ON) < columns:
            line = f"{line} {part}"
        else:
            yield line + _GOES_ON
            line = f"      {part}"
    yield line


def _blocks(paragraph: str) -> Iterator[str]:
    block: list[str] = []
    for line in paragraph.splitlines():
        if line.startswith("- ") and block:
            yield " ".join(block)
            block = []
        block.append(line.strip())
    yield " ".join(block)


def plain(text: str) -> str:
    """Returns Markdown without its signs of emphasis."""
    return _EMPHASIS.sub(r"\2", text)


def _sections(command: Any, context: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    found: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], REQUIRED: [], FIRST: [], OPTIONS: []}
    shown = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    for one in shown:
        kind = ARGUMENTS if one.param_type_name == "argument" else REQUIRED if one.required else OPTIONS
        head = (kind == OPTIONS and getattr(one, "rich_help_panel", None)) or kind
        found.setdefault(head, []).append((_names(one), _meaning(one)))
    if isinstance(command, TyperGroup):
        commands = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
        found["Commands"] = [(name, _first_sentence(one.help or "")) for name, one in commands if one]
    yield from ((head, rows) for head, rows in found.items() if rows)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _argument(parameter)
    short_first = sorted(parameter.opts, key=lambda name: name.startswith("--"))
    names = ", ".join([*short_first, *(name for name in parameter.secondary_opts if name.strip())])
    last = parameter.name.rpartition("_")[2]
    value = next((value for value, words in _VALUES.items() if last in words), "TEXT")
    return names if parameter.is_flag else f"{names} {parameter.metavar or value}"


def _meaning(parameter: Any) -> str:
    more = []
    default = parameter.default
    if getattr(parameter, "show_default", False) and default not in (None, "", False) and not callable(default):
        more.append(f"Default: {getattr(default, 'value', default)}.")
    if isinstance(named := getattr(parameter, "envvar", None), str):
        more.append(f"Also ${named}.")
    elif named:
        more.append(f"Also {' or '.join(f'${name}' for name in named)}.")
    return " ".join([plain(parameter.help or ""), *more])


def _first_sentence(text: str) -> str:
    first = " ".join(text.split("\n\n")[0].split())
    return plain(re.split(r"(?<=\.) |: ", first)[0].rstrip(".:"))


def _row(names: str, meaning: str, columns: int) -> Iterator[str]:
    if columns < NARROW:
        yield from _wrapped(names, columns, indent="      ", first="  ")
        yield from _wrapped(meaning, columns, indent="      ")
        return
    indent = " " * _NAMES
    if len(names) + 4 > _NAMES:
        yield f"  {names}"
        yield from _wrapped(meaning, columns, indent=indent)
    else:
        yield from _wrapped(meaning, columns, indent=indent, first=f"  {names}".ljust(_NAMES))


def _wrapped(text: str, columns: int, indent: str = "", first: str | None = None) -> list[str]:
    begin = indent if first is None else first
    return textwrap.wrap(
        text,
        max(columns, 20),
        initial_indent=begin,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [begin.rstrip()]
