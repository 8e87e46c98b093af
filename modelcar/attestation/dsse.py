"""Signed envelopes (DSSE): in-toto statements with signatures on them.

See https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from modelcar.attestation.keys import SigningKey
from modelcar.attestation.signer import Checker

MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"
IN_TOTO = "application/vnd.in-toto+json"


class _Signature(BaseModel):
    sig: str


class Envelope(BaseModel):
    """An envelope as it was read; nothing in it is checked yet.

    Attributes:
        payload_type: What is in it.
        payload: Its content, in base64.
        signatures: The signatures on it.
    """

    payload_type: str = Field(alias="payloadType")
    payload: str
    signatures: list[_Signature]

    def opened(self, key: Checker | None) -> "Signed | None":
        """Takes out what is in it, and checks who signed that.

        Args:
            key: The key that it should have been signed with; without one nothing is taken for signed.

        Returns:
            None if its content is not base64.
        """
        payload = decoded(self.payload)
        if payload is None:
            return None
        text = _authenticated(self.payload_type, payload)
        by_us = key is not None and any(key.signed(text, decoded(one.sig) or b"") for one in self.signatures)
        return Signed(payload, by_us)


@dataclass(frozen=True)
class Signed:
    """Content of an envelope.

    Attributes:
        payload: The signed bytes.
        by_us: Whether the key's owner signed them.
    """

    payload: bytes
    by_us: bool


def envelope(statement: Mapping[str, Any], key: SigningKey, *, by_curve: bool = False) -> dict[str, Any]:
    """Signs an in-toto statement.

    Args:
        statement: The statement.
        key: What to sign with.
        by_curve: Whether the key's curve decides the hash that is signed (modelcar.attestation.keys).

    Returns:
        The envelope, as JSON has it.
    """
    payload = encoded(statement)
    signature = key.sign(_authenticated(IN_TOTO, payload), by_curve=by_curve)
    return {
        "payloadType": IN_TOTO,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
    }


def opened(content: bytes, key: Checker | None) -> Signed | None:
    """Opens an envelope.

    Args:
        content: The envelope.
        key: The key that it should have been signed with; without one nothing is taken for signed.

    Returns:
        What is in it; None if it is none.
    """
    try:
        return Envelope.model_validate_json(content).opened(key)
    except ValidationError:
        return None


def encoded(document: Mapping[str, Any]) -> bytes:
    """Encodes JSON compactly: the same document gives the same bytes, and so the same signature."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def decoded(text: str) -> bytes | None:
    """Decodes base64; None if it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        # ValueError: base64 knows ASCII alone.
        return None


def _authenticated(payload_type: str, payload: bytes) -> bytes:
    """Returns what is signed of an envelope: its type and its content, each with its length."""
    kind = payload_type.encode(errors="replace")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
