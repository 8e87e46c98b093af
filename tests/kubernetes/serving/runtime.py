"""A project that can serve: a serving runtime with mistral.rs, and nodes that tell of GPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes import client

from tests.kubernetes.local_cluster import NODES, LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.serving.image import SERVER

RUN = f"import runpy, sys; sys.argv = ['', '/mnt/models']; runpy.run_path('{SERVER}', run_name='__main__')"
GPU = "nvidia.com/gpu"
_RUNTIMES = ("serving.kserve.io", "v1alpha1")
_NAME = "mistralrs"


def write_runtime(namespace: Namespace, image: str, program: str = RUN) -> None:
    """Creates the serving runtime: mistral.rs for the format that KServe gives language models.

    Args:
        namespace: Where to.
        image: The server's image.
        program: What Python runs in it.
    """
    formats = [{"name": "huggingface", "version": "1", "autoSelect": True}]
    runtime = {
        "apiVersion": "/".join(_RUNTIMES),
        "kind": "ServingRuntime",
        "metadata": {"name": _NAME},
        "spec": {"supportedModelFormats": formats, "containers": [_container(image, program)]},
    }
    client.CustomObjectsApi(namespace.api).create_namespaced_custom_object(
        *_RUNTIMES, namespace.name, "servingruntimes", runtime
    )


def change_program(namespace: Namespace, image: str, program: str) -> None:
    """Has the runtime's next pods run another program."""
    body = {"spec": {"containers": [_container(image, program)]}}
    client.CustomObjectsApi(namespace.api).patch_namespaced_custom_object(
        *_RUNTIMES, namespace.name, "servingruntimes", _NAME, body
    )


def _container(image: str, program: str) -> dict[str, object]:
    return {
        "name": "kserve-container",
        "image": image,
        "command": ["python3", "-c", program],
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "HF_HUB_OFFLINE", "value": "1"}],
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 10},
    }


@contextmanager
def gpus(cluster: LocalCluster) -> Iterator[None]:
    """Has each node tell of two GPUs within, as a device plugin does."""
    _tell(cluster, "2")
    try:
        yield
    finally:
        _tell(cluster, "0")


def _tell(cluster: LocalCluster, count: str) -> None:
    body = {"status": {"capacity": {GPU: count}, "allocatable": {GPU: count}}}
    for node in NODES:
        client.CoreV1Api(cluster.api).patch_node_status(node, body)
