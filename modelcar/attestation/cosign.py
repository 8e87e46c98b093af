"""Signatures and attestations in the forms that cosign writes, so that those who check images read them.

cosign 3 and policy-controller take Sigstore bundles (modelcar.attestation.bundle), the signature among them: a
statement that says nothing of the image but its digest. Podman, CRI-O and OpenShift's ClusterImagePolicy take what
cosign wrote before: a signature over a small text that names the image's digest ("simple signing"). Both are written.
See https://github.com/sigstore/cosign/blob/main/specs.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from modelcar.attestation import dsse
from modelcar.attestation.keys import SigningKey
from modelcar.attestation.provenance import statement
from modelcar.attestation.signer import Checker
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.referrers import ATTESTATIONS, SIGNATURES, Attachment, Content

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
SIGN = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type of a signature in a bundle."""

MAX_SIGNATURE_BYTES = 1 << 20
"""Bytes of the text that is signed, which has some hundred."""

_ARTIFACT = "application/vnd.dev.cosign.artifact{}.v1+json"


def signed_image(reference: Reference, digest: str) -> dict[str, Any]:
    """States, for cosign 3, that an image is the signer's.

    Args:
        reference: Where it is.
        digest: Its digest.
    """
    return statement(SIGN, {}, f"{reference.registry}/{reference.repository}", digest)


def signature(reference: Reference, digest: str, key: SigningKey) -> Attachment:
    """Signs an image by simple signing.

    Args:
        reference: Where it is; the signature names registry and repository.
        digest: Its digest.
        key: What to sign with.
    """
    payload = dsse.encoded(
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


def attestations(statements: Iterable[Mapping[str, Any]], key: SigningKey) -> Attachment:
    """Signs in-toto statements, as cosign did before its third version."""
    contents = tuple(
        Content(
            dsse.MEDIA_TYPE,
            dsse.encoded(dsse.envelope(one, key)),
            {SIGNATURE: "", "predicateType": one["predicateType"]},
        )
        for one in statements
    )
    return Attachment(_ARTIFACT.format(ATTESTATIONS), contents, tag_end=ATTESTATIONS)


def signed_digest(payload: bytes) -> str:
    """Returns the digest of the image that a signature's text names; empty if it names none."""
    try:
        return str(json.loads(payload)["critical"]["image"]["docker-manifest-digest"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def is_signed(payload: bytes, layer: spec.Descriptor, key: Checker) -> bool:
    """Checks a signature that stands beside its text, in the manifest."""
    return key.signed(payload, dsse.decoded((layer.annotations or {}).get(SIGNATURE, "")) or b"")
