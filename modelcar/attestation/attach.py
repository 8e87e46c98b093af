"""What this project attaches to each image: where it comes from, what is in it and, if there is a key, signatures."""

import json
from collections.abc import Sequence
from typing import Any

from modelcar.attestation import cosign, provenance, sbom
from modelcar.attestation.contents import Contents
from modelcar.attestation.keys import SigningError, SigningKey
from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError
from modelcar.oci import referrers, spec
from modelcar.oci.referrers import Attachment, Content
from modelcar.oci.registry import Repository, Stored

PREDICATE_TYPE = "in-toto.io/predicate-type"


def attach(repository: Repository, images: Sequence[Stored], contents: Contents, key: SigningKey | None) -> None:
    """Attaches provenance and inventory to an image, and signs all of it if there is a key.

    What is signed is what is handed over, and nothing that a registry gives back. So nobody may call this with a key
    unless every byte of the image is proved.

    Args:
        repository: Where the image is.
        images: The manifests of its platforms and, last, the image itself.
        contents: What it was made of.
        key: What to sign with; None for no signatures.

    Raises:
        SigningError: The registry takes no signature. Without a key, one that rejects attachments is only reported.
        RegistryError: It is unreachable, or refuses the credentials.
    """
    image = images[-1]
    documents = [
        _document(cosign.IN_TOTO, contents.statements(image.digest)[0], {PREDICATE_TYPE: provenance.PREDICATE}),
        _document(sbom.MEDIA_TYPE, contents.inventory(image.digest), {}),
    ]
    if key is not None:
        sign(repository, images, contents.statements(image.digest), key)
    try:
        referrers.attach(repository, image, documents)
    except (CredentialsError, RegistryUnwellError):
        raise
    except RegistryError as error:
        print(f"{repository.reference.registry} takes no provenance and no inventory: {error}", flush=True)


def sign(
    repository: Repository, images: Sequence[Stored], statements: Sequence[dict[str, Any]], key: SigningKey
) -> None:
    """Signs an image and statements on it, as cosign does. What is signed with this key already stays as it is.

    The image of each platform is signed as well, as by `cosign sign --recursive`: podman and CRI-O look for a signature
    of the one that they pull, not of the index over it. The index comes last, so that where it is signed all are.

    Args:
        repository: Where the image is.
        images: The manifests of its platforms and, last, the image itself.
        statements: in-toto statements whose subject it is.
        key: What to sign with.

    Raises:
        SigningError: The registry takes no signature.
        RegistryError: It is unreachable, or refuses the credentials.
    """
    *platforms, image = images
    try:
        for platform in platforms:
            referrers.attach(repository, platform, [cosign.signature(repository.reference, platform.digest, key)])
        signature = cosign.signature(repository.reference, image.digest, key)
        referrers.attach(repository, image, [signature, cosign.attestations(statements, key)])
    except (CredentialsError, RegistryUnwellError):
        raise
    except RegistryError as error:
        raise SigningError(
            f"{repository.reference.registry} takes no signature: {error}",
            "Choose a registry that does (Quay, Harbor, Artifact Registry, …), or do without the signing key",
        ) from None


def _document(media_type: str, document: dict[str, Any], annotations: dict[str, str]) -> Attachment:
    content = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    title = {spec.TITLE: "provenance.json" if annotations else "inventory.cdx.json"}
    return Attachment(media_type, (Content(media_type, content, title),), annotations)
