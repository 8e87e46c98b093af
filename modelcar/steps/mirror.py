"""Copies an image from one registry to another as a stream: no disk, the same digests, only what is missing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from modelcar.attestation import bundle, signing
from modelcar.attestation.keys import SigningError
from modelcar.errors import CredentialsError, ModelcarError, RegistryError, RegistryUnwellError, WrongBytesError
from modelcar.image.tag_policy import check_tag
from modelcar.oci import referrers, spec
from modelcar.oci.parallel import WORKERS, run_together
from modelcar.oci.reference import Reference
from modelcar.oci.referrers import Attached
from modelcar.oci.registry import Repository, Stored
from modelcar.oci.transfer import copy_blob
from modelcar.oci.turns import Turns
from modelcar.progress import Progress, silent

MAX_MANIFESTS, MAX_DOCUMENT_BYTES = 256, 64 << 20
"""Bounds of an image. Docker's official images have some forty manifests, attestations included, of a few KiB each."""

_IMAGES_AT_ONCE = 4
"""Images whose attachments are carried at the same time: the manifest of one, of up to 4 MiB, is in memory for each."""


@dataclass(frozen=True)
class Mirrored:
    """Result of a mirror run.

    Attributes:
        image: The copy, pinned to its digest.
        copied_bytes: Bytes that were moved; what was already there is not counted.
        unchanged: Whether the tag held the image already, with all that is attached to it.
    """

    image: Reference
    copied_bytes: int
    unchanged: bool


def mirror(source: str, target: str, *, if_exists: str = "update") -> Mirrored:
    """Copies an image, with every platform it has and all that is attached to it, and compares the digests at the end.

    The target's tag is written last. Blobs that the target has are not moved again, so that a run that broke off goes
    on where it was and a run on an unchanged image moves nothing but what was attached to it since.

    Args:
        source: The image to copy, best with its digest: a tag is resolved once, at the start.
        target: Where to; a reference with a tag.
        if_exists: `update`, `replace` or `refuse` a tag that holds something else (modelcar.image.tag_policy).

    Raises:
        RegistryError: A registry is unreachable or refused.
        SigningError: The image is signed, and the target does not take its signatures.
        TagError: The tag holds something that may not be replaced.
        WrongBytesError: What arrived is not what was sent.
    """
    origin, destination = Reference.parse(source), Reference.parse_target(target)
    with Repository(origin) as pulled, Repository(destination, push=True) as pushed:
        # It may be named by SHA-512, which few registries know: the copy is named as all others are.
        top = replace(pulled.manifest(origin.version), named="")
        mirrored = destination.at(top.digest)
        is_there = _held(pushed, destination, top, if_exists) == top.digest
        manifests = _manifests(pulled, top)
        images = [*manifests, top] if top.is_index else manifests
        copied = 0
        if not is_there:
            copied = _copy_blobs(pulled, pushed, manifests)
            for image in images:
                _put(pushed, image)
        # To an image that is there already something may have been attached since: a signature with another key.
        with ThreadPoolExecutor(_IMAGES_AT_ONCE) as pool:
            carried = list(pool.map(lambda image: _attach(pulled, pushed, image), images))
        copied += sum(one.copied for one in carried)
        if is_there:
            print(f"{mirrored} is there already")
            return Mirrored(mirrored, copied, unchanged=not any(one.changed for one in carried))
        held = _held(pushed, destination, top, if_exists)
        if held != top.digest:
            pushed.put_tag(top, destination.version, held)
        return Mirrored(mirrored, copied, unchanged=False)


def _manifests(repository: Repository, top: Stored) -> list[Stored]:
    """Returns the manifests of all platforms. They are kept in memory, so there may be only so many.

    An index may name images that its registry does not have ("sparse", as oc-mirror makes them); these are passed over.
    """
    if not top.is_index:
        return [top]
    entries = top.index().manifests
    if len(entries) > MAX_MANIFESTS:
        raise RegistryError(f"{top.digest} names {len(entries)} manifests; at most {MAX_MANIFESTS} are copied")
    found: list[Stored] = []
    for entry in entries:
        stored = repository.find_manifest(entry.digest)
        if stored is None:
            print(f"{entry.digest}, which {top.digest} names, is not in {repository.reference.registry}", flush=True)
            continue
        found.append(stored)
        if sum(len(stored.content) for stored in found) > MAX_DOCUMENT_BYTES:
            raise RegistryError(f"the manifests that {top.digest} names are larger than {MAX_DOCUMENT_BYTES} bytes")
    if entries and not found:
        raise RegistryError(f"there is none of the images that {top.digest} names", "Check the source")
    return found


