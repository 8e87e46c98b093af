"""Bases of the kinds that people put models on, in a registry."""

import shutil
import subprocess
from pathlib import Path

from tests.kubernetes.file_layer import FileLayer
from tests.kubernetes.image import Image, tiny_layer, write_images
from tests.parts.registries import BasicAuthRegistry

KINDS = ("default", "busybox", "minimal", "scratch")
"""Our own shell; one static program with links to it, as Docker's busybox image has; a shell with the libraries and
commands of a distribution, as ubi9-micro has; and nothing at all."""

_LINKS = ("sh", "ln", "mkdir", "sleep", "ls", "echo", "[", "cat")


def push_bases(registry: BasicAuthRegistry, logins: Path, folder: Path) -> dict[str, str]:
    """Pushes a base of each kind.

    Args:
        registry: The registry.
        logins: The file with the login.
        folder: Takes the images on the way.

    Returns:
        Their references by kind; empty for the default one, which is named by no reference.
    """
    layers = {"busybox": [_busybox()], "minimal": [tiny_layer()], "scratch": []}
    bases = {"default": ""}
    for kind, content in layers.items():
        archive = write_images(folder / f"{kind}.tar", Image(f"{kind}:1", content))
        bases[kind] = f"{registry.host}/bases/{kind}:1"
        copy = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"--dest-authfile={logins}"]
        subprocess.run([*copy, f"oci-archive:{archive}", f"docker://{bases[kind]}"], check=True)
    return bases


def _busybox() -> bytes:
    program = shutil.which("busybox")
    if program is None:
        raise FileNotFoundError("busybox-static is not installed: make cluster-parts")
    layer = FileLayer()
    layer.file("bin/busybox", Path(program).resolve())
    for name in _LINKS:
        layer.link(f"bin/{name}", "busybox")
    return layer.finished()
