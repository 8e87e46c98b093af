"""Probe of a registry's abilities, with requests that leave nothing behind."""

from collections.abc import Callable

from modelcar.errors import ChunkedUploadError, RegistryError, UploadMovedError
from modelcar.oci import spec
from modelcar.oci.capabilities import Capabilities
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.oci.upload import Upload

_NOBODYS = f"sha256:{'0' * 64}"
"""A digest that nothing has."""

_TRIAL = b"{}"


def probe(repository: Repository) -> Capabilities:
    """Finds out how a registry takes blobs and lists referrers; what it was asked before is not asked again.

    An upload is begun, given two bytes and dropped.

    Args:
        repository: A repository of it that may be written to.

    Raises:
        CredentialsError: It may not.
        RegistryError: Any other reason why nothing can be written.
    """
    known = repository.capabilities
    known.scheme, known.storage = repository.scheme, repository.storage
    upload = repository.start_upload()
    try:
        if known.chunked is None:
            _send(upload)
    except ChunkedUploadError:
        known.chunked = False
    except RegistryError as error:
        # Any other answer than success or "not supported" may be another one with the first layer.
        print(f"{known.host} does not take bytes for trial: {error.what}", flush=True)
    finally:
        upload.cancel()
    if known.lists_referrers is None:
        repository.list_referrers(_NOBODYS)
    return known


def _send(upload: Upload) -> None:
    """Sends two bytes, to wherever the registry leads."""
    while True:
        try:
            return upload.send([_TRIAL], len(_TRIAL))
        except UploadMovedError:
            continue


def probe_by_writing(repository: Repository, tag: str) -> Capabilities:
    """Finds out what shows only when something is written: an image of a few bytes, which is removed again.

    Args:
        repository: A repository that may be written to.
        tag: The tag for it; must not be in use.

    Raises:
        RegistryError: It takes no image at all.
    """
    known = probe(repository)
    if repository.find_manifest(tag) is not None:
        raise RegistryError(f"the tag {tag} is in use in {repository.reference.repository}", "Choose another")
    first, second = (_image(number) for number in (1, 2))
    repository.put_small_blob(_TRIAL)
    repository.put_tag(first, tag)
    known.moves_tags = _is_taken(lambda: repository.put_tag(second, tag, first.digest))
    described = spec.describe(first.content, first.media_type)
    attached = first.manifest().model_copy(update={"subject": described, "artifact_type": "application/vnd.modelcar"})
    stored = Stored(attached.encoded(), spec.MANIFEST)
    known.takes_subject = _is_taken(lambda: repository.put_manifest(stored, stored.digest))
    digests = [stored.digest, second.digest, first.digest]
    known.deletes = all(_is_deleted(repository, digest) for digest in digests)
    if not known.deletes:
        _is_deleted(repository, tag)
    return known


def reference_of(text: str) -> tuple[str, Reference | None]:
    """Reads a registry's host, or a repository in one; returns the host, and the repository's reference if one is
    named.
    """
    bare = text.strip().removeprefix("https://").removeprefix("http://").removeprefix("docker://").rstrip("/")
    if "/" not in bare:
        return Reference.parse(f"{bare}/x").registry, None
    reference = Reference.parse(bare)
    return reference.registry, reference


def _image(number: int) -> Stored:
    config = spec.describe(_TRIAL, spec.EMPTY)
    annotations = {spec.TITLE: f"modelcar doctor {number}"}
    manifest = spec.Manifest(config=config, layers=[config], annotations=annotations)
    return Stored(manifest.encoded(), spec.MANIFEST)


def _is_taken(write: Callable[[], object]) -> bool:
    try:
        write()
    except RegistryError:
        return False
    return True


def _is_deleted(repository: Repository, version: str) -> bool:
    try:
        return repository.delete_manifest(version)
    except RegistryError:
        return False
