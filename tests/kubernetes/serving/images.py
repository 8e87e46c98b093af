"""The server's image and images of models, in a registry that the nodes trust and that wants a login."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.serving.image import write_server_image
from tests.parts.hub import Hub
from tests.parts.registries import BasicAuthRegistry, auth_file
from tests.parts.steps import stream


def push_images(
    cluster: LocalCluster, registry: BasicAuthRegistry, folder: Path, models: Mapping[str, Path]
) -> tuple[str, dict[str, str]]:
    """Pushes the server's image, and makes an image of each model as the pipelines do.

    Args:
        cluster: Its nodes learn to trust the registry.
        registry: The registry.
        folder: Takes what is made on the way.
        models: Folders with models, by the repository that the image goes to.

    Returns:
        The server's image, and the models' by their repositories, pinned to their digests.
    """
    assert registry.ca_file
    for node in cluster.nodes.values():
        node.trust(registry.host, registry.ca_file)
    folder.mkdir(exist_ok=True)
    logins = auth_file(folder / "auth.json", registry)
    server = f"{registry.host}/servers/mistralrs:1"
    archive = write_server_image(folder / "server.tar")
    copy = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"--dest-authfile={logins}"]
    subprocess.run([*copy, f"oci-archive:{archive}", f"docker://{server}"], check=True)
    made = {}
    with Hub(folder / "hub") as hub, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", hub.url)
        environment.setenv("REGISTRY_AUTH_FILE", str(logins))
        environment.setenv("SSL_CERT_FILE", str(registry.ca_file))
        for repository, model in models.items():
            hub.publish("example/tiny-llama", model)
            made[repository] = str(stream("example/tiny-llama", f"{registry.host}/{repository}:1").image)
    return server, made
