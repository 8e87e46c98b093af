"""Builds in Jobs: the project they run in, the download they build of, and what the pipeline gives the component."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.executors import applied, take_back, task_config
from tests.kubernetes.given_cluster import GivenCluster
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import CLAIM_PATH, pod
from tests.kubernetes.scripts import DOWNLOAD
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import BasicAuthRegistry, registry_with_tls

MODEL = "example/job-llama"
SHARDS, SHARD_BYTES = 3, 16_000_000
CLAIM, CLAIM_BYTES = "models", 300_000_000
LOGIN = "registry"


@pytest.fixture
def registry(cluster: LocalCluster | GivenCluster, tmp_path: Path) -> Iterator[BasicAuthRegistry]:
    """Give a registry of the test's own, which it can hold up."""
    with registry_with_tls(tmp_path / "registry", cluster.host) as registry:
        yield registry


@pytest.fixture
def project(namespace: Namespace, cluster: LocalCluster | GivenCluster, tmp_path: Path) -> Iterator[Namespace]:
    """Give a namespace with what manifests/kubernetes puts there, and the pipelines' account."""
    namespace.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "pipelines"}})
    applied("kubernetes", namespace, tmp_path / "manifests")
    yield namespace
    take_back(namespace)


@pytest.fixture
def directory(
    project: Namespace, cluster: LocalCluster | GivenCluster, registry: BasicAuthRegistry, pod_hub: Hub, tmp_path: Path
) -> Iterator[str]:
    """Give the directory of a model on the claim, downloaded by a pod with a random user, and a login."""
    project.login(LOGIN, registry)
    folder = tiny_llama(tmp_path / "model", shards=SHARDS, bytes_per_shard=SHARD_BYTES, consolidated=False)
    pod_hub.publish(MODEL, folder)
    with project.claim(CLAIM, CLAIM_BYTES):
        command = ["python3", "-c", DOWNLOAD, MODEL, CLAIM_PATH]
        download = pod("download", command, cluster.image, claim=CLAIM, env={"HF_ENDPOINT": pod_hub.url})
        yield project.run(download).splitlines()[-1]


def arguments(directory: str, registry: BasicAuthRegistry, name: str = "model", **further: Any) -> dict[str, Any]:
    """What the pipeline gives to the component."""
    return {
        "directory": directory,
        "target": f"{registry.host}/team/{name}:1",
        "builder": "buildah",
        "build_mode": "job",
        "task_config": task_config(CLAIM, LOGIN),
        **further,
    }


@contextmanager
def held_up(registry: BasicAuthRegistry) -> Iterator[None]:
    """Stops the registry within, so that a build is under way for as long."""
    os.kill(registry.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(registry.pid, signal.SIGCONT)
