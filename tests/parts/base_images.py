"""A base image in a registry: the one of KServe's own modelcars, from the PyPI package that carries it."""

import subprocess
from pathlib import Path

from modelcar_base_image.embedded_oci_layout import embedded_oci_layout

from tests.parts.registries import Registry


def push_base_image(registry: Registry, name: str, folder: Path) -> str:
    """Pushes it with skopeo into a registry that lets everyone in.

    Args:
        registry: The registry.
        name: The repository and the tag.
        folder: Takes the image on the way.

    Returns:
        Its reference.
    """
    embedded_oci_layout(folder / "base")
    target = f"docker://{registry.host}/{name}"
    command = ["skopeo", "copy", "--quiet", "--all", "--dest-tls-verify=false", f"oci:{folder}/base:latest", target]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return f"{registry.host}/{name}"
