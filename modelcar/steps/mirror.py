"""Copies an image from one registry to another as a stream: no disk, the same digests, only what is missing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError, WrongBytesError
from modelcar.image.tag_policy import check_tag
from modelcar.oci import referrers, spec
from modelcar.oci.reference import Reference
from modelcar.oci.referrers import Attached
from modelcar.oci.registry import Repository, Stored
from modelcar.oci.transfer import PARALLEL, WORKERS, copy_blob
from modelcar.progress import Progress

MOST_MANIFESTS, LARGEST_DOCUMENTS = 256, 64 << 20
"""Of an image. Docker's official images have some forty manifests, attestations included, of a few KiB each."""


@dataclass(frozen=True)
class Mirrored:
    """Result of a mirror run.

    Attributes:
        image: The copy, pinned to its digest.
        copied_bytes: Bytes that were moved; what was already there is not counted.
    """

    image: Reference
    copied_bytes: int


def mirror(source: str, target: str, *, if_exists: str = "update") -> Mirrored:
    """Copies an image, with every platform it has and all that is attached to it, and compares the digests at the end.

    The target's tag is written last. Blobs that the target has are not moved again, so that a run that broke off goes
    on where it was and a run on an unchanged image moves nothing.

    Args:
        source: The image to copy, best with its digest: a tag is resolved once, at the start.
        target: Where to; a reference with a tag.
        if_exists: `update`, `replace` or `refuse` a tag that holds something else (modelcar.image.tag_policy).

    Raises:
        RegistryError: A registry is unreachable or refused.
        TagError: The tag holds something that may not be replaced.
        WrongBytesError: What arrived is not what was sent.
    """
    origin, goal = Reference.parse(source), Reference.parse_target(target)
    with Repository(origin) as pulled, Repository(goal, push=True) as pushed:
        top = pulled.manifest(origin.version)
        mirrored = goal.at(top.digest)
        if _is_there(pushed, goal, top, if_exists):
            print(f"{mirrored} is there already")
            return Mirrored(mirrored, 0)
        manifests = _manifests(pulled, top)
        images = [*manifests, top] if top.is_index else manifests
        with ThreadPoolExecutor(WORKERS) as pool:
            attached = list(pool.map(lambda image: referrers.find(pulled, image.digest), images))
        copied = _copy_blobs(pulled, pushed, [*manifests, *(one.stored for found in attached for one in found)])
        for image, found in zip(images, attached, strict=True):
            _put(pushed, image)
            _attach(pushed, image, found)
        if not _is_there(pushed, goal, top, if_exists):
            pushed.put_manifest(top, goal.version)
        arrived = pushed.manifest(goal.version).digest
        if arrived != top.digest:
            raise WrongBytesError(
                f"{goal} is {arrived} after the copy, not {top.digest}", "Did another run write this tag?"
            )
        return Mirrored(mirrored, copied)


def _manifests(repository: Repository, top: Stored) -> list[Stored]:
    """The manifests of all platforms. They are kept in memory, so there may be only so many."""
    if not top.is_index:
        return [top]
    entries = top.index().manifests
    if len(entries) > MOST_MANIFESTS:
        raise RegistryError(f"{top.digest} names {len(entries)} manifests; at most {MOST_MANIFESTS} are copied")
    found: list[Stored] = []
    for entry in entries:
        found.append(repository.manifest(entry.digest))
        if sum(len(stored.content) for stored in found) > LARGEST_DOCUMENTS:
            raise RegistryError(f"the manifests that {top.digest} names are larger than {LARGEST_DOCUMENTS} bytes")
    return found


def _is_there(repository: Repository, goal: Reference, image: Stored, if_exists: str) -> bool:
    """Tells whether the tag holds the image; if it holds another, that one must be such as may be replaced."""
    held = repository.find_manifest(goal.version)
    if held is not None and held.digest == image.digest:
        return True
    check_tag(goal, held, image.annotations(), if_exists)
    return False


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


def _attach(repository: Repository, image: Stored, attached: list[Attached]) -> None:
    try:
        referrers.put(repository, image, attached)
    except (CredentialsError, RegistryUnwellError):
        raise
    except RegistryError as error:
        print(f"{repository.reference.registry} takes none of what is attached to the image: {error}", flush=True)


def _copy_blobs(source: Repository, target: Repository, manifests: list[Stored]) -> int:
    blobs = {blob.digest: blob for stored in manifests for blob in _blobs(stored.manifest())}
    with ThreadPoolExecutor(WORKERS) as pool:
        there = pool.map(target.has_blob, blobs)
        missing = [blob for blob, has in zip(blobs.values(), there, strict=True) if not has]
    missing.sort(key=lambda blob: -blob.size)
    total = sum(blob.size for blob in missing)
    turn = threading.Semaphore(PARALLEL)
    with Progress("mirror", total) as progress, ThreadPoolExecutor(WORKERS) as pool:
        jobs = [
            pool.submit(copy_blob, blob, source.read_blob, source, target, progress.advance, turn) for blob in missing
        ]
        try:
            return sum(job.result() for job in jobs)
        except BaseException:
            progress.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _blobs(manifest: spec.Manifest) -> list[spec.Descriptor]:
    return [manifest.config, *manifest.layers]
