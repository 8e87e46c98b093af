"""Requests to a registry for manifests and blobs, by the OCI distribution specification.

See https://github.com/opencontainers/distribution-spec.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from pydantic import ValidationError

from modelcar.errors import RegistryError, RegistryUnwellError, WrongBytesError
from modelcar.oci import error_format, spec
from modelcar.oci.connection import Connection, Scope
from modelcar.oci.reference import Reference
from modelcar.oci.upload import Upload
from modelcar.retries import retrying

CHUNK_BYTES = 1 << 20
LARGEST_MANIFEST = 4 << 20
"""Bytes. OpenShift's registry refuses a larger one; so does the distribution specification's advice."""

_MOST_PAGES = 100
_SMALL_AT_ONCE = 4
_UNKNOWN_PATH = frozenset({400, 404, 405, 406, 501})
"""What registries answer to the referrers' path when they do not know it."""

_NOT_THERE_YET = frozenset({"BLOB_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
"""What registries answer to a manifest whose blobs they do not see yet, though they took them.

docker-registry reads its own note of a blob while another upload of the same blob writes it; storage behind others is
consistent only after a while.
"""

LARGEST_SMALL_BLOB = 16 << 20
"""Bytes of a config, or another document that is read as a whole."""

_ACCEPT = {"Accept": ", ".join((*spec.INDEXES, *spec.MANIFESTS))}


Document = TypeVar("Document", spec.Manifest, spec.Index)


@dataclass(frozen=True)
class Stored:
    """A manifest or index as a registry keeps it: the very bytes, so that its digest survives a copy."""

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return spec.digest_of(self.content)

    @property
    def is_index(self) -> bool:
        """Tells whether this names a manifest for each platform."""
        return self.media_type in spec.INDEXES

    def manifest(self) -> spec.Manifest:
        """The image manifest.

        Raises:
            RegistryError: It is malformed, or none.
        """
        return self._read(spec.Manifest)

    def index(self) -> spec.Index:
        """The image index.

        Raises:
            RegistryError: It is malformed, or none.
        """
        return self._read(spec.Index)

    def _read(self, kind: type[Document]) -> Document:
        try:
            return kind.model_validate_json(self.content)
        except ValidationError as error:
            problem = error.errors()[0]
            raise RegistryError(
                f"{self.digest} is no {kind.__name__.lower()}: {problem['loc']}: {problem['msg']}"
            ) from None

    def annotations(self) -> dict[str, str]:
        """The annotations of either."""
        return (self.index().annotations if self.is_index else self.manifest().annotations) or {}


class Repository:
    """One repository of one registry. Safe to use from several threads.

    Args:
        reference: Any image in the repository.
        push: Whether anything will be written; asks for the permission to.
    """

    def __init__(self, reference: Reference, *, push: bool = False) -> None:
        self.reference = reference
        self._connection = Connection(reference.registry)
        self._scope = Scope(reference.repository, "pull,push" if push else "pull")

    @property
    def plain_http(self) -> bool:
        """Tells whether the registry speaks HTTP without TLS; only one on this machine is spoken to in that way."""
        return self._connection.origin.startswith("http://")

    def close(self) -> None:
        """Closes every connection."""
        self._connection.close()

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @retrying
    def find_manifest(self, version: str) -> Stored | None:
        """The manifest or index under a tag or digest; None if there is none.

        Raises:
            WrongBytesError: What came back is not what the digest says.
            RegistryUnwellError: It was altered on the way, each time.
        """
        path = self._path(f"manifests/{version}")
        response = self._connection.request("GET", path, self._scope, {200, 404}, headers=_ACCEPT, stream=True)
        with closing(response):
            if response.status_code == requests.codes.not_found:
                return None
            content = b"".join(_received(response, limit=LARGEST_MANIFEST))
        stored = Stored(content, response.headers.get("Content-Type", "").split(";")[0].strip())
        sent = response.headers.get("Docker-Content-Digest", stored.digest)
        if sent != stored.digest:
            raise RegistryUnwellError(
                f"{self._name(version)} came back as {stored.digest}, and was sent as {sent}",
                "Something on the way alters it: check proxies",
            )
        if version.startswith("sha256:") and stored.digest != version:
            raise WrongBytesError(f"{self._name(version)} came back as {stored.digest}", "The registry is damaged")
        return self._understood(stored, version)

    def manifest(self, version: str) -> Stored:
        """The manifest or index under a tag or digest.

        Raises:
            RegistryError: There is none.
        """
        stored = self.find_manifest(version)
        if stored is None:
            raise RegistryError(f"there is no image {self._name(version)}", "Check the repository and the tag")
        return stored

    @retrying
    def put_manifest(self, stored: Stored, version: str) -> bool:
        """Writes a manifest or index under a tag or digest. What it names must be there already.

        Returns:
            Whether the registry will list it among the referrers of its subject.
        """
        if len(stored.content) > LARGEST_MANIFEST:
            raise RegistryError(
                f"the manifest is {len(stored.content)} bytes; registries take {LARGEST_MANIFEST} at most"
            )
        path = self._path(f"manifests/{version}")
        headers = {"Content-Type": stored.media_type}
        answers = {201, 400, 404}
        written = self._connection.request("PUT", path, self._scope, answers, headers=headers, body=stored.content)
        if written.status_code != requests.codes.created and error_format.codes(written) & _NOT_THERE_YET:
            raise RegistryUnwellError(
                f"{self._name(version)} was refused ({error_format.words(written)}): "
                f"{self.reference.registry} is missing a blob that the manifest names",
                "It may have removed that meanwhile: run the same command again",
            )
        self._connection.checked(written, self._scope, {201})
        arrived = written.headers.get("Docker-Content-Digest", stored.digest)
        if arrived != stored.digest:
            raise RegistryUnwellError(f"{self._name(version)} was stored as {arrived}, not {stored.digest}")
        return "OCI-Subject" in written.headers

    def put_manifests(self, manifests: Iterable[Stored]) -> list[bool]:
        """Writes several at the same time, each under its digest; see put_manifest."""
        with ThreadPoolExecutor(_SMALL_AT_ONCE) as pool:
            return list(pool.map(lambda stored: self.put_manifest(stored, stored.digest), manifests))

    def list_referrers(self, digest: str) -> list[spec.Descriptor]:
        """Returns what names an image as its subject and the registry knows of; modelcar.oci.referrers finds all."""
        found: list[spec.Descriptor] = []
        path = self._path(f"referrers/{digest}")
        for _ in range(_MOST_PAGES):
            page = self._page_of_referrers(path)
            if page is None:
                break
            index, path = page
            found.extend(index.manifests)
            if not path:
                break
        return found

    @retrying
    def _page_of_referrers(self, path: str) -> tuple[spec.Index, str] | None:
        response = self._connection.request("GET", path, self._scope, {200, *_UNKNOWN_PATH}, stream=True)
        with closing(response):
            if response.status_code != requests.codes.ok:
                return None
            content = b"".join(_received(response, limit=LARGEST_MANIFEST))
        try:
            return spec.Index.model_validate_json(content), response.links.get("next", {}).get("url", "")
        except ValidationError:
            # Some registries answer each path that they do not know by a page.
            return None

    def has_blob(self, digest: str) -> bool:
        """Tells whether the registry keeps this blob in this repository, and can say so.

        docker-registry whose disk was full keeps an empty note of a blob and then answers 500 whenever it is asked for
        it, until the blob is written again.
        """
        try:
            response = self._connection.request("HEAD", self._path(f"blobs/{digest}"), self._scope, {200, 404})
        except RegistryUnwellError as error:
            if error.status != requests.codes.internal_server_error:
                raise
            return False
        return bool(response.status_code == requests.codes.ok)

    def read_blob(self, digest: str, offset: int = 0, limit: int | None = None) -> Iterator[bytes]:
        """A blob's bytes as they arrive, in chunks of at most 1 MiB. They are not checked against the digest.

        Args:
            digest: The blob's digest.
            offset: Where to begin.
            limit: The most bytes that are expected; None where the caller counts them.
        """
        path = self._path(f"blobs/{digest}")
        headers = {"Range": f"bytes={offset}-"} if offset else None
        response = self._connection.request("GET", path, self._scope, {200, 206}, headers=headers, stream=True)
        with closing(response):
            # A registry need not know ranges.
            skipped = offset if response.status_code == requests.codes.ok else 0
            for chunk in _received(response, limit):
                if len(chunk) > skipped:
                    yield chunk[skipped:]
                skipped -= min(skipped, len(chunk))

    @retrying
    def small_blob(self, digest: str) -> bytes:
        """A blob that fits into memory, such as a config, checked against its digest."""
        content = b"".join(self.read_blob(digest, limit=LARGEST_SMALL_BLOB))
        if spec.digest_of(content) != digest:
            raise WrongBytesError(f"blob {digest} of {self._name('')} came back with other bytes")
        return content

    @retrying
    def put_small_blob(self, content: bytes) -> None:
        """Writes a blob that fits into memory, unless it is there."""
        digest = spec.digest_of(content)
        if self.has_blob(digest):
            return
        upload = self.start_upload()
        try:
            upload.send_whole(content, digest)
        except BaseException:
            upload.cancel()
            raise

    def put_small_blobs(self, contents: Iterable[bytes]) -> None:
        """Writes several at the same time."""
        with ThreadPoolExecutor(_SMALL_AT_ONCE) as pool:
            # dict: the same bytes once, in their order.
            list(pool.map(self.put_small_blob, dict.fromkeys(contents)))

    def start_upload(self) -> Upload:
        """Starts to write a blob whose digest need not be known yet."""
        started = self._connection.request("POST", self._path("blobs/uploads/"), self._scope, {202})
        return Upload(self._connection, self._scope, _location(started))

    def check_push(self) -> None:
        """Sees whether we may write here: starts an upload and drops it, so that nothing is left behind.

        Raises:
            CredentialsError: The registry refuses the credentials, or there are none.
            RegistryError: Any other reason why nothing can be written.
        """
        self.start_upload().cancel()

    def mount_blob(self, digest: str, source_repository: str) -> bool:
        """Takes over a blob from another repository of the same registry without moving bytes, where it allows that."""
        path = self._path(f"blobs/uploads/?mount={digest}&from={source_repository}")
        try:
            scope = replace(self._scope, source=source_repository)
            response = self._connection.request("POST", path, scope, {201, 202})
        except RegistryError:
            # A registry need not mount, nor these credentials be good for both; copying shows what is wrong, if it is.
            return False
        if response.status_code == requests.codes.created:
            return True
        Upload(self._connection, self._scope, _location(response)).cancel()
        return False

    def delete_manifest(self, version: str) -> bool:
        """Removes a manifest by its digest or, where the registry can, a tag. False if it cannot."""
        path = self._path(f"manifests/{version}")
        response = self._connection.request("DELETE", path, self._scope, {200, 202, 400, 404, 405})
        return bool(response.status_code in (200, 202))

    def _path(self, rest: str) -> str:
        return f"/v2/{self.reference.repository}/{rest}"

    def _name(self, version: str) -> str:
        separator = "@" if version.startswith("sha256:") else ":"
        return f"{self.reference.registry}/{self.reference.repository}{separator}{version}"

    def _understood(self, stored: Stored, version: str) -> Stored:
        if stored.media_type not in (*spec.INDEXES, *spec.MANIFESTS):
            raise RegistryError(f"{self._name(version)} is no image, but {stored.media_type or 'untyped'}")
        try:
            stored.annotations()
        except RegistryError as error:
            raise RegistryError(f"{self._name(version)} is malformed: {error}") from None
        return stored


def _location(response: requests.Response) -> str:
    if "Location" not in response.headers:
        raise RegistryError(f"{urlsplit(response.url).netloc} began an upload without saying where (no Location)")
    return str(response.headers["Location"])


def _received(response: requests.Response, limit: int | None = None) -> Iterator[bytes]:
    """The body as it was sent. A body that ends early is an error that may pass."""
    seen = 0
    try:
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            seen += len(chunk)
            if limit is not None and seen > limit:
                raise RegistryError(f"{response.url} answers with more than {limit} bytes")
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise RegistryUnwellError(f"the connection to {response.url} broke after {seen} bytes: {error}") from None
