"""Starts a test cluster to work with, and stops it."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.kubernetes.kfp import front_end_build, playground
from tests.kubernetes.kfp.programs import object_store_program, pipelines_programs
from tests.kubernetes.kfp.python import environment
from tests.kubernetes.kserve.controller import programs as kserve_programs
from tests.kubernetes.kueue import program as kueue_program
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.machine import MachineError
from tests.kubernetes.policy_controller import policy_controller_program
from tests.kubernetes.programs.build import kubectl_program, programs
from tests.parts.go_programs import BuildError
from tests.parts.sigstore import sigstore_programs

console = Console(highlight=False, soft_wrap=True)
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Folder = Annotated[Path, typer.Option(help="Holds all that belongs to the cluster; any of your own.")]
Kfp = Annotated[bool, typer.Option("--kfp", help="With Kubeflow Pipelines, a Hub, registries and a Model Registry.")]
DEFAULT_FOLDER = Path(tempfile.gettempdir(), "modelcar-cluster")


@app.command()
def parts() -> None:
    """Build the cluster's programs, unless that was done before."""
    built = (
        *programs(),
        kubectl_program(),
        kserve_programs(),
        kueue_program(),
        pipelines_programs(),
        object_store_program(),
        *sigstore_programs(),
        policy_controller_program(),
        environment(),
    )
    console.print(*built, sep="\n")
    lacking = front_end_build.missing()
    if lacking:
        console.print(f"{lacking}; its tests are skipped")
        return
    try:
        console.print(front_end_build.front_end())
    except BuildError as error:
        # All other tests go without it.
        console.print(f"{error}\nthe front end of Kubeflow Pipelines was not built; its tests will fail")


@app.command()
def up(folder: Folder = DEFAULT_FOLDER, kfp: Kfp = False) -> None:
    """Start a cluster, which runs until it is told to stop."""
    cluster = LocalCluster(folder)
    if not cluster.is_up:
        cluster.up(say=console.print)
        console.print("making the pods' images of this machine's files")
        cluster.load_images()
    if kfp:
        playground.up(cluster, say=console.print)
        console.print(playground.described(cluster))
    console.print(f"export KUBECONFIG={cluster.kubeconfig}")


@app.command()
def images(folder: Folder = DEFAULT_FOLDER) -> None:
    """Put the images into the nodes again, with the code as it is now."""
    LocalCluster(folder).load_images()


@app.command()
def claim(name: str, namespace: str = "default", size_mib: int = 1024, folder: Folder = DEFAULT_FOLDER) -> None:
    """Make a claim with a file system of its own, which both nodes see."""
    LocalCluster(folder).make_claim(namespace, name, size_mib << 20)


@app.command()
def remove_claim(name: str, namespace: str = "default", folder: Folder = DEFAULT_FOLDER) -> None:
    """Remove a claim and its file system again, after its pods."""
    LocalCluster(folder).remove_claim(namespace, name)


@app.command()
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop the cluster and leave nothing of it."""
    LocalCluster(folder).down()


if __name__ == "__main__":
    try:
        app(prog_name="python -m tests.kubernetes")
    except (MachineError, BuildError) as error:
        sys.exit(f"error: {error}")
