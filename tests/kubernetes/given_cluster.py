"""A cluster that somebody gives us with KUBECONFIG, for the tests that any cluster can run."""

import os
from pathlib import Path
from typing import Any

from kubernetes import client, config


class GivenCluster:
    """A cluster as KUBECONFIG names it.

    Attributes:
        kubeconfig: The file.
        api: A client with the login found there.
        host: This machine's address as pods see it, from MODELCAR_TEST_HOST.
        image: An image with Python, buildah and our code (see Containerfile), from MODELCAR_TEST_IMAGE.
    """

    def __init__(self) -> None:
        self.kubeconfig = Path(os.environ["KUBECONFIG"])
        settings: Any = client.Configuration()
        config.load_kube_config(client_configuration=settings)
        self.api = client.ApiClient(settings)
        self.host = _setting("MODELCAR_TEST_HOST")
        self.image = _setting("MODELCAR_TEST_IMAGE")

    def make_claim(self, namespace: str, name: str, size: int) -> None:
        """Makes a claim of the default storage class."""
        claim = {
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": str(size)}}},
        }
        client.CoreV1Api(self.api).create_namespaced_persistent_volume_claim(namespace, claim)

    def remove_claim(self, namespace: str, name: str) -> None:
        """Removes a claim."""
        client.CoreV1Api(self.api).delete_namespaced_persistent_volume_claim(name, namespace)


def _setting(name: str) -> str:
    if value := os.environ.get(name):
        return value
    raise RuntimeError(f"KUBECONFIG names a cluster that is not ours: set {name} as well (tests/kubernetes/README.md)")
