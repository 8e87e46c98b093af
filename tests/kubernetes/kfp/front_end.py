"""The front end of Kubeflow Pipelines, with its own server, and Envoy before ML Metadata."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.kubernetes.kfp import api_server, metadata, object_store, objects
from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.kfp.front_end_build import ENVOY_CONFIGURATION, front_end

PORT = 3000
_ENVOY, _SERVER = "metadata-envoy", "front-end"


@contextmanager
def pipelines_front_end(backend: Backend, folder: Path) -> Iterator[str]:
    """Runs the front end of a backend until the context is left.

    Args:
        backend: The backend, which is up.
        folder: Takes a configuration.

    Yields:
        The front end's address.

    Raises:
        BuildError: It cannot be built here.
        MachineError: It did not start.
    """
    built = front_end()
    machine = backend.cluster.control
    service = objects.addresses(backend.cluster.network)["ml-pipeline"]
    configuration = folder / ENVOY_CONFIGURATION
    envoy_port = _configure_envoy(built / ENVOY_CONFIGURATION, configuration)
    machine.start(
        _ENVOY,
        # The other two are for restarts without a pause, and would need memory that processes share.
        [str(built / "envoy/envoy/_bin/envoy"), "--config-path", str(configuration), "--disable-hot-restart"],
    )
    try:
        variables = _variables(backend, service, envoy_port)
        server = ["node", str(built / "server/dist/server.js"), str(built / "client"), str(PORT)]
        machine.start(_SERVER, ["env", *(f"{name}={value}" for name, value in variables.items()), *server])
        try:
            url = f"http://{service}:{PORT}"
            api_server.wait(machine, url, (_ENVOY, _SERVER))
            yield url
        finally:
            machine.stop(_SERVER, seconds=2)
    finally:
        machine.stop(_ENVOY, seconds=2)


def _configure_envoy(of_release: Path, configuration: Path) -> int:
    """Writes the release's own configuration, with the address of our ML Metadata; returns the port to ask at."""
    content = yaml.safe_load(of_release.read_text())
    # Nobody here asks for its figures, and their port is one more that has to be free.
    del content["admin"]
    resources = content["static_resources"]
    (listener,), (cluster,) = resources["listeners"], resources["clusters"]
    ((endpoint,),) = [group["lb_endpoints"] for group in cluster["load_assignment"]["endpoints"]]
    endpoint["endpoint"]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": metadata.PORT}
    configuration.write_text(yaml.safe_dump(content))
    return int(listener["address"]["socket_address"]["port_value"])


def _variables(backend: Backend, service: str, envoy_port: int) -> Mapping[str, object]:
    return {
        "NODE_ENV": "production",
        # It reads the object store's login from a Secret of the project.
        "KUBECONFIG": backend.cluster.kubeconfig,
        "FRONTEND_SERVER_NAMESPACE": PROJECT,
        "ML_PIPELINE_SERVICE_HOST": service,
        "ML_PIPELINE_SERVICE_PORT": api_server.HTTP_PORT,
        "METADATA_ENVOY_SERVICE_SERVICE_HOST": "127.0.0.1",
        "METADATA_ENVOY_SERVICE_SERVICE_PORT": envoy_port,
        "MINIO_HOST": "127.0.0.1",
        "MINIO_NAMESPACE": "",
        "MINIO_PORT": object_store.PORT,
        "MINIO_ACCESS_KEY": object_store.ACCESS_KEY,
        "MINIO_SECRET_KEY": object_store.SECRET_KEY,
    }
