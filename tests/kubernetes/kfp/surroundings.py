"""What pipelines talk to: a Hub, two registries with TLS and passwords, a Model Registry; all reachable by pods."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes import client

from tests.kubernetes.kfp.backend import Backend
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer, model_registry
from tests.parts.registries import BasicAuthRegistry, registry_with_tls

TARGET_SECRET, MIRROR_SECRET = "modelcar-target-registry", "modelcar-mirror-registry"


@dataclass(frozen=True)
class Surroundings:
    """Running servers.

    Attributes:
        hub: The Hub.
        target: The registry that images are pushed to.
        mirror: The one that they are copied to.
        entries: The Model Registry.
    """

    hub: Hub
    target: BasicAuthRegistry
    mirror: BasicAuthRegistry
    entries: ModelRegistryServer


@contextmanager
def surroundings(folder: Path, address: str) -> Iterator[Surroundings]:
    """Runs the servers until the context is left.

    Args:
        folder: Takes their files.
        address: Where they listen, as pods see it.

    Yields:
        The servers.
    """
    with ExitStack() as stack:
        yield Surroundings(
            stack.enter_context(Hub(folder / "hub", host=address)),
            stack.enter_context(registry_with_tls(_made(folder / "target"), address)),
            stack.enter_context(registry_with_tls(_made(folder / "mirror"), address)),
            stack.enter_context(model_registry(folder / "model-registry", address)),
        )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def make_known(servers: Surroundings, backend: Backend) -> None:
    """Makes the Secrets that the pipelines look for, and lets all runs trust the registries and use the Hub."""
    for secret, registry in ((TARGET_SECRET, servers.target), (MIRROR_SECRET, servers.mirror)):
        with contextlib.suppress(client.ApiException):
            backend.namespace.core.delete_namespaced_secret(secret, backend.namespace.name)
        backend.namespace.login(secret, registry)
    backend.trust(*(registry.ca_file for registry in (servers.target, servers.mirror) if registry.ca_file))
    backend.admit(variables={"HF_ENDPOINT": servers.hub.url})
