"""The pipelines' parameters as options of the command line.

Names, types, defaults and help are read from the pipelines' own signatures and docstrings, so a parameter that a
pipeline gets is an option of every command that runs it. Their sources are read, not imported: kfp takes seconds.
"""

import ast
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import docstring_parser
import typer
from pydantic import TypeAdapter, ValidationError

from modelcar.cli.options import declare_options, takes_options
from modelcar.cli.usage import UsageError
from modelcar.pipelines.compilation import PIPELINES, STREAMING

_SHORTER = {"mirror_target": "--mirror"}
"""What is typed often."""

_PANELS = ("Model and image", "Claim and build (not with --streaming)", "Secrets in the project of the run")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a pipeline.

    Attributes:
        name: Its name.
        kind: Its type.
        default: What it is if nobody says.
        help: What it means.
        pipelines: The pipelines that have it.
    """

    name: str
    kind: Any
    default: Any
    help: str
    pipelines: tuple[str, ...]

    @property
    def option(self) -> str:
        """The option on the command line, such as `--max-layer-size`."""
        return _SHORTER.get(self.name, f"--{self.name.replace('_', '-')}")

    def value(self, typed: Any) -> Any:
        """Returns what was typed, as the pipeline takes it.

        Raises:
            UsageError: It is not of the parameter's type.
        """
        if get_origin(self.kind) is list and isinstance(typed, bool):
            # Presets of earlier versions say true of allow_pickle.
            typed = ["*"] if typed else []
        elif get_origin(self.kind) is list:
            typed = [one for word in typed for one in _items(word, self.kind)]
        elif get_origin(self.kind) is dict:
            typed = {key: value for word in typed for key, value in _pairs(word).items()}
        try:
            return TypeAdapter(self.kind).validate_python(typed)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise UsageError(f"{self.option} {json.dumps(typed)}: {said}", _EXAMPLES.get(self.name, "")) from None

    def as_option(self) -> inspect.Parameter:
        """The parameter as typer takes it. Where it is not given it is None: a preset may have it."""
        names = dict.fromkeys((self.option, f"--{self.name.replace('_', '-')}"))
        repeated = get_origin(self.kind) in (list, dict)
        if self.kind is bool:
            names = {f"{name}/--no-{name[2:]}": None for name in names}
        kind: Any = list[str] if repeated else self.kind
        # A model has to be named; the pipelines have one only so that their form shows what to write.
        shown = f" Default: {self.default}." if self.default and self.name != "model" else ""
        option = typer.Option(
            *names,
            help=self.help + shown + (" Repeatable." if repeated else ""),
            show_default=False,
            metavar="KEY=VALUE" if get_origin(self.kind) is dict else None,
            rich_help_panel=self._panel,
        )
        annotation = Annotated[kind | None, option]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    @property
    def _panel(self) -> str:
        if self.name.endswith("_secret"):
            return _PANELS[2]
        return _PANELS[0] if STREAMING in self.pipelines else _PANELS[1]


_EXAMPLES = {
    "node_selector": "Write --node-selector ai-build-node=true",
    "tolerations": """Write --tolerations '{"key": "ai-build-node", "operator": "Exists"}'""",
}


@cache
def parameters() -> Mapping[str, Parameter]:
    """The parameters of all pipelines, in their order there."""
    found: dict[str, Parameter] = {}
    for pipeline in PIPELINES:
        for parameter in _read(pipeline):
            known = found.get(parameter.name, parameter)
            pipelines = tuple(dict.fromkeys((*known.pipelines, pipeline)))
            found[parameter.name] = Parameter(known.name, known.kind, known.default, known.help, pipelines)
    return found


def takes_parameters(*but: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command all parameters as options; those that were typed reach it as keywords.

    Args:
        but: Parameters that the command has in a form of its own.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        mine = {name: one for name, one in parameters().items() if name not in but}
        with_own = takes_options(command)

        @wraps(command)
        def called(**given: Any) -> Any:
            typed = {name: given.pop(name) for name in mine}
            values = {name: mine[name].value(one) for name, one in typed.items() if one is not None}
            return with_own(**given, **values)

        declare_options(
            called, [*inspect.signature(with_own).parameters.values(), *(p.as_option() for p in mine.values())]
        )
        return called

    return decorate


def _read(pipeline: str) -> list[Parameter]:
    import modelcar.pipelines as pipelines

    source = (Path(pipelines.__path__[0]) / pipeline / "pipeline.py").read_text()
    function = next(
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == pipeline
    )
    said = docstring_parser.parse(ast.get_docstring(function) or "", docstring_parser.DocstringStyle.GOOGLE)
    helps = {one.arg_name: " ".join((one.description or "").split()) for one in said.params}
    written = {one.arg: ast.unparse(one.annotation) for one in function.args.args if one.annotation}
    kinds = get_type_hints(type(pipeline, (), {"__annotations__": written}), vars(typing))
    defaults = [ast.literal_eval(one) for one in function.args.defaults]
    return [
        Parameter(name, kind, default, helps.get(name, ""), (pipeline,))
        for (name, kind), default in zip(kinds.items(), defaults, strict=True)
    ]


def _items(word: str, kind: Any) -> list[Any]:
    """Returns the items in one word of a list: those of a JSON list, or the word."""
    value = _json(word)
    if isinstance(value, list):
        return value
    # A pattern such as 1 or true is a word and no number.
    return [word if get_args(kind) == (str,) or value is None else value]


def _pairs(word: str) -> dict[str, Any]:
    value = _json(word)
    if isinstance(value, dict):
        return value
    key, found, text = word.partition("=")
    if not (found and key):
        raise UsageError(f"{word!r} is no KEY=VALUE", "Write --node-selector ai-build-node=true")
    return {key: text}


def _json(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return None
