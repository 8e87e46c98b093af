"""The project as its administrators set it up, by manifests/, before the first run."""

import subprocess
from pathlib import Path

import yaml

from tests.cluster.kfp.backend import PROJECT, Backend

CLAIM = "modelcar"
CLAIM_BYTES = 1 << 30

_MANIFESTS = Path(__file__).parents[3] / "manifests" / "openshift"
"""They name the project and the runs' service account as the backend does."""


def set_up(backend: Backend) -> None:
    """Applies the manifests, with a claim that has a file system of its own."""
    done = subprocess.run(["kubectl", "kustomize", str(_MANIFESTS)], capture_output=True, text=True, check=True)
    backend.cluster.make_claim(PROJECT, CLAIM, CLAIM_BYTES)
    backend.namespace.create(
        *(each for each in yaml.safe_load_all(done.stdout) if each["kind"] != "PersistentVolumeClaim")
    )


def take_back(backend: Backend) -> None:
    """Removes what is not in the project's namespace, and the claim's file system; no pods use it any more."""
    backend.namespace.remove_pods()
    backend.cluster.remove_claim(PROJECT, CLAIM)
    done = subprocess.run(["kubectl", "kustomize", str(_MANIFESTS)], capture_output=True, text=True, check=True)
    command = ["kubectl", "--kubeconfig", str(backend.cluster.kubeconfig), "delete", "--ignore-not-found", "-f", "-"]
    subprocess.run(command, input=done.stdout, capture_output=True, text=True, check=True)
