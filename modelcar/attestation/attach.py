"""What this project attaches to each image: where it comes from, what is in it and, if there is a key, signatures."""

import json
from collections.abc import Sequence
from typing import Any

from modelcar.attestation import cosign, provenance, sbom
from modelcar.attestation.keys import SigningError, SigningKey
from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError
from modelcar.hub.snapshot import Snapshot
from modelcar.oci import referrers, spec
from modelcar.oci.image import Image
from modelcar.oci.referrers import Attachment, Content
from modelcar.oci.registry import Repository

PREDICATE_TYPE = "in-toto.io/predicate-type"


def attach(
    repository: Repository,
    image: Image,
    snapshot: Snapshot,
    base_name: str,
    base_digest: str,
    recipe: str,
    key: SigningKey | None,
) -> None:
    """Attaches provenance and inventory to an image, and signs all of it if there is a key.

    Args:
        repository: Where the image is.
        image: The image; a tag need not lead to it yet.
        snapshot: The files in it.
        base_name: The image under them.
        base_digest: Its digest.
        recipe: The hash of all that decides it.
        key: What to sign with; None for no signatures.

    Raises:
        SigningError: The registry takes no signature. Without a key, one that takes no attachments is borne.
        RegistryError: It is unreachable, or refuses the credentials.
    """
    origin = provenance.provenance(snapshot, base_name, base_digest, recipe)
    contents = sbom.inventory(snapshot, base_name, base_digest, image.top.digest)
    name = provenance.model_url(snapshot.model, snapshot.commit)
    statements = [
        provenance.statement(provenance.PREDICATE, origin, name, image.top.digest),
        provenance.statement(sbom.PREDICATE, contents, name, image.top.digest),
    ]
    documents = [
        _document(cosign.IN_TOTO, statements[0], {PREDICATE_TYPE: provenance.PREDICATE}),
        _document(sbom.MEDIA_TYPE, contents, {}),
    ]
    if key is not None:
        sign(repository, image, statements, key)
    try:
        referrers.attach(repository, image.top, documents)
    except (CredentialsError, RegistryUnwellError):
        raise
    except RegistryError as error:
        print(f"{repository.reference.registry} takes no provenance and no inventory: {error}", flush=True)


def sign(repository: Repository, image: Image, statements: Sequence[dict[str, Any]], key: SigningKey) -> None:
    """Signs an image and statements on it, as cosign does. What is signed with this key already stays as it is.

    The image of each platform is signed as well, as by `cosign sign --recursive`: podman and CRI-O look for a signature
    of the one that they pull, not of the index over it. The index comes last, so that where it is signed all are.

    Args:
        repository: Where the image is.
        image: The image; a tag need not lead to it yet.
        statements: in-toto statements whose subject it is.
        key: What to sign with.

    Raises:
        SigningError: The registry takes no signature.
        RegistryError: It is unreachable, or refuses the credentials.
    """
    try:
        for platform in image.platforms:
            referrers.attach(repository, platform, [cosign.signature(repository.reference, platform.digest, key)])
        signature = cosign.signature(repository.reference, image.top.digest, key)
        referrers.attach(repository, image.top, [signature, cosign.attestations(statements, key)])
    except (CredentialsError, RegistryUnwellError):
        raise
    except RegistryError as error:
        raise SigningError(
            f"{repository.reference.registry} takes no signature: {error}",
            "Choose a registry that does (Quay, Harbor, Artifact Registry, …), or do without the signing key",
        ) from None


def is_signed(repository: Repository, digest: str) -> bool:
    """Whether an image has a signature at all, whoever made it. One request."""
    return repository.find_manifest(referrers.tag(digest, referrers.SIGNATURES)) is not None


def _document(media_type: str, document: dict[str, Any], annotations: dict[str, str]) -> Attachment:
    content = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    title = {spec.TITLE: "provenance.json" if annotations else "inventory.cdx.json"}
    return Attachment(media_type, (Content(media_type, content, title),), annotations)
