"""An image's /models as a server sees it."""

import tarfile
from pathlib import Path

from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from tests.parts.filtered_tar import filtered


def mounted(image: Reference, folder: Path) -> Path:
    """Unpack an image's layers into a folder, and give its models."""
    with Repository(image) as repository:
        top = repository.manifest(image.version)
        manifest = repository.manifest(top.index().manifests[0].digest) if top.is_index else top
        for number, layer in enumerate(manifest.manifest().layers):
            packed = folder / f"{number}.tar"
            packed.write_bytes(b"".join(repository.read_blob(layer.digest)))
            with tarfile.open(packed) as tar:
                members = [member for member in tar if member.name.startswith("models")]
                filtered(tar).extractall(folder, members)
            packed.unlink()
    return folder / "models"
