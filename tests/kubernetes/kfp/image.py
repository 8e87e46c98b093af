"""The image of what the backend itself runs in pods: driver, launcher and Argo's executor."""

from pathlib import Path

from tests.kubernetes.file_layer import FileLayer
from tests.kubernetes.image import Image, write_images
from tests.kubernetes.kfp.programs import pipelines_programs

IMAGE = "localhost/kubeflow-pipelines:test"
_PROGRAMS = ("driver", "launcher-v2", "argoexec")


def write_archive(path: Path) -> Path:
    """Writes the image into an archive that containerd reads (an OCI layout).

    Args:
        path: The file.

    Returns:
        The path.
    """
    layer = FileLayer()
    for name in ("tmp", "var/run/argo"):
        layer.directory(name, 0o1777)
    for name in _PROGRAMS:
        layer.file(f"bin/{name}", pipelines_programs() / name)
    return write_images(path, Image(IMAGE, [layer.finished()]))
