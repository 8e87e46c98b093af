"""Sigstore bundles: a signed envelope and what names its signer, in one JSON document.

cosign writes signatures and attestations so from its third version on, and OpenSSF Model Signing its own. See
https://github.com/sigstore/protobuf-specs (sigstore_bundle.proto) and cosign's specs/BUNDLE_SPEC.md.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from modelcar.attestation import dsse
from modelcar.attestation.dsse import Envelope, Signed
from modelcar.attestation.keyless import Identity, Keyless
from modelcar.attestation.signer import Checker, Signer
from modelcar.oci.referrers import Attachment, Content

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
"""Annotation by which those who look for one kind of statement find it in an image's list of referrers."""

_CONTENT = "dev.sigstore.bundle.content"


class _Bundle(BaseModel):
    media_type: str = Field(alias="mediaType", pattern=r"^application/vnd\.dev\.sigstore\.bundle")
    envelope: Envelope = Field(alias="dsseEnvelope")


def bundle(statement: Mapping[str, Any], key: Signer, *, by_curve: bool = False) -> bytes:
    """Signs an in-toto statement.

    Args:
        statement: The statement.
        key: What to sign with.
        by_curve: Whether the key's curve decides the hash that is signed (modelcar.attestation.keys).

    Returns:
        The bundle. With a key there is no log entry and no time in it: the same statement gives the same bytes.
    """
    if isinstance(key, Keyless):
        return key.bundle(dsse.encoded(statement))
    return dsse.encoded(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key.public.hint}, "tlogEntries": []},
            "dsseEnvelope": dsse.envelope(statement, key, by_curve=by_curve),
        }
    )


def attachment(statement: Mapping[str, Any], content: bytes) -> Attachment:
    """Makes what cosign 3 and policy-controller look for of a bundle: a referrer of its image.

    Args:
        statement: What is signed in it.
        content: The bundle.
    """
    listed = {_CONTENT: "dsse-envelope", PREDICATE_TYPE: str(statement["predicateType"])}
    return Attachment(MEDIA_TYPE, (Content(MEDIA_TYPE, content),), listed)


def opened(content: bytes, key: Checker | None) -> Signed | None:
    """Opens a bundle.

    Args:
        content: The bundle.
        key: Who should have signed it; without one nothing is taken for signed. What the bundle itself says of its key
            counts for nothing.

    Returns:
        What is in it; None if it is none, or has no envelope.
    """
    try:
        envelope = _Bundle.model_validate_json(content).envelope
    except ValidationError:
        return None
    if isinstance(key, Identity) and (payload := key.payload(content)) is not None:
        return Signed(payload, by_us=True)
    return envelope.opened(key)
