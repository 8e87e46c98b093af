"""Attachments of each image: its provenance, its bill of materials and, if there is a key, signatures."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelcar.attestation import dsse, provenance, sbom, signing
from modelcar.attestation.contents import Contents
from modelcar.attestation.signer import Signer
from modelcar.errors import RegistryError, RegistryUnwellError
from modelcar.oci import referrers, spec
from modelcar.oci.referrers import Attachment, Content
from modelcar.oci.registry import Repository, Stored

PREDICATE_TYPE = "in-toto.io/predicate-type"


def attach(
    repository: Repository,
    images: Sequence[Stored],
    contents: Contents,
    read_hashes: Callable[[], Mapping[str, str]],
    key: Signer | None,
) -> None:
    """Attaches provenance and inventory to an image, and signs all of it if there is a key.

    What is signed is what is handed over, and nothing that a registry gives back. So nobody may call this with a key
    unless every byte of the image is proved.

    Args:
        repository: Where the image is.
        images: The manifests of its platforms and, last, the image itself.
        contents: What it was made of.
        read_hashes: Gives the SHA-256 of each file of the model, by its path; it may have to read some.
        key: What to sign with; None for no signatures.

    Raises:
        SigningError: The registry takes no signature. Without a key, one that rejects attachments is only reported.
        RegistryError: It is unreachable, or refuses the credentials.
    """
    image = images[-1]
    statements = contents.statements(image.digest)
    documents = [
        _document(dsse.IN_TOTO, statements[0], {PREDICATE_TYPE: provenance.PREDICATE}),
        _document(sbom.MEDIA_TYPE, contents.inventory(image.digest), {}),
    ]
    if key is not None:
        signed = signing.signed_statements(repository, image, statements, key)
        model = signing.model_signature(repository, image, contents.snapshot, read_hashes, key)
        signing.sign(repository, images, [*signed, model, *documents], key)
        return
    try:
        referrers.attach(repository, image, documents)
    except RegistryError as error:
        # What a registry answers to documents must not keep anybody from the image; one that answers nothing is down.
        if isinstance(error, RegistryUnwellError) and not error.status:
            raise
        print(f"{repository.reference.registry} takes no provenance and no inventory: {error}", flush=True)


def _document(media_type: str, document: dict[str, Any], annotations: dict[str, str]) -> Attachment:
    content = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    title = {spec.TITLE: "provenance.json" if annotations else "inventory.cdx.json"}
    return Attachment(media_type, (Content(media_type, content, title),), annotations)
