"""A Kubeflow Pipelines that runs already, on the cluster of KUBECONFIG, for the tests that any can run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes import client

from tests.kubernetes.given_cluster import GivenCluster
from tests.kubernetes.kfp import admission, api_server, objects
from tests.kubernetes.kfp.backend import PROJECT
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace

VARIABLE = "MODELCAR_TEST_KFP"
_COMPILED_FOR = "MODELCAR_TEST_KFP_FOR"


class GivenBackend:
    """A pipeline server as MODELCAR_TEST_KFP names it, with the interface of `Backend`.

    Attributes:
        cluster: The cluster that its runs are on.
        url: Its API, as this machine reaches it.
        compiled_for: What pipelines are compiled for, from MODELCAR_TEST_KFP_FOR.
        namespace: Its project, which is called as in manifests/.
    """

    def __init__(self, cluster: LocalCluster | GivenCluster) -> None:
        self.cluster = cluster
        self.url = os.environ[VARIABLE].rstrip("/")
        self.compiled_for = os.environ.get(_COMPILED_FOR, "rhoai-3")
        self.namespace = Namespace(PROJECT, cluster)

    def trust(self, *authorities: Path) -> None:
        """Writes the ConfigMap of authorities that the pipeline server was set up to trust."""
        body = {
            "metadata": {"name": api_server.TRUSTED},
            "data": {api_server.TRUSTED_KEY: "".join(file.read_text() for file in authorities)},
        }
        try:
            self.namespace.core.replace_namespaced_config_map(api_server.TRUSTED, PROJECT, body)
        except client.ApiException as error:
            if error.status != 404:
                raise
            self.namespace.core.create_namespaced_config_map(PROJECT, body)

    def admit(self, *, seccomp: str = "user-namespaces-allowed", variables: Mapping[str, str]) -> None:
        """Says what becomes of the pods of all runs from now on."""
        # A cluster with DNS needs no addresses.
        services = objects.addresses(self.cluster.network) if isinstance(self.cluster, LocalCluster) else {}
        admission.admit(self.cluster.api, PROJECT, seccomp=seccomp, services=services, variables=variables)

    def client(self) -> Any:
        """The stock client."""
        import kfp

        return kfp.Client(host=self.url, namespace=PROJECT)


def given_backend(cluster: LocalCluster | GivenCluster) -> GivenBackend | None:
    """The pipeline server that runs already; None if none was named."""
    return GivenBackend(cluster) if os.environ.get(VARIABLE) else None
