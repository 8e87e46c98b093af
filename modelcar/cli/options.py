"""Options that several commands have, each written once; those that go together are one value.

A command takes such a value as a parameter, `server: ServerOptions`, and `takes_options` makes options of its fields.
"""

import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelcar.cli.usage import UsageError
from modelcar.errors import BuildError
from modelcar.pipelines.compilation import Backend
from modelcar.pipelines.delivery import Delivery

if TYPE_CHECKING:
    from modelcar.cli.server.client import Client

_SERVER = "Pipeline server"
_CODE = "How the steps get their code"

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON; anything else goes to stderr.", show_default=False)
]
NamespaceOption = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        envvar="KFP_NAMESPACE",
        metavar="NAME",
        help="The project. Default: that of the current login (`oc project`), or the pod's own.",
        rich_help_panel=_SERVER,
        show_default=False,
    ),
]
ImageOption = Annotated[
    str,
    typer.Option(
        "--image",
        help="Image that has modelcar and buildah in it, for disconnected clusters.",
        rich_help_panel=_CODE,
        show_default=False,
    ),
]


def takes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the fields of each dataclass that it takes as options of their own."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {one.name: one.annotation for one in parameters if is_dataclass(one.annotation)}
    options = [option for group in groups.values() for option in _options(group)]
    own = [one for one in parameters if one.name not in groups and one.kind is not inspect.Parameter.VAR_KEYWORD]

    @wraps(command)
    def called(**given: Any) -> Any:
        values = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group) if field.name in given})
            for name, group in groups.items()
        }
        return command(**values, **given)

    declare_options(called, [*own, *options])
    return called


def declare_options(command: Callable[..., Any], options: Sequence[inspect.Parameter]) -> None:
    """Sets the signature of a command, by which typer goes."""
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}


def _options(group: Any) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    options = []
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        kind = inspect.Parameter.KEYWORD_ONLY
        options.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))
    return options


@dataclass(frozen=True)
class RequestOptions:
    """A preset to begin with, and the pipeline to run."""

    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE", help="Set of parameters to begin with; see `modelcar presets`.", show_default=False
        ),
    ] = ""
    streaming: Annotated[
        bool | None,
        typer.Option(
            "--streaming/--no-streaming",
            help="Run *model-to-registry-streaming*: one pass, without claim, build and disk.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class ServerOptions:
    """The pipeline server."""

    server: Annotated[
        str,
        typer.Option(
            envvar=["KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"],
            metavar="URL",
            help="Address of the pipelines' API. Default: that of the pipeline server in the project.",
            rich_help_panel=_SERVER,
            show_default=False,
        ),
    ] = ""
    namespace: NamespaceOption = ""
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Certificates of authorities to trust besides the system's and the cluster's.",
            rich_help_panel=_SERVER,
            show_default=False,
        ),
    ] = None

    def connect(self) -> "Client":
        """Returns a client for the server.

        Raises:
            ClusterError: There is none, it cannot be reached, or it does not know us.
        """
        from modelcar.cli.server.client import Client

        return Client.connect(self.server, self.namespace, self.ca)


@dataclass(frozen=True)
class RunOptions:
    """A run as a server keeps it."""

    experiment: Annotated[
        str,
        typer.Option(
            envvar="KF_PIPELINES_DEFAULT_EXPERIMENT_NAME",
            metavar="NAME",
            help="Experiment that the run is kept in.",
            rich_help_panel=_SERVER,
        ),
    ] = "modelcar"
    service_account: Annotated[
        str,
        typer.Option(
            envvar="MODELCAR_SERVICE_ACCOUNT",
            metavar="NAME",
            help="Service account of the run's pods, such as the narrow `modelcar-pipeline` of manifests/. "
            "Default: the pipeline server's, which may read all Secrets of the project.",
            rich_help_panel=_SERVER,
            show_default=False,
        ),
    ] = ""


@dataclass(frozen=True)
class CompileOptions:
    """Options of compiling a pipeline."""

    image: ImageOption = ""
    package: Annotated[
        str,
        typer.Option(
            metavar="NAME==VERSION",
            help="Published package that the steps install, such as modelcar-pipelines==0.1.0. "
            "Default: the steps carry their code.",
            rich_help_panel=_CODE,
            show_default=False,
        ),
    ] = ""
    index_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Package index that the steps install from. Default: pip's.",
            rich_help_panel=_CODE,
            show_default=False,
        ),
    ] = ""
    python_image: Annotated[
        str,
        typer.Option(
            help="Image with Python 3.11 or newer and pip that the steps run in. Default: Red Hat's ubi9/python-311.",
            rich_help_panel=_CODE,
            show_default=False,
        ),
    ] = ""
    backend: Annotated[
        Backend, typer.Option("--for", help="What it will run on; rhoai-3 is Kubeflow 2.15 and newer as well.")
    ] = Backend.CURRENT
    queue: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Kueue's queue (LocalQueue) that the steps and a build's Job wait in. Default: none.",
            show_default=False,
        ),
    ] = ""

    @property
    def delivery(self) -> Delivery:
        """Delivery of the code to the steps' pods.

        Raises:
            UsageError: Options do not go together, or the package is not ours.
        """
        try:
            return Delivery(self.image, self.package, self.index_url, self.python_image)
        except BuildError as error:
            raise UsageError(error.what, error.remedy) from None
