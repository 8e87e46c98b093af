"""Images as somebody makes them who may push to a repository and has no key: plain JSON and plain requests."""

import copy
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
SECONDS = 30
FILES = "io.modelcar.files"

Json = dict[str, Any]


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def encoded(document: Json) -> bytes:
    """Writes JSON as the images under attack have it: compact, as it is."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Place:
    """A repository of a registry that lets everyone in."""

    host: str
    name: str

    def url(self, rest: str) -> str:
        return f"http://{self.host}/v2/{self.name}/{rest}"

    def blob(self, digest: str) -> bytes:
        return self._checked(requests.get(self.url(f"blobs/{digest}"), timeout=SECONDS)).content

    def manifest(self, version: str) -> bytes:
        headers = {"Accept": f"{INDEX}, {MANIFEST}"}
        return self._checked(requests.get(self.url(f"manifests/{version}"), headers=headers, timeout=SECONDS)).content

    def put_blob(self, content: bytes) -> str:
        digest = digest_of(content)
        if requests.head(self.url(f"blobs/{digest}"), timeout=SECONDS).status_code != requests.codes.ok:
            start = self._checked(requests.post(self.url("blobs/uploads/"), timeout=SECONDS))
            place = start.headers["Location"]
            place += f"{'&' if '?' in place else '?'}digest={digest}"
            self._checked(requests.put(place, data=content, timeout=SECONDS))
        return digest

    def put_manifest(self, content: bytes, version: str = "", media_type: str = "") -> str:
        kind = media_type or json.loads(content)["mediaType"]
        version = version or digest_of(content)
        url, headers = self.url(f"manifests/{version}"), {"Content-Type": kind}
        self._checked(requests.put(url, data=content, headers=headers, timeout=SECONDS))
        return digest_of(content)

    def delete(self, version: str) -> None:
        requests.delete(self.url(f"manifests/{version}"), timeout=SECONDS)

    def _checked(self, response: requests.Response) -> requests.Response:
        assert response.ok, f"{response.request.method} {response.url}: {response.status_code} {response.text}"
        return response


@dataclass
class Forgery:
    """An image taken apart, to be changed and put together again.

    Attributes:
        index: The index; its entries' digests are put right when it is pushed.
        manifests: The manifest of each platform; their configs' digests likewise.
        configs: The config of each platform.
        blobs: Blobs to push with it.
    """

    index: Json
    manifests: list[Json]
    configs: list[Json]
    blobs: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, place: Place, version: str) -> "Forgery":
        index = json.loads(place.manifest(version))
        manifests = [json.loads(place.manifest(entry["digest"])) for entry in index["manifests"]]
        configs = [json.loads(place.blob(manifest["config"]["digest"])) for manifest in manifests]
        return cls(index, manifests, configs)

    def copy(self) -> "Forgery":
        return copy.deepcopy(self)

    def push(self, place: Place, tag: str) -> str:
        """Pushes it; gives its digest."""
        for content in self.blobs:
            place.put_blob(content)
        for manifest, config, entry in zip(self.manifests, self.configs, self.index["manifests"], strict=False):
            content = encoded(config)
            place.put_blob(content)
            manifest["config"] |= {"digest": digest_of(content), "size": len(content)}
            document = encoded(manifest)
            place.put_manifest(document)
            entry |= {"digest": digest_of(document), "size": len(document)}
        return place.put_manifest(encoded(self.index), tag)

    def model_layers(self) -> list[int]:
        """Where in the manifests the model's layers are."""
        return [at for at, layer in enumerate(self.manifests[0]["layers"]) if FILES in layer.get("annotations", {})]

    def each(self, change: Callable[[Json, Json], None]) -> None:
        """Changes the manifest and the config of each platform."""
        for manifest, config in zip(self.manifests, self.configs, strict=True):
            change(manifest, config)

    def replace_layer(self, at: int, content: bytes, annotations: Json | None = None) -> None:
        """Puts other bytes in place of a layer, with its annotations or others."""
        self.blobs.append(content)

        def change(manifest: Json, config: Json) -> None:
            layer = manifest["layers"][at]
            layer |= {"digest": digest_of(content), "size": len(content)}
            if annotations is not None:
                layer["annotations"] = annotations
            config["rootfs"]["diff_ids"][at] = digest_of(content)

        self.each(change)

    def add_layer(self, content: bytes, annotations: Json | None = None, at: int | None = None) -> None:
        """Adds a layer, on top or somewhere else, with its history."""
        self.blobs.append(content)
        layer = {"mediaType": LAYER, "digest": digest_of(content), "size": len(content)}
        layer |= {"annotations": annotations} if annotations else {}

        def change(manifest: Json, config: Json) -> None:
            place = len(manifest["layers"]) if at is None else at
            manifest["layers"].insert(place, dict(layer))
            config["rootfs"]["diff_ids"].insert(place, digest_of(content))
            config["history"].append(dict(config["history"][-1]))

        self.each(change)

    def say(self, name: str, value: str | None) -> None:
        """Changes an annotation wherever it stands: index, manifests and labels."""
        said = [self.index["annotations"]]
        said += [manifest["annotations"] for manifest in self.manifests]
        said += [config["config"]["Labels"] for config in self.configs]
        for one in said:
            if value is None:
                one.pop(name, None)
            else:
                one[name] = value


@dataclass(frozen=True)
class Member:
    """A member of a tar file, of any kind."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o664
    link: str = ""
    uid: int = 0
    mtime: int = 0


def tar_of(*members: Member, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Writes a tar file as any tool does: two empty blocks at its end and no more."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.mode, info.size = member.kind, member.mode, len(member.content)
            info.linkname, info.uid, info.mtime = member.link, member.uid, member.mtime
            tar.addfile(info, io.BytesIO(member.content))
    written = out.getvalue()
    return written[: len(written.rstrip(b"\0")) + -len(written.rstrip(b"\0")) % 512] + bytes(1024)


def directory(name: str) -> Member:
    return Member(name, kind=tarfile.DIRTYPE, mode=0o775)
