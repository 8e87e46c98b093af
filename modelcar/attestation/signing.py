"""The signatures of an image, in each form that others check, and the proof that the registry has them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from modelcar.attestation import bundle, cosign, model_signing
from modelcar.attestation.keys import PublicKey, SigningError, SigningKey
from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError, WrongBytesError
from modelcar.oci import referrers, spec
from modelcar.oci.referrers import Attachment
from modelcar.oci.registry import Repository, Stored

SHOWN_SECONDS = 30.0
"""How long a registry may take to show a tag that it took. Azure's shows some only seconds later (Azure/acr#880)."""

_LOOK_AGAIN_SECONDS = 1.0


def sign(
    repository: Repository,
    images: Sequence[Stored],
    statements: Sequence[dict[str, Any]],
    model: str,
    hashes: Mapping[str, str],
    key: SigningKey,
) -> None:
    """Signs an image, statements on it and the model's files. What is signed with this key already stays as it is.

    The same image has the same signatures with the same key (modelcar.attestation.keys), so nobody has to be asked
    whether it is signed: what is not there is written. The image of each platform is signed as well, as by `cosign sign
    --recursive`: podman and CRI-O look for a signature of the one that they pull, not of the index over it.

    Args:
        repository: Where the image is.
        images: The manifests of its platforms and, last, what its tag leads to; just written, or computed anew.
        statements: in-toto statements whose subject it is.
        model: The model's name.
        hashes: The SHA-256 of each of the model's files, by its path.
        key: What to sign with.

    Raises:
        SigningError: The registry took no signature, or does not show it afterwards.
        RegistryError: It is unreachable, or refuses the credentials.
    """
    top = images[-1]
    of_top = [
        cosign.attestations(statements, key),
        *(_bundled(statement, key) for statement in statements),
        model_signing.attachment(bundle.bundle(model_signing.statement(model, hashes), key, by_curve=True)),
    ]
    refused: RegistryError | None = None
    for image in images:
        try:
            referrers.attach(
                repository, image, [*_signatures(repository, image, key), *(of_top if image is top else ())]
            )
        except RegistryError as error:
            if isinstance(error, RegistryUnwellError) and not error.status:
                raise
            refused = error
            if not is_signed(repository, image.digest, key.public):
                raise SigningError(
                    f"{repository.reference.registry} takes no signature: {error}",
                    "Choose a registry that does (Quay, Harbor, Artifact Registry, …) and that lets tags of the form "
                    "sha256-….sig be written anew, or do without the signing key",
                ) from None
    for image in images:
        _check_shown(repository, image, key.public)
    if refused is not None:
        print(
            f"{repository.reference.registry} takes signatures by their tags alone, none that only names its subject "
            f"(cosign 3's bundles, OpenSSF's): {refused}",
            flush=True,
        )


def is_signed(repository: Repository, digest: str, key: PublicKey) -> bool:
    """Checks whether an image has a signature of a key where podman and CRI-O look for it. Some small requests.

    Args:
        repository: Where the image is.
        digest: Its digest.
        key: Whose signature it must have.
    """
    try:
        stored = repository.find_manifest(referrers.tag(digest, referrers.SIGNATURES))
        layers = stored.manifest().layers if stored is not None and not stored.is_index else []
        return any(_is_of(repository, layer, digest, key) for layer in layers)
    except (CredentialsError, RegistryUnwellError):
        raise
    except (RegistryError, WrongBytesError):
        # Somebody else's junk.
        return False


def _is_of(repository: Repository, layer: spec.Descriptor, digest: str, key: PublicKey) -> bool:
    if layer.media_type != cosign.SIMPLE_SIGNING or layer.size > cosign.MAX_SIGNATURE_BYTES:
        return False
    payload = repository.small_blob(layer.digest)
    return cosign.signed_digest(payload) == digest and cosign.is_signed(payload, layer, key)


def _signatures(repository: Repository, image: Stored, key: SigningKey) -> list[Attachment]:
    stated = cosign.signed_image(repository.reference, image.digest)
    return [cosign.signature(repository.reference, image.digest, key), _bundled(stated, key)]


def _bundled(statement: Mapping[str, Any], key: SigningKey) -> Attachment:
    return bundle.attachment(statement, bundle.bundle(statement, key))


def _check_shown(repository: Repository, image: Stored, key: PublicKey) -> None:
    """Raises unless the registry shows the signature: by its tag, for not all of them show manifests by digest."""
    begun = time.monotonic()
    while not is_signed(repository, image.digest, key):
        if time.monotonic() - begun > SHOWN_SECONDS:
            tag = referrers.tag(image.digest, referrers.SIGNATURES)
            raise SigningError(
                f"{repository.reference.registry} took the signature, and does not show it under the tag {tag}",
                "Run again; if it stays, let it write such tags anew (immutable tags: make an exception for sha256-*)",
            )
        time.sleep(_LOOK_AGAIN_SECONDS)
