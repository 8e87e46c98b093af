"""The project as its administrators set it up, by manifests/, before the first run."""

import subprocess
from pathlib import Path

import yaml

from tests.kubernetes.executors import IMAGE_TO_NAME
from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.programs.build import kubectl_program

CLAIM = "modelcar"
CLAIM_BYTES = 1 << 30

_MANIFESTS = Path(__file__).parents[3] / "manifests" / "openshift"
"""They name the project and the runs' service account as the backend does."""


def set_up(backend: Backend) -> None:
    """Applies the manifests, with a claim that has a file system of its own."""
    backend.cluster.make_claim(PROJECT, CLAIM, CLAIM_BYTES)
    objects = [
        each
        for each in yaml.safe_load_all(_manifests().replace(IMAGE_TO_NAME, backend.cluster.image))
        if each["kind"] != "PersistentVolumeClaim"
    ]
    _kubectl(backend, "apply", yaml.safe_dump_all(objects))


def take_back(backend: Backend) -> None:
    """Removes what is not in the project's namespace, and the claim's file system; no pods use it any more."""
    backend.namespace.remove_pods()
    backend.cluster.remove_claim(PROJECT, CLAIM)
    _kubectl(backend, "delete", _manifests(), "--ignore-not-found")


def _kubectl(backend: Backend, verb: str, objects: str, *options: str) -> None:
    command = [kubectl_program(), f"--kubeconfig={backend.cluster.kubeconfig}", verb, *options, "-f", "-"]
    subprocess.run(command, input=objects, capture_output=True, text=True, check=True)


def _manifests() -> str:
    command = [kubectl_program(), "kustomize", _MANIFESTS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