def _held(repository: Repository, destination: Reference, image: Stored, if_exists: str) -> str:
    """Returns the digest that the tag holds; if it is of another image, that one must be such as may be replaced."""
    held = repository.find_manifest(destination.version)
    if held is None or held.digest != image.digest:
        check_tag(destination, held, image.annotations(), if_exists)
    return held.digest if held else ""


def _put(repository: Repository, image: Stored) -> None:
    try:
        repository.put_manifest(image, image.digest)
    except CredentialsError:
        raise
    except RegistryError as error:
        bare = [entry for entry in image.index().manifests if not entry.has_platform] if image.is_index else []
        if not bare:
            raise
        raise RegistryError(
            f"{image.digest} names no platform for {len(bare)} of its images, and {repository.reference.registry} does "
            f"not take it: {error}",
            f"OpenShift's registry wants a platform for each: mirror one of its images by digest, @{bare[0].digest}",
        ) from None


def _attach(source: Repository, target: Repository, image: Stored) -> "_Carrying":
    """Carries what is attached to an image and is missing; gives what came of it.

    What the target does not take is named; if that leaves a signed image unsigned, it is an error.
    """
    carrying = _Carrying(source, target)
    try:
        referrers.put(target, image, carrying.carry(referrers.missing(target, image, carrying.found(image))))
    except RegistryError as error:
        carrying.note(error)
    wanted, tag = signing.signatures(source, image.digest), referrers.tag(image.digest, referrers.SIGNATURES)
    if carrying.trouble is None:
        signing.wait_until_shown(target, tag, lambda: wanted <= signing.signatures(target, image.digest))
        return carrying
    if not wanted <= signing.signatures(target, image.digest) or (carrying.is_signed and not wanted):
        raise SigningError(
            f"{image.digest} is signed, and its signatures cannot be brought to {target.reference.registry}: "
            f"{carrying.trouble}",
            "Choose a registry that takes them, or mirror an image that is not signed",
        )
    print(
        f"{target.reference.registry} does not take all of what is attached to {image.digest}: {carrying.trouble}",
        flush=True,
    )
    return carrying


class _Carrying:
    """Attachments on their way from one registry to another.

    Attributes:
        copied: Bytes that were moved.
        is_signed: Whether there are signatures among them.
        trouble: The first thing that went wrong with one of them; the others go on.
    """

    def __init__(self, source: Repository, target: Repository) -> None:
        self.copied = 0
        self.is_signed = False
        self.trouble: ModelcarError | None = None
        self._brought = False
        self._source = source
        self._target = target

    @property
    def changed(self) -> bool:
        """Tells whether the target holds more than before: blobs, or a manifest whose blobs it had."""
        return bool(self.copied) or (self._brought and self.trouble is None)

    def found(self, image: Stored) -> Iterator[Attached]:
        """Yields what is attached to an image at the source."""
        for one in referrers.each(self._source, image.digest):
            is_bundle = one.stored.manifest().artifact_type == bundle.MEDIA_TYPE
            self.is_signed = self.is_signed or is_bundle
            yield one

    def carry(self, attached: Iterator[Attached]) -> Iterator[Attached]:
        """Yields attachments whose blobs the target has now; one that lacks its own, as junk does, is passed over."""
        for one in attached:
            try:
                for blob in _blobs(one.stored.manifest()):
                    if not self._target.has_blob(blob.digest):
                        self.copied += copy_blob(blob, self._source.read_blob, self._source, self._target, silent)
            except (RegistryError, WrongBytesError) as error:
                self.note(error)
                continue
            self._brought = True
            yield one

    def note(self, error: ModelcarError) -> None:
        """Notes that something went wrong; a registry that answers nothing at all would not take the image either."""
        if isinstance(error, RegistryUnwellError) and not error.status:
            raise error
        self.trouble = self.trouble or error


def _copy_blobs(source: Repository, target: Repository, manifests: list[Stored]) -> int:
    blobs = {blob.digest: blob for stored in manifests for blob in _blobs(stored.manifest())}
    with ThreadPoolExecutor(WORKERS) as pool:
        there = pool.map(target.has_blob, blobs)
        missing = [blob for blob, has in zip(blobs.values(), there, strict=True) if not has]
    missing.sort(key=lambda blob: -blob.size)
    turns = Turns()
    for repository in (source, target):
        repository.on_pressure(turns.slow_down)
    with Progress("mirror", sum(blob.size for blob in missing)) as progress:

        def copy(blob: spec.Descriptor) -> int:
            with turns.prepare():
                return copy_blob(blob, source.read_blob, source, target, progress.advance, turns)

        return sum(run_together([partial(copy, blob) for blob in missing], progress.stop, [source, target]))


def _blobs(manifest: spec.Manifest) -> list[spec.Descriptor]:
    return [manifest.config, *manifest.layers]
