"""What a registry holds, read without any of the code that wrote it."""

import hashlib
from functools import lru_cache
from typing import Any

import requests

ACCEPT = ", ".join(f"application/vnd.{kind}+json" for kind in ("oci.image.index.v1", "oci.image.manifest.v1"))
_PIECE = 1 << 20


def digest_at(image: str) -> str:
    """The digest of what an image's tag or digest names, from its bytes; empty if there is nothing."""
    found = _get(image)
    return "sha256:" + hashlib.sha256(found.content).hexdigest() if found.ok else ""


def pulled_whole(image: str) -> str:
    """Pulls an image with all its platforms and layers, and compares every byte with the digests that name it.

    Args:
        image: `host/repository:tag` or `host/repository@digest`, of a registry on plain HTTP that lets everyone in.

    Returns:
        Its digest.

    Raises:
        AssertionError: A part is missing, or is not what its digest says.
    """
    host, repository, _ = _parts(image)
    top = _document(image)
    for entry in top.get("manifests") or [{"digest": digest_at(image)}]:
        manifest = _document(f"{host}/{repository}@{entry['digest']}")
        for blob in (manifest["config"], *manifest["layers"]):
            assert _blob_size(host, repository, blob["digest"]) == blob["size"], f"{blob} of {image}"
    return digest_at(image)


def manifests_of(image: str) -> list[str]:
    """Digests of the manifests of an image, one for each platform."""
    return [entry["digest"] for entry in _document(image).get("manifests", [])]


def layers_of(image: str) -> set[str]:
    """Digests of all layers of an image."""
    host, repository, _ = _parts(image)
    top = _document(image)
    manifests = [_document(f"{host}/{repository}@{entry['digest']}") for entry in top.get("manifests", [])] or [top]
    return {layer["digest"] for manifest in manifests for layer in manifest["layers"]}


def copy_within(host: str, source: str, repository: str, digest: str) -> None:
    """Gives an image to another repository of a registry, under the tag 1, without moving its blobs."""
    top = _get(f"{host}/{source}@{digest}")
    entries = [entry["digest"] for entry in top.json().get("manifests", [])]
    for manifest in (_get(f"{host}/{source}@{entry}") for entry in entries):
        for blob in (manifest.json()["config"], *manifest.json()["layers"]):
            query = {"mount": blob["digest"], "from": source}
            mounted = requests.post(f"http://{host}/v2/{repository}/blobs/uploads/", params=query, timeout=600)
            assert mounted.status_code == requests.codes.created, mounted.text
        _put(host, repository, "sha256:" + hashlib.sha256(manifest.content).hexdigest(), manifest)
    _put(host, repository, "1", top)


def _put(host: str, repository: str, version: str, manifest: requests.Response) -> None:
    headers = {"Content-Type": manifest.headers["Content-Type"]}
    url = f"http://{host}/v2/{repository}/manifests/{version}"
    requests.put(url, manifest.content, headers=headers, timeout=600).raise_for_status()


def _document(image: str) -> dict[str, Any]:
    found = _get(image)
    assert found.ok, f"{image}: {found.status_code}"
    version = _parts(image)[2]
    if version.startswith("sha256:"):
        assert "sha256:" + hashlib.sha256(found.content).hexdigest() == version, image
    return dict(found.json())


@lru_cache(4096)
def _blob_size(host: str, repository: str, digest: str) -> int:
    """How many bytes a blob has, each of which was read and hashed."""
    hasher, size = hashlib.sha256(), 0
    with requests.get(f"http://{host}/v2/{repository}/blobs/{digest}", stream=True, timeout=600) as answer:
        assert answer.ok, f"{repository} lacks {digest}: {answer.status_code}"
        for piece in answer.iter_content(_PIECE):
            hasher.update(piece)
            size += len(piece)
    assert "sha256:" + hasher.hexdigest() == digest, f"{repository} has other bytes under {digest}"
    return size


def _get(image: str) -> requests.Response:
    host, repository, version = _parts(image)
    return requests.get(f"http://{host}/v2/{repository}/manifests/{version}", headers={"Accept": ACCEPT}, timeout=600)


def _parts(image: str) -> tuple[str, str, str]:
    host, _, path = image.partition("/")
    separator = "@" if "@" in path else ":"
    repository, _, version = path.partition(separator)
    return host, repository, version
