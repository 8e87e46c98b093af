"""The signatures of an image, in each form that others check, and the proof that the registry has them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Any

from modelcar.attestation import bundle, cosign, dsse, model_signing
from modelcar.attestation.dsse import Signed
from modelcar.attestation.keyless import Identity, Keyless
from modelcar.attestation.keys import PublicKey, SigningError
from modelcar.attestation.provenance import Statement
from modelcar.attestation.signer import Checker, Signer
from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError, WrongBytesError
from modelcar.hub.snapshot import Snapshot
from modelcar.oci import referrers, spec
from modelcar.oci.referrers import Attachment
from modelcar.oci.registry import MAX_SMALL_BLOB_BYTES, Repository, Stored

SHOWN_SECONDS = 30.0
"""Time that a registry may take to show a tag that it took. Azure's shows some only seconds later (Azure/acr#880)."""

MAX_BUNDLES = 1000
"""Bundles of an image that are looked through for one's own; anybody who may push may attach them."""

_BUNDLE = bundle.MEDIA_TYPE
_LOOK_AGAIN_SECONDS = 1.0
_IMAGES_AT_ONCE = 4


def sign(repository: Repository, images: Sequence[Stored], documents: Sequence[Attachment], key: Signer) -> None:
    """Signs an image, and attaches signed documents to it. What is attached already stays as it is.

    The same image has the same signatures with the same key (modelcar.attestation.keys), so nobody has to be asked
    whether it is signed: what is not there is written. Without a key each signature is another, so those that are there
    are looked at. The image of each platform is signed as well, as by `cosign sign --recursive`: podman and CRI-O look
    for a signature of the one that they pull, not of the index over it.

    Args:
        repository: Where the image is.
        images: The manifests of its platforms and, last, what its tag leads to; just written, or computed anew.
        documents: What else is attached to the last of them.
        key: What to sign with.

    Raises:
        SigningError: The registry took no signature, or does not show it afterwards.
        RegistryError: It is unreachable, or refuses the credentials.
    """
    top = images[-1]
    with ThreadPoolExecutor(_IMAGES_AT_ONCE) as pool:
        answers = pool.map(lambda image: _sign(repository, image, documents if image is top else (), key), images)
        refusals = [answer for answer in answers if answer]
    for image in images:
        _check_shown(repository, image, key.public)
    if refusals:
        print(
            f"{repository.reference.registry} takes signatures by their tags alone, none that only names its subject "
            f"(cosign 3's bundles, OpenSSF's): {refusals[0]}",
            flush=True,
        )


def signed_statements(
    repository: Repository, image: Stored, statements: Sequence[Mapping[str, Any]], key: Signer
) -> list[Attachment]:
    """Signs statements on an image, in the form of cosign 3 and, with a key, in that of the cosign before."""
    # A log answers only when an entry is in it, which takes a second or more.
    with ThreadPoolExecutor(_IMAGES_AT_ONCE) as pool:
        bundles = list(pool.map(lambda statement: _bundled(repository, image, statement, key), statements))
    return bundles if isinstance(key, Keyless) else [cosign.attestations(statements, key), *bundles]


def model_signature(
    repository: Repository,
    image: Stored,
    snapshot: Snapshot,
    read_hashes: Callable[[], Mapping[str, str]],
    key: Signer,
) -> Attachment:
    """Signs a model's files, by the hashes that were published: no weights are read.

    Args:
        repository: Where the image is.
        image: What it is attached to.
        snapshot: The files.
        read_hashes: Gives the SHA-256 of each file by its path; it has to read those of which the Hub publishes another
            hash. Not called where the signature is attached already.
        key: What to sign with.
    """
    for content, signed in _signed_bundles(repository, image.digest, model_signing.MEDIA_TYPE, key.public):
        if not model_signing.problem(signed.payload, snapshot, {}):
            return model_signing.attachment(content)
    statement = model_signing.statement(snapshot.model, read_hashes())
    return model_signing.attachment(bundle.bundle(statement, key, by_curve=True))


def signatures(repository: Repository, digest: str) -> set[str]:
    """Returns the digests of an image's signatures, whoever made them, where podman and CRI-O look for them.

    Args:
        repository: Where the image is.
        digest: Its digest.
    """
    return {layer.digest for layer in _signature_layers(repository, digest)}


def is_signed(repository: Repository, digest: str, key: Checker) -> bool:
    """Checks whether an image is signed: with a key, where podman and CRI-O look for it. Some small requests.

    Args:
        repository: Where the image is.
        digest: Its digest.
        key: Whose signature it must have.
    """
    try:
        if isinstance(key, Identity):
            return any(_is_of_image(signed, digest) for _, signed in _signed_bundles(repository, digest, _BUNDLE, key))
        return any(_is_of(repository, layer, digest, key) for layer in _signature_layers(repository, digest))
    except (CredentialsError, RegistryUnwellError):
        raise
    except (RegistryError, WrongBytesError):
        # Somebody else's junk.
        return False


