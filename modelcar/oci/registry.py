"""Requests to a registry for manifests and blobs, by the OCI distribution specification.

See https://github.com/opencontainers/distribution-spec.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace

import requests

from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError, UnsoundImageError, WrongBytesError
from modelcar.oci import error_format, spec, status
from modelcar.oci.body import MAX_MANIFEST_BYTES, begins_at, received
from modelcar.oci.capabilities import Capabilities, capabilities_of
from modelcar.oci.connection import Connection, Scope
from modelcar.oci.listing import ReferrersApi
from modelcar.oci.mount import ask_to_mount
from modelcar.oci.presence import has_first_byte
from modelcar.oci.reference import Reference
from modelcar.oci.stored import Stored as Stored
from modelcar.oci.stored import media_type_of, understood
from modelcar.oci.upload import Upload
from modelcar.retries import pause, retrying

MAX_SMALL_BLOB_BYTES = 16 << 20
"""Size of a config, or of another document that is read as a whole."""

VISIBLE_SECONDS = 120.0
"""Time that a tag that was written may be seen as it was before: Azure's replicas need seconds, up to a minute."""

_OTHERS_SECONDS = 5.0
"""Time that one that another run may have written is looked at."""

_SMALL_AT_ONCE = 4
_MAX_PAUSE_SECONDS = 15.0
_NOT_THERE_YET = frozenset({"BLOB_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
"""Errors with which registries answer to a manifest whose blobs they do not see yet, though they took them.

docker-registry reads its own note of a blob while another upload of the same blob writes it; storage behind others is
consistent only after a while.
"""

_ACCEPT = {"Accept": ", ".join((*spec.INDEXES, *spec.MANIFESTS))}


class Repository:
    """One repository of one registry. Safe to use from several threads.

    Args:
        reference: Any image in the repository.
        push: Whether anything will be written; asks for the permission to.
    """

    def __init__(self, reference: Reference, *, push: bool = False) -> None:
        self.reference = reference
        self.capabilities: Capabilities = capabilities_of(reference.registry)
        self._connection = Connection(reference.registry, reference.repository)
        self._scope = Scope(reference.repository, "pull,push" if push else "pull")
        self._referrers = ReferrersApi(self._connection, self._scope, self.capabilities)
        self._push = push
        self._has_access = False
        self._written_tags: dict[str, str] = {}

    @property
    def plain_http(self) -> bool:
        """Tells whether the registry speaks HTTP without TLS: one on this machine, or one that is named insecure."""
        return self._connection.origin.startswith("http://")

    @property
    def is_insecure(self) -> bool:
        """Tells whether nothing proves that it is the registry that was meant: no TLS, or a certificate that is not
        checked.
        """
        return self.plain_http or not self._connection.certificate_is_checked

    @property
    def scheme(self) -> str:
        """Returns how the registry is spoken to, in words; empty for TLS with a certificate that was checked."""
        named = self._connection.settings.insecure_source
        if self.plain_http:
            return f"plain HTTP, named insecure in {named}" if named else "plain HTTP on this machine"
        return f"TLS with a certificate that nobody checks, named insecure in {named}" if self.is_insecure else ""

    @property
    def storage(self) -> str:
        """Returns what was said of its storage on purpose, in words; empty for nothing."""
        named = self._connection.settings.private_storage_source
        return f"storage within this network, named in {named}" if named else ""

    def on_pressure(self, tell: Callable[[], None]) -> None:
        """Has somebody told when the registry answers that it is asked too much, or does not answer in time."""
        self._connection.on_pressure = tell

    def close(self, *, for_good: bool = True) -> None:
        """Closes every connection, also those on which somebody waits; others may follow, unless it is for good."""
        self._connection.close(for_good=for_good)

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find_manifest(self, version: str) -> Stored | None:
        """Returns the manifest or index under a tag or digest; None if there is none.

        A registry that refuses to show it, but lets us do other things in the repository, has none: Artifactory answers
        so. Whatever else it answers, it has none if it says so when it is asked for the head alone.

        Raises:
            WrongBytesError: What came back is not what the digest says.
            RegistryUnwellError: It was altered on the way, each time.
        """
        try:
            return self._read_manifest(version)
        except RegistryError as error:
            if not (self._may_do_other_things(error) or (error.status and self._is_absent(version))):
                raise
            return None

    def _is_absent(self, version: str) -> bool:
        try:
            path = self._path(f"manifests/{version}")
            return self._connection.send("HEAD", path, self._scope, headers=_ACCEPT).status_code in status.ABSENT
        except RegistryError:
            return False

    def manifest(self, version: str) -> Stored:
        """Returns the manifest or index under a tag or digest.

        Raises:
            RegistryError: There is none, or it is refused.
        """
        stored = self._read_manifest(version)
        if stored is None:
            raise UnsoundImageError(f"there is no image {self._name(version)}", "Check the repository and the tag")
        return stored

    @retrying
    def _read_manifest(self, version: str) -> Stored | None:
        path = self._path(f"manifests/{version}")
        expect = status.SUCCESS | status.ABSENT
        response = self._connection.request("GET", path, self._scope, expect, headers=_ACCEPT, stream=True)
        with closing(response):
            if response.status_code in status.ABSENT:
                return None
            content = b"".join(received(response, MAX_MANIFEST_BYTES, unzipped=True))
        self._has_access = True
        if not content:
            error = RegistryUnwellError(f"{self._name(version)} came back empty ({response.status_code})")
            error.status = response.status_code
            raise error
        media_type = media_type_of(response.headers.get("Content-Type", ""), content)
        stored = Stored(content, media_type, version if version.startswith("sha512:") else "")
        if spec.is_digest(version) and not spec.is_digest_of(version, content):
            raise WrongBytesError(
                f"{self._name(version)} came back as {spec.digest_of(content)}", "The registry is damaged"
            )
        sent = response.headers.get("Docker-Content-Digest", "").lower()
        if not spec.is_digest(version) and spec.contradicts(sent, content) and not self._keeps(content):
            raise RegistryUnwellError(
                f"{self._name(version)} came back as {stored.digest}, and was sent as {sent}",
                "Something on the way alters it: check proxies",
            )
        return understood(stored, self._name(version))

    @retrying
    def put_manifest(self, stored: Stored, version: str) -> bool:
        """Writes a manifest or index under a tag or digest. What it names must be there already.

        Returns:
            Whether the registry will list it among the referrers of its subject.
        """
        if len(stored.content) > MAX_MANIFEST_BYTES:
            raise RegistryError(
                f"the manifest is {len(stored.content)} bytes; registries take {MAX_MANIFEST_BYTES} at most"
            )
        path = self._path(f"manifests/{version}")
        headers = {"Content-Type": stored.media_type}
        answers = status.NO_REFUSAL | {400, 404}
        written = self._connection.request("PUT", path, self._scope, answers, headers=headers, body=stored.content)
        if written.status_code not in status.SUCCESS and error_format.codes(written) & _NOT_THERE_YET:
            error = RegistryUnwellError(
                f"{self._name(version)} was refused ({error_format.server_message(written)}): "
                f"{self.reference.registry} is missing a blob that the manifest names",
                "It may have removed that meanwhile: run the same command again",
            )
            error.status = written.status_code
            raise error
        is_plain = written.status_code in status.SUCCESS or written.status_code not in status.NO_REFUSAL
        if is_plain or not self._keeps(stored.content):
            self._connection.checked(written, self._scope, status.SUCCESS)
        arrived = written.headers.get("Docker-Content-Digest", "").lower()
        if spec.contradicts(arrived, stored.content) and not self._keeps(stored.content):
            raise RegistryUnwellError(f"{self._name(version)} was stored as {arrived}, not {stored.digest}")
        self._has_access = True
        self._written_tags[version] = stored.digest
        return "OCI-Subject" in written.headers

    def _keeps(self, content: bytes) -> bool:
        """Tells whether the registry gives a manifest under the digest that its bytes have, whatever else it says."""
        path = self._path(f"manifests/{spec.digest_of(content)}")
        response = self._connection.send("GET", path, self._scope, headers=_ACCEPT, stream=True)
        with closing(response):
            same = response.status_code in status.SUCCESS
            return same and b"".join(received(response, MAX_MANIFEST_BYTES, unzipped=True)) == content

    def put_tag(self, stored: Stored, tag: str, before: str = "") -> None:
        """Writes a manifest or index under a tag, and sees to it that the tag is seen to hold it.

        Args:
            stored: What to write.
            tag: The tag.
            before: The digest that it held, if it held any: some registries show that for a while.

        Raises:
            WrongBytesError: The tag holds something else.
        """
        try:
            self.put_manifest(stored, tag)
        except RegistryError as error:
            # Where the answer to a first try was lost, a tag that cannot be written twice refuses the next one.
            if error.status not in status.LOST | status.REFUSED or self._held(tag) != stored.digest:
                raise
        waited, wait = 0.0, 0.25
        while (held := self._held(tag)) != stored.digest:
            foreign = held not in ("", before)
            if waited >= (_OTHERS_SECONDS if foreign else VISIBLE_SECONDS):
                shown = held or "not there"
                why = "Did another run write this tag?" if foreign else "It took the tag: look again in some minutes"
                raise WrongBytesError(f"{self._name(tag)} is {shown}, not {stored.digest}", why)
            waited += pause(wait)
            wait = min(2 * wait, _MAX_PAUSE_SECONDS)

    def _held(self, tag: str) -> str:
        """Returns the digest that a tag is seen to hold; what we may write and not read holds what we wrote."""
        try:
            stored = self._read_manifest(tag)
        except CredentialsError:
            return self._written_tags.get(tag, "")
        return stored.digest if stored else ""

    def put_manifests(self, manifests: Iterable[Stored]) -> list[bool]:
        """Writes several at the same time, each under its digest; see put_manifest."""
        with ThreadPoolExecutor(_SMALL_AT_ONCE) as pool:
            return list(pool.map(lambda stored: self.put_manifest(stored, stored.digest), manifests))

    def list_referrers(self, digest: str) -> list[spec.Descriptor]:
        """Returns what names an image as its subject, as far as the registry knows itself; see oci/referrers.py."""
        return self._referrers.of(digest)

    def has_blob(self, digest: str) -> bool:
        """Tells whether the registry keeps this blob in this repository, and can say so.

        docker-registry whose disk was full keeps an empty note of a blob and then answers 500 whenever it is asked for
        it, until the blob is written again.
        """
        path = self._path(f"blobs/{digest}")
        try:
            response = self._connection.request("HEAD", path, self._scope, status.SUCCESS | status.ABSENT)
            self._has_access = True
            return response.status_code in status.SUCCESS
        except RegistryUnwellError as error:
            if error.status != requests.codes.internal_server_error:
                raise
            return False
        except CredentialsError as refusal:
            if not self._may_do_other_things(refusal):
                raise
        except RegistryError as error:
            # Its storage refuses a HEAD whose link is signed for GET.
            if error.status not in status.LOST | status.NOT_SUPPORTED | status.REFUSED:
                raise
        return has_first_byte(self._connection, self._scope, path)

    def read_blob(self, digest: str, offset: int = 0, limit: int | None = None) -> Iterator[bytes]:
        """Reads a blob's bytes as they arrive, in chunks of at most 1 MiB. They are not checked against the digest.

        Args:
            digest: The blob's digest.
            offset: Where to begin.
            limit: The most bytes that are expected; None where the caller counts them.

        Raises:
            UnsoundImageError: The registry does not have it.
        """
        path = self._path(f"blobs/{digest}")
        headers = {"Range": f"bytes={offset}-"} if offset else None
        answers = status.SUCCESS | status.ABSENT | {206, 416}
        response = self._connection.request("GET", path, self._scope, answers, headers=headers, stream=True)
        with closing(response):
            if response.status_code in status.ABSENT:
                kind = RegistryUnwellError if self.has_blob(digest) else UnsoundImageError
                error = kind(self._connection.failure(response, self._scope).what)
                error.status = response.status_code
                raise error
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                # The connection broke after the very last byte.
                if response.headers.get("Content-Range", "").rpartition("/")[2] == str(offset):
                    return
                raise self._connection.failure(response, self._scope)
            skipped = offset - begins_at(response)
            if skipped < 0:
                raise RegistryError(f"{self.reference.registry} sent another part of {digest} than was asked for")
            self._has_access = True
            for chunk in received(response, limit):
                if len(chunk) > skipped:
                    yield chunk[skipped:]
                skipped -= min(skipped, len(chunk))

    @retrying
    def small_blob(self, digest: str) -> bytes:
        """Returns a blob that fits into memory, such as a config, checked against its digest."""
        content = b"".join(self.read_blob(digest, limit=MAX_SMALL_BLOB_BYTES))
        if not spec.is_digest_of(digest, content):
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
        path = self._path("blobs/uploads/")
        try:
            started = self._connection.request("POST", path, self._scope, status.SUCCESS)
        except RegistryError as error:
            if error.status in status.ABSENT and not isinstance(error, CredentialsError):
                error.remedy = error.remedy or f"Create the repository {self.reference.repository} there first"
            raise
        self._has_access = True
        least = started.headers.get("OCI-Chunk-Min-Length", "")
        if least.isascii() and least.isdecimal():
            self.capabilities.min_chunk = int(least[:12])
        location = self._connection.location(started)
        return Upload(self._connection, self._scope, location, self.capabilities)

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
        scope = replace(self._scope, source=source_repository)
        mounted = False
        if ask_to_mount(self._connection, scope, self.capabilities, path, digest):
            with suppress(RegistryError):
                mounted = self.has_blob(digest)
        self.capabilities.mounts = mounted or bool(self.capabilities.mounts)
        return mounted

    def delete_manifest(self, version: str) -> bool:
        """Removes a manifest by its digest or, where the registry can, a tag. False if it cannot."""
        path = self._path(f"manifests/{version}")
        answers = status.SUCCESS | status.ABSENT | status.NOT_SUPPORTED | {400}
        response = self._connection.request("DELETE", path, self._scope, answers)
        return response.status_code in status.SUCCESS

    def _may_do_other_things(self, refusal: RegistryError) -> bool:
        """Tells whether we are let in, so that a refusal says no more than that something is not there."""
        if not isinstance(refusal, CredentialsError) or refusal.status not in status.REFUSED:
            return False
        # A password that was refused is not tried again for it: that locks accounts.
        may_ask = refusal.status == requests.codes.forbidden or self._connection.login.scheme != "basic"
        if may_ask and self._push and not self._has_access:
            with suppress(RegistryError):
                self.check_push()
        return self._has_access

    def _path(self, rest: str) -> str:
        return f"/v2/{self.reference.repository}/{rest}"

    def _name(self, version: str) -> str:
        separator = "@" if spec.is_digest(version) else ":"
        return f"{self.reference.registry}/{self.reference.repository}{separator}{version}"
