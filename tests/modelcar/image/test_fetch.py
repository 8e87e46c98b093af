"""Images of ours as KServe's `oci+fetch://` reads them: with oras-py, layer by layer, into a server's folder.

Written after kserve/kserve, python/storage/kserve_storage/kserve_storage.py (`_download_oci`, August 2026).
"""

import tarfile
from pathlib import Path

import oras.client
import pytest

from tests.parts.base_images import push_base_image
from tests.parts.filtered_tar import filtered
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import stream

MODES = {
    "application/vnd.oci.image.layer.v1.tar+gzip": "r|gz",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "r|gz",
    "application/vnd.oci.image.layer.v1.tar": "r|",
}
INDEX = "application/vnd.oci.image.index.v1+json"


def fetch(image: str, folder: Path, architecture: str) -> None:
    """Fetches the model out of an image into a folder."""
    reader = oras.client.OrasClient(insecure=True)
    manifest = reader.get_manifest(image)
    if manifest["mediaType"] == INDEX:
        platform = {"os": "linux", "architecture": architecture}
        entry = next(one for one in manifest["manifests"] if one["platform"].items() >= platform.items())
        image = f"{image.partition('@')[0]}@{entry['digest']}"
        manifest = reader.get_manifest(image)
    folder.mkdir()
    for layer in manifest["layers"]:
        with reader.get_blob(image, layer["digest"], stream=True) as answer:
            answer.raise_for_status()
            with tarfile.open(fileobj=answer.raw, mode=MODES[layer["mediaType"]]) as tar:
                for member in tar:
                    if member.name.startswith("models/"):
                        member.name = member.name.removeprefix("models/").rstrip("/")
                        filtered(tar).extract(member, folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize("base", ["default", "modelcar-base-image"])
def test_fetched_bytes_are_the_published_ones(
    base: str, architecture: str, hub: Hub, plain_registry: Registry, tmp_path: Path
) -> None:
    published = {
        "config.json": b"{}",
        "model.safetensors": b"\x08\0\0\0\0\0\0\0{}      ",
        f"onnx/{'deep/' * 20}{'long' * 30}.json": b"[]",
    }
    hub.publish("example/fetched", published)
    name = "" if base == "default" else push_base_image(plain_registry, "fetched/base:1", tmp_path)
    image = stream("example/fetched", f"{plain_registry.host}/fetched/{base}:1", base_image=name, everything=True).image

    fetch(f"{plain_registry.host}/fetched/{base}:1", tmp_path / "models", architecture)

    assert image.digest
    assert contents(tmp_path / "models") == published
