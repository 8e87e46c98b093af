"""Keys that sign images."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def write_keys(folder: Path, name: str = "signing", curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    """Writes a new pair of keys in PEM.

    Args:
        folder: Where to.
        name: What the files are called, but for their ends.
        curve: The curve; P-256 if none is given.

    Returns:
        The private and the public key's file.
    """
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public
