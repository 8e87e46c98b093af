"""Options that several commands have, each written once."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from modelcar.cli.parameters import parameters
from modelcar.cli.preset import Wanted
from modelcar.oci.reference import Reference
from modelcar.pipelines import compilation

_SERVER = "Pipeline server"

PresetOption = Annotated[
    str, typer.Option("--preset", metavar="NAME", help="Set of parameters to begin with; see `modelcar presets`.")
]
StreamingOption = Annotated[
    bool | None,
    typer.Option(
        "--streaming/--no-streaming",
        help="Run *model-to-registry-streaming*: one pass, without claim, build and disk.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON; anything else goes to stderr.", show_default=False)
]
ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        envvar=["KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"],
        metavar="URL",
        help="Address of the pipelines' API. Default: that of the pipeline server in the project.",
        rich_help_panel=_SERVER,
        show_default=False,
    ),
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
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        help="Certificates of authorities to trust besides the system's and the cluster's.",
        rich_help_panel=_SERVER,
        show_default=False,
    ),
]
ExperimentOption = Annotated[
    str,
    typer.Option(
        "--experiment",
        envvar="KF_PIPELINES_DEFAULT_EXPERIMENT_NAME",
        metavar="NAME",
        help="Experiment that the run is kept in.",
        rich_help_panel=_SERVER,
    ),
]
ServiceAccountOption = Annotated[
    str,
    typer.Option(
        "--service-account",
        envvar="MODELCAR_SERVICE_ACCOUNT",
        metavar="NAME",
        help="Service account of the run's pods, such as the narrow `modelcar-pipeline` of manifests/. Default: the "
        "pipeline server's, which may read all Secrets of the project.",
        rich_help_panel=_SERVER,
        show_default=False,
    ),
]
ImageOption = Annotated[
    str, typer.Option("--image", help="Image that has modelcar and buildah in it, for disconnected clusters.")
]
BackendOption = Annotated[
    compilation.Backend,
    typer.Option("--for", help="What it will run on; rhoai-3 is Kubeflow 2.15 and newer as well."),
]


def wanted(preset: str, streaming: bool | None, typed: dict[str, Any]) -> Wanted:
    """What a command is asked to run; says what of it the pipeline has no use for.

    Raises:
        UsageError: There is no such preset, or it is wrong, or no model was named.
        UnsafeNameError: An image's name is none.
    """
    asked = Wanted.of(preset, streaming, typed)
    for name in asked.left_out:
        print(f"{parameters()[name].option} is not used by this pipeline", file=sys.stderr)
    for name in ("target", "mirror_target"):
        if asked.arguments.get(name):
            # Before anything is uploaded, and before hours of downloading.
            Reference.parse_target(asked.arguments[name])
    return asked
