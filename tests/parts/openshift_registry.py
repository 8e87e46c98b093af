"""OpenShift's own registry, as far as it differs from others: its rules, bent around an ordinary registry.

OpenShift keeps images and tags as objects of its API (Image, ImageStream), which its registry asks for each manifest. A
manifest is there, for clients, only once a tag leads to it; an index must name a platform in every entry; nothing can
be deleted by an ordinary account; and a pruner removes what no tag reaches. The sources of each rule are named at
`Rules`; paths are of https://github.com/openshift/image-registry and https://github.com/openshift/openshift-apiserver.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPMessage

import requests

from tests.parts.fault_proxy import FaultProxy, Seen
from tests.parts.registries import Registry

_MANIFESTS, _REFERRERS = "/manifests/", "/referrers/"


@dataclass
class Rules:
    """What this registry does otherwise, and how it says so.

    Attributes:
        unseen: Status and code for a digest that no tag leads to (pkg/imagestream/imagestream.go:
            getStoredImageOfImageStream takes a digest only from the stream's tags, ResolveImageID).
        no_tag: Status and code for a tag that the image stream does not have (pkg/dockerregistry/server/tagservice.go).
        unknown_name: Status and code for a tag in a repository without an image stream
            (pkg/imagestream/util.go, wrapKStatusErrorOnGetImage; the stream is made by the first PUT of a manifest).
        no_platform: Status and code for an index one of whose entries lacks architecture or os
            (openshift-apiserver pkg/image/apiserver/registry/image/strategy.go calls ValidateImage, whose
            validation.go requires both in dockerImageManifests; the registry answers whatever the API server said as
            500 UNKNOWN, pkg/dockerregistry/server/manifestservice.go, Put).
        referrers: Status for the referrers' path, which the registry does not know.
        deletions: Statuses to DELETE, one after the other and then again from the first
            (pkg/dockerregistry/server/auth.go: `delete` asks for cluster-wide rights on images, else 401;
            distribution answers 405 where deletion is off; by tag 202, and the image stream keeps its tag).
        lag: How many look-ups of a tag still give what it led to before it was moved (none there; others have it).
    """

    unseen: tuple[int, str] = (404, "MANIFEST_UNKNOWN")
    no_tag: tuple[int, str] = (404, "MANIFEST_UNKNOWN")
    unknown_name: tuple[int, str] = (404, "NAME_UNKNOWN")
    no_platform: tuple[int, str] = (500, "UNKNOWN")
    referrers: int = 404
    deletions: tuple[int, ...] = (401,)
    lag: int = 0


@dataclass
class _Stream:
    """An image stream: what its tags led to, the newest last, and every manifest that was pushed into it."""

    tags: dict[str, list[str]] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)

    def entries(self, digest: str) -> list[str]:
        return [entry["digest"] for entry in _document(self.manifests.get(digest, b"")).get("manifests", [])]

    def reached(self, revisions: int | None = None) -> set[str]:
        """The manifests that tags lead to, by so many of their last revisions; by all of them, if None."""
        tops = {digest for history in self.tags.values() for digest in history[-(revisions or len(history)) :]}
        return tops | {entry for top in tops for entry in self.entries(top)}

    def blobs(self, digests: set[str]) -> set[str]:
        documents = [_document(self.manifests[digest]) for digest in digests if digest in self.manifests]
        blobs = [blob for one in documents for blob in [*one.get("layers", []), one.get("config") or {}]]
        return {blob["digest"] for blob in blobs if blob}


class OpenShiftRegistry(FaultProxy):
    """A registry with OpenShift's rules, from entry to exit of its context; it can be broken as a FaultProxy can.

    Args:
        registry: Keeps blobs and manifests. Nothing else may write to it.
        rules: What it does otherwise.
    """

    def __init__(self, registry: Registry, rules: Rules | None = None) -> None:
        super().__init__(registry.host)
        self.rules = rules or Rules()
        self.refused: list[str] = []
        self._url = registry.url
        self._streams: dict[str, _Stream] = {}
        self._deletions = 0
        self._stale: dict[tuple[str, str], int] = {}
        self._guard = threading.RLock()

    def tags(self, repository: str) -> dict[str, str]:
        """The digest that each tag of a repository leads to."""
        with self._guard:
            stream = self._streams.get(repository, _Stream())
            return {tag: history[-1] for tag, history in stream.tags.items()}

    def prune(self, revisions: int = 1) -> set[str]:
        """Removes what no tag reaches, and blobs that only such manifests name, as the nightly pruner does.

        It is stricter than `oc adm prune images` is by default: nothing is too young, and of each tag only the newest
        revisions count (there three, from 60 minutes on).

        Args:
            revisions: How many revisions of each tag are kept.

        Returns:
            The digests of the manifests that are gone.
        """
        gone: set[str] = set()
        with self._guard:
            for name, stream in self._streams.items():
                stream.tags = {tag: history[-revisions:] for tag, history in stream.tags.items()}
                kept = stream.reached()
                removed = set(stream.manifests) - kept
                for kind, digests in (("manifests", removed), ("blobs", stream.blobs(removed) - stream.blobs(kept))):
                    for digest in digests:
                        requests.delete(f"{self._url}/v2/{name}/{kind}/{digest}", timeout=600)
                stream.manifests = {digest: stream.manifests[digest] for digest in kept & set(stream.manifests)}
                gone |= removed
        return gone

    def answer_itself(self, request: Seen, headers: HTTPMessage, body: Iterator[bytes]) -> bytes | None:
        """Answers what concerns manifests by the rules; the rest is the registry's."""
        path = request.path.partition("?")[0].removeprefix("/v2/")
        if _REFERRERS in path:
            return _answer(self.rules.referrers, body=b"404 page not found\n")
        name, found, version = path.partition(_MANIFESTS)
        if not found:
            return None
        content = b"".join(body)
        if request.method == "DELETE":
            return self._deleted()
        if request.method == "PUT":
            return self._put(name, version, content, headers)
        return self._looked_up(request.method, name, version, headers)

    def _deleted(self) -> bytes:
        with self._guard:
            status = self.rules.deletions[self._deletions % len(self.rules.deletions)]
            self._deletions += 1
        return _answer(status, "UNAUTHORIZED" if status == HTTPStatus.UNAUTHORIZED else "UNSUPPORTED")

    def _put(self, name: str, version: str, content: bytes, headers: HTTPMessage) -> bytes:
        if any(not _has_platform(entry) for entry in _document(content).get("manifests", [])):
            self.refused.append(f"{name}:{version}")
            return _answer(*self.rules.no_platform)
        sent = {"Content-Type": headers.get("Content-Type", "")}
        written = requests.put(f"{self._url}/v2/{name}/manifests/{version}", content, headers=sent, timeout=600)
        if written.ok:
            digest = written.headers["Docker-Content-Digest"]
            with self._guard:
                stream = self._streams.setdefault(name, _Stream())
                stream.manifests[digest] = content
                if not version.startswith("sha256:"):
                    history = stream.tags.setdefault(version, [])
                    self._stale[name, version] = self.rules.lag if history[-1:] != [digest] else 0
                    stream.tags[version] = [*(one for one in history if one != digest), digest]
        return _passed_on(written)

    def _looked_up(self, method: str, name: str, version: str, headers: HTTPMessage) -> bytes:
        with self._guard:
            stream = self._streams.get(name)
            if stream is None:
                return _answer(*self.rules.unknown_name)
            digest = version if version.startswith("sha256:") else self._resolved(name, version)
            if not digest:
                return _answer(*self.rules.no_tag)
            if digest not in stream.reached():
                return _answer(*self.rules.unseen)
        sent = {"Accept": headers.get("Accept", "")}
        url = f"{self._url}/v2/{name}/manifests/{digest}"
        return _passed_on(requests.request(method, url, headers=sent, timeout=600))

    def _resolved(self, name: str, tag: str) -> str:
        history = self._streams[name].tags.get(tag, [])
        if self._stale.get((name, tag), 0) > 0:
            self._stale[name, tag] -= 1
            history = history[:-1]
        return history[-1] if history else ""


def _has_platform(entry: Mapping[str, object]) -> bool:
    platform = entry.get("platform")
    return isinstance(platform, dict) and bool(platform.get("architecture")) and bool(platform.get("os"))


def _document(content: bytes) -> dict[str, list[dict[str, str]]]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _answer(status: int, code: str = "", body: bytes = b"") -> bytes:
    said = body or json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
    content = b"" if status == HTTPStatus.ACCEPTED else said
    lines = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    return _message(status, lines, content)


def _passed_on(response: requests.Response) -> bytes:
    kept = ("Content-Type", "Docker-Content-Digest")
    lines = {name: response.headers[name] for name in kept if name in response.headers}
    lines["Content-Length"] = response.headers.get("Content-Length", str(len(response.content)))
    return _message(response.status_code, lines, response.content)


def _message(status: int, headers: Mapping[str, str], content: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content