def _signature_layers(repository: Repository, digest: str) -> list[spec.Descriptor]:
    try:
        stored = repository.find_manifest(referrers.tag(digest, referrers.SIGNATURES))
        layers = stored.manifest().layers if stored is not None and not stored.is_index else []
    except (CredentialsError, RegistryUnwellError):
        raise
    except (RegistryError, WrongBytesError):
        return []
    return [layer for layer in layers if layer.media_type == cosign.SIMPLE_SIGNING]


def _signed_bundles(
    repository: Repository, digest: str, media_type: str, key: Checker
) -> Iterator[tuple[bytes, Signed]]:
    """Yields the bundles of one type that are attached to an image and signed by one signer, and what is in them."""
    for attached in islice(referrers.of_type(repository, digest, media_type), MAX_BUNDLES):
        for content in _bundles_in(repository, attached, media_type):
            signed = bundle.opened(content, key)
            if signed and signed.by_us:
                yield content, signed


def _bundles_in(repository: Repository, attached: Stored, media_type: str) -> Iterator[bytes]:
    with suppress(WrongBytesError):
        for layer in attached.manifest().layers:
            if layer.media_type == media_type and layer.size <= MAX_SMALL_BLOB_BYTES:
                yield repository.small_blob(layer.digest)


def _is_of_image(signed: Signed, digest: str) -> bool:
    statement = Statement.read(signed.payload)
    return statement is not None and statement.predicate_type == cosign.SIGN and statement.is_about(digest)


def _is_of(repository: Repository, layer: spec.Descriptor, digest: str, key: PublicKey) -> bool:
    if layer.size > cosign.MAX_SIGNATURE_BYTES:
        return False
    payload = repository.small_blob(layer.digest)
    return cosign.signed_digest(payload) == digest and cosign.is_signed(payload, layer, key)


def _sign(repository: Repository, image: Stored, documents: Sequence[Attachment], key: Signer) -> RegistryError | None:
    """Signs one image; gives what the registry answered if it took the signature by its tag and not all the rest."""
    try:
        referrers.attach(repository, image, [*_signatures(repository, image, key), *documents])
    except RegistryError as error:
        if isinstance(error, RegistryUnwellError) and not error.status:
            raise
        if is_signed(repository, image.digest, key.public):
            return error
        raise SigningError(
            f"{repository.reference.registry} takes no signature: {error}",
            "Choose a registry that does (Quay, Harbor, Artifact Registry, …) and that lets tags of the form "
            "sha256-….sig be written anew, or do without signing",
        ) from None
    return None


def _signatures(repository: Repository, image: Stored, key: Signer) -> list[Attachment]:
    signed = _bundled(repository, image, cosign.signed_image(repository.reference, image.digest), key)
    return [signed] if isinstance(key, Keyless) else [cosign.signature(repository.reference, image.digest, key), signed]


def _bundled(repository: Repository, image: Stored, statement: Mapping[str, Any], key: Signer) -> Attachment:
    if isinstance(key, Keyless):
        stated = dsse.encoded(statement)
        for content, signed in _signed_bundles(repository, image.digest, _BUNDLE, key.public):
            if signed.payload == stated:
                return bundle.attachment(statement, content)
    return bundle.attachment(statement, bundle.bundle(statement, key))


def _check_shown(repository: Repository, image: Stored, key: Checker) -> None:
    """Raises unless the registry shows the signature: by its tag, for not all of them show manifests by digest."""
    tag = referrers.tag(image.digest, "" if isinstance(key, Identity) else referrers.SIGNATURES)
    wait_until_shown(repository, tag, lambda: is_signed(repository, image.digest, key))


def wait_until_shown(repository: Repository, tag: str, is_shown: Callable[[], bool]) -> None:
    """Waits until a registry shows a signature that it took.

    Args:
        repository: Where the image is.
        tag: The tag that leads to it, in a registry that lists no referrers at least.
        is_shown: Whether it does.

    Raises:
        SigningError: It does not, for half a minute.
    """
    begun = time.monotonic()
    while not is_shown():
        if time.monotonic() - begun > SHOWN_SECONDS:
            raise SigningError(
                f"{repository.reference.registry} took the signature, and does not show it under the tag {tag}",
                "Run again; if it stays, let it write such tags anew (immutable tags: make an exception for sha256-*)",
            )
        time.sleep(_LOOK_AGAIN_SECONDS)
