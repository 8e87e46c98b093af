"""The project as its administrators set it up, by manifests/, before the first run."""

import subprocess
from pathlib import Path

import yaml

from tests.cluster.kfp.backend import PROJECT, Backend
from tests.cluster.programs.build import kubectl_program

CLAIM = "modelcar"
CLAIM_BYTES = 1 << 30

_MANIFESTS = Path(__file__).parents[3] / "manifests" / "openshift"
"""They name the project and the runs' service account as the backend does."""


def set_up(backend: Backend) -> None:
    """Applies the manifests, with a claim that has a file system of its own."""
    backend.cluster.make_claim(PROJECT, CLAIM, CLAIM_BYTES)
    objects = yaml.safe_load_all(_manifests())
    backend.namespace.create(*(each for each in objects if each["kind"] != "PersistentVolumeClaim"))


def take_back(backend: Backend) -> None:
    """Removes what is not in the project's namespace, and the claim's file system; no pods use it any more."""
    backend.namespace.remove_pods()
    backend.cluster.remove_claim(PROJECT, CLAIM)
    login = f"--kubeconfig={backend.cluster.kubeconfig}"
    command = [kubectl_program(), login, "delete", "--ignore-not-found", "-f", "-"]
    subprocess.run(command, input=_manifests(), capture_output=True, text=True, check=True)


def _manifests() -> str:
    command = [kubectl_program(), "kustomize", _MANIFESTS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
