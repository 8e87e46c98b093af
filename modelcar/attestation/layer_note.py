"""The signed note of a finished layer: that the layer of some published files has some digest.

Whoever has the key has read the bytes, or has streamed them; whoever may write to a repository has not. So a note that
is signed saves a later run the reading, and one that is not proves nothing. What it says is true of every repository:
it names the files by their published hashes, and neither image, tag nor place.
"""

import base64
import binascii

from modelcar.attestation.keys import PublicKey, SigningKey

SIGNATURE = "io.modelcar.signature"
"""The annotation of a noted layer that holds the signature, in base64."""


def sign(files_key: str, digest: str, key: SigningKey) -> str:
    """Signs that a layer of these files (modelcar.image.recipe.files_key) has this digest; gives the signature."""
    return base64.b64encode(key.sign(_text(files_key, digest))).decode()


def is_signed(files_key: str, digest: str, signature: str, key: PublicKey) -> bool:
    """Tells whether the owner of a key signed that a layer of these files has this digest."""
    try:
        return key.signed(_text(files_key, digest), base64.b64decode(signature, validate=True))
    except (binascii.Error, ValueError):
        return False


def _text(files_key: str, digest: str) -> bytes:
    # Its first line is that of no other text which this key signs.
    return f"modelcar layer v1\n{files_key}\n{digest}\n".encode()
