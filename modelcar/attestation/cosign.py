"""Signatures and attestations in the forms that cosign writes, so that those who check images read them.

A signature is over a small text that names the image's digest ("simple signing"): policy-controller, OpenShift's
ClusterImagePolicy and podman's policy.json take it. An attestation is an in-toto statement in a signed envelope (DSSE).
See https://github.com/sigstore/cosign/blob/main/specs.
"""

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from modelcar.attestation.keys import PublicKey, SigningKey
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.referrers import ATTESTATIONS, SIGNATURES, Attachment, Content

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
IN_TOTO = "application/vnd.in-toto+json"
_ARTIFACT = "application/vnd.dev.cosign.artifact{}.v1+json"


class _Signature(BaseModel):
    sig: str


class _Envelope(BaseModel):
    payload_type: str = Field(alias="payloadType")
    payload: str
    signatures: list[_Signature]


@dataclass(frozen=True)
class Signed:
    """What an envelope holds.

    Attributes:
        payload: The signed bytes.
        by_us: Whether the key's owner signed them.
    """

    payload: bytes
    by_us: bool


def signature(reference: Reference, digest: str, key: SigningKey) -> Attachment:
    """Signs an image.

    Args:
        reference: Where it is; the signature names registry and repository.
        digest: Its digest.
        key: What to sign with.
    """
    payload = _json(
        {
            "critical": {
                "identity": {"docker-reference": f"{reference.registry}/{reference.repository}"},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )
    signed = base64.b64encode(key.sign(payload)).decode()
    content = Content(SIMPLE_SIGNING, payload, {SIGNATURE: signed})
    return Attachment(_ARTIFACT.format(SIGNATURES), (content,), tag_end=SIGNATURES)


def attestations(statements: Iterable[dict[str, Any]], key: SigningKey) -> Attachment:
    """Signs in-toto statements."""
    contents = tuple(
        Content(
            ENVELOPE, _envelope(_json(statement), key), {SIGNATURE: "", "predicateType": statement["predicateType"]}
        )
        for statement in statements
    )
    return Attachment(_ARTIFACT.format(ATTESTATIONS), contents, tag_end=ATTESTATIONS)


def signed_digest(payload: bytes) -> str:
    """The digest of the image that a signature's text names; empty if it names none."""
    try:
        return str(json.loads(payload)["critical"]["image"]["docker-manifest-digest"])
    except (ValueError, KeyError, TypeError):
        return ""


def is_signed(payload: bytes, layer: spec.Descriptor, key: PublicKey) -> bool:
    """Whether a signature that stands beside its text, in the manifest, was made with a key."""
    return key.signed(payload, _decoded((layer.annotations or {}).get(SIGNATURE, "")))


def opened(envelope: bytes, key: PublicKey | None) -> Signed | None:
    """What is in an envelope; None if it is none.

    Args:
        envelope: The envelope.
        key: The key that it should have been signed with; without one nothing is taken for signed.
    """
    try:
        read = _Envelope.model_validate_json(envelope)
        payload = base64.b64decode(read.payload, validate=True)
    except (ValidationError, binascii.Error):
        return None
    text = _authenticated(read.payload_type, payload)
    by_us = key is not None and any(key.signed(text, _decoded(one.sig)) for one in read.signatures)
    return Signed(payload, by_us)


def _attestation(statement: dict[str, Any], key: SigningKey) -> Content:
    said = {SIGNATURE: "", "predicateType": str(statement["predicateType"])}
    return Content(ENVELOPE, _envelope(_json(statement), key), said)


def _envelope(payload: bytes, key: SigningKey) -> bytes:
    signed = base64.b64encode(key.sign(_authenticated(IN_TOTO, payload))).decode()
    return _json(
        {
            "payloadType": IN_TOTO,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": "", "sig": signed}],
        }
    )


def _authenticated(payload_type: str, payload: bytes) -> bytes:
    """What is signed of an envelope, https://github.com/secure-systems-lab/dsse/blob/master/protocol.md."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
