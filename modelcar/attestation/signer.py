"""Signers and checkers of statements: by a key or, without one, by an identity."""

import os
from pathlib import Path

from modelcar import pod
from modelcar.attestation import keyless
from modelcar.attestation.keyless import Identity, Keyless
from modelcar.attestation.keys import KEY_FILE, MOUNT, PublicKey, SigningError, SigningKey, find_signing_key

Signer = SigningKey | Keyless
"""Signs statements."""

Checker = PublicKey | Identity
"""Tells whether a statement is its own."""


def find_signer() -> Signer | None:
    """Finds what to sign with: a key or, where the mounted Secret has none, a Sigstore's addresses and trusted root.

    MODELCAR_SIGSTORE names a folder with the latter, in place of the mounted Secret, as MODELCAR_SIGNING_KEY names a
    file with a key.

    Returns:
        None if there is neither.

    Raises:
        SigningError: There is one and it cannot be used, or there are both.
    """
    named = os.environ.get(pod.SIGSTORE)
    folder = Path(named or pod.SECRETS / MOUNT)
    key = find_signing_key()
    if not (named or keyless.is_configured(folder)):
        return key
    if key is not None:
        raise SigningError(
            f"there are two ways to sign, a key and the Sigstore of {folder}",
            f"Leave one out: {KEY_FILE}, or the other",
        )
    return Keyless(folder)
