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

from modelcar.cli.help import FIRST
from modelcar.cli.options import declare_options, takes_options
from modelcar.cli.usage import UsageError
from modelcar.pipelines.compilation import PIPELINES, STREAMING

_SHORTER = {"mirror_target": "--mirror"}
"""Shorter options for what is typed often."""

CHOICES = {
    "builder": ("auto", "buildah", "direct"),
    "build_mode": ("auto", "pod", "nested", "job"),
    "if_exists": ("update", "replace", "refuse"),
    "transport": ("http", "xet", "auto"),
    "model_layout": ("flat", "versioned"),
}
"""Parameters that take one of a few words. The steps hold to the same ones, in a cluster as well."""

_ON_A_CLUSTER = ("build_mode", "node_selector", "tolerations", "build_cpu", "build_memory", "build_ephemeral_storage")
_HERE = {
    "target": "Image to write, such as quay.io/my-team/granite:3.3-2b. Required, unless the preset names it.",
}
"""Help of parameters that mean less on this machine."""

_Model = Annotated[
    str,
    typer.Argument(
        metavar="[MODEL]",
        help="Model on Hugging Face, organisation/name; or a folder, ./model; or s3://bucket/folder, oci://image, "
        "pvc://claim/folder, model-registry://name/version.",
    ),
]

_PANELS = (FIRST, "Claim and build (not with --streaming)", "Secrets in the project of the run")


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
    def is_for_cluster(self) -> bool:
        """Tells whether it means nothing on this machine: Secrets, nodes and Jobs of a cluster."""
        return self.name in _ON_A_CLUSTER or self.name.endswith("_secret") or self.name.startswith("job_")

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
            value = TypeAdapter(self.kind).validate_python(typed)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise UsageError(f"{self.option} {json.dumps(typed)}: {said}", _EXAMPLES.get(self.name, "")) from None
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """Raises if the value is none of those that there are.

        Raises:
            UsageError: It is not.
        """
        if value not in (choices := CHOICES.get(self.name, (value,))):
            raise UsageError(f"there is no {self.option[2:]} {value!r}", f"Choose one of {', '.join(choices)}")

    def as_option(self, *, here: bool = False) -> inspect.Parameter:
        """Returns the parameter as typer takes it. Where it is not given it is None: a preset may have it.

        Args:
            here: Whether the run will be on this machine.
        """
        names = dict.fromkeys((self.option, f"--{self.name.replace('_', '-')}"))
        repeated = get_origin(self.kind) in (list, dict)
        if self.kind is bool:
            names = {f"{name}/--no-{name[2:]}": None for name in names}
        kind: Any = list[str] if repeated else self.kind
        said = _HERE.get(self.name, self.help) if here else self.help
        shown = f" Default: {self.default}." if self.default else ""
        metavar = "KEY=VALUE" if get_origin(self.kind) is dict else "|".join(CHOICES.get(self.name, ())) or None
        option = typer.Option(
            *names,
            help=_typed(said) + shown + " Repeatable." * repeated,
            show_default=False,
            metavar=metavar,
            rich_help_panel=self._panel,
            # It is the command's argument; whoever writes it as an option may.
            hidden=self.name == "model",
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


def takes_parameters(*but: str, here: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command all parameters as options, and the model as its argument; what was typed reaches it as keywords.

    Args:
        but: Parameters that the command has in a form of its own.
        here: Whether it runs on this machine, where those of a cluster mean nothing.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        mine = {
            name: one for name, one in parameters().items() if name not in but and not (here and one.is_for_cluster)
        }
        with_own = takes_options(command)

        @wraps(command)
        def called(model_argument: str, **given: Any) -> Any:
            typed = {name: given.pop(name) for name in mine}
            typed["model"] = _model(model_argument, typed["model"])
            values = {name: mine[name].value(one) for name, one in typed.items() if one is not None}
            return with_own(**given, **values)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        argument = inspect.Parameter("model_argument", kind, default="", annotation=_Model)
        own = inspect.signature(with_own).parameters.values()
        declare_options(called, [argument, *own, *(one.as_option(here=here) for one in mine.values())])
        return called

    return decorate


def _typed(said: str) -> str:
    """Returns a form's help for what is typed word by word."""
    for form, here in ((", as a JSON list,", ""), (", as a JSON object,", ""), ('["*"]: all', '"*": all')):
        said = said.replace(form, here)
    return said.replace('such as {"ai-build-node": "true"}', "such as ai-build-node=true")


def _model(argument: str, option: str | None) -> str | None:
    if argument and option and argument != option:
        raise UsageError(f"two models were named, {argument} and {option}", "Name one")
    return argument or option


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
