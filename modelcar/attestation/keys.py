"""Keys that sign images: those of cosign, with their password, and any elliptic-curve key in PEM.

Nothing here needs a network: there is no certificate authority, no transparency log and no clock.
"""

import base64
import binascii
import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Base64Bytes, BaseModel, Field, ValidationError

from modelcar import pod
from modelcar.errors import ModelcarError

if TYPE_CHECKING:
    # Whoever has no key starts sooner without it.
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

KEY_FILE, PASSWORD_FILE = "cosign.key", "cosign.password"
"""Keys of the Secret that `cosign generate-key-pair k8s://namespace/name` makes."""

MOUNT = "signing"
"""Folder below modelcar.pod.SECRETS in which the pipelines mount that Secret."""

PASSWORD = "COSIGN_PASSWORD"  # noqa: S105

_COSIGN = re.compile(r"-----BEGIN ENCRYPTED (?:COSIGN|SIGSTORE) PRIVATE KEY-----([^-]+)-----END ")
_MAX_MEMORY_BYTES = 512 << 20
_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""The curves that everybody knows who checks our signatures, and the hash of each."""


class SigningError(ModelcarError):
    """A key cannot be used, or a signature cannot be made."""


class PublicKey:
    """Checks signatures.

    Args:
        key: The key.
    """

    def __init__(self, key: "ec.EllipticCurvePublicKey") -> None:
        self._key = key

    @classmethod
    def read(cls, file: Path) -> "PublicKey":
        """Reads a key in PEM, such as cosign.pub.

        Raises:
            SigningError: The file holds no such key.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(_read(file))
        except (ValueError, UnsupportedAlgorithm):
            raise SigningError(f"{file} is no public key in PEM", "Give what cosign calls cosign.pub") from None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise SigningError(f"{file} is no elliptic-curve key, and no other is known here")
        _check_curve(file, key.curve)
        return cls(key)

    @property
    def words(self) -> str:
        """Returns how a signature of this one is spoken of."""
        return "with this key"

    @property
    def hint(self) -> str:
        """The name that bundles give this key: the SHA-256 of its PEM, as OpenSSF Model Signing has it."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return hashlib.sha256(self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Checks whether the owner of the key signed these bytes, by either hash (SigningKey.sign)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        for algorithm in {type(one): one for one in (hashes.SHA256(), _hash_by(self._key.curve))}.values():
            with suppress(InvalidSignature):
                self._key.verify(signature, data, ec.ECDSA(algorithm))
                return True
        return False


class SigningKey:
    """Signs, in such a way that the same bytes have the same signature (RFC 6979).

    Args:
        key: The key.
    """

    def __init__(self, key: "ec.EllipticCurvePrivateKey") -> None:
        self._key = key

    @classmethod
    def read(cls, file: Path, password: bytes) -> "SigningKey":
        """Reads a key.

        Args:
            file: cosign's own form, or PKCS8 or SEC1 in PEM.
            password: Of an encrypted key.

        Raises:
            SigningError: The file holds no such key, or the password is wrong.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

        pem = _read(file)
        try:
            text = pem.decode()
            ciphered = _COSIGN.search(text)
            encrypted = ciphered is not None or "ENCRYPTED" in text
            if ciphered:
                key = load_der_private_key(_decrypted(ciphered[1], password), None)
            else:
                key = load_pem_private_key(pem, password if encrypted else None)
        except _WrongPasswordError:
            raise _wrong_password(file) from None
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            if "password" in str(error).lower():
                raise _wrong_password(file) from None
            raise SigningError(
                f"{file} is no private key", "Make one with `cosign generate-key-pair`, or give an EC key in PEM"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise SigningError(f"{file} is no elliptic-curve key, and no other can sign here")
        _check_curve(file, key.curve)
        return cls(key)

    @property
    def public(self) -> PublicKey:
        """The key that checks what this one signs."""
        return PublicKey(self._key.public_key())

    def sign(self, data: bytes, *, by_curve: bool = False) -> bytes:
        """Signs bytes.

        Args:
            data: The bytes.
            by_curve: Whether the key's curve decides the hash that is signed, as OpenSSF Model Signing wants it. Else
                it is SHA-256, which cosign, podman and CRI-O take with any key.
        """
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        algorithm = _hash_by(self._key.curve) if by_curve else hashes.SHA256()
        return self._key.sign(data, ec.ECDSA(algorithm, deterministic_signing=True))


def find_signing_key() -> SigningKey | None:
    """The key to sign with, if there is one: the file that MODELCAR_SIGNING_KEY names, else the mounted Secret's.

    Its password is the Secret's cosign.password or, if there is none, COSIGN_PASSWORD.

    Raises:
        SigningError: There is a key, and it cannot be used.
    """
    secret = pod.SECRETS / MOUNT
    named = os.environ.get(pod.SIGNING_KEY)
    file = Path(named or secret / KEY_FILE)
    # A random user's home may be one that it must not look into, which Path.is_file() raises.
    if not named and not os.path.isfile(file):
        return None
    beside = file.with_name(PASSWORD_FILE)
    password = _read(beside).rstrip(b"\r\n") if os.path.isfile(beside) else os.environ.get(PASSWORD, "").encode()
    return SigningKey.read(file, password)


class _WrongPasswordError(ValueError):
    pass


class _Named(BaseModel):
    name: str


class _Scrypt(BaseModel):
    cost: int = Field(alias="N", gt=1, le=1 << 20)
    block: int = Field(alias="r", gt=0, le=64)
    parallel: int = Field(alias="p", gt=0, le=16)


class _Kdf(_Named):
    params: _Scrypt
    salt: Base64Bytes


class _Cipher(_Named):
    nonce: Base64Bytes


class _Encrypted(BaseModel):
    """A key as cosign keeps it, https://github.com/secure-systems-lab/go-securesystemslib (encrypted)."""

    kdf: _Kdf
    cipher: _Cipher
    ciphertext: Base64Bytes


def _decrypted(body: str, password: bytes) -> bytes:
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        key = _Encrypted.model_validate(json.loads(base64.b64decode(body)))
    except (ValidationError, binascii.Error, ValueError):
        raise ValueError("malformed") from None
    if (key.kdf.name, key.cipher.name) != ("scrypt", "nacl/secretbox"):
        raise ValueError("unknown encryption")
    cost = key.kdf.params
    derived = hashlib.scrypt(
        password,
        salt=key.kdf.salt,
        n=cost.cost,
        r=cost.block,
        p=cost.parallel,
        maxmem=_MAX_MEMORY_BYTES,
        dklen=SecretBox.KEY_SIZE,
    )
    try:
        return bytes(SecretBox(derived).decrypt(key.ciphertext, key.cipher.nonce))
    except CryptoError:
        raise _WrongPasswordError from None


def _check_curve(file: Path, curve: "ec.EllipticCurve") -> None:
    if curve.name not in _CURVES:
        raise SigningError(
            f"{file} is a key on the curve {curve.name}, which neither cosign nor podman can check",
            "Make one with `cosign generate-key-pair`, or with openssl on P-256, P-384 or P-521",
        )


def _hash_by(curve: "ec.EllipticCurve") -> "hashes.HashAlgorithm":
    from cryptography.hazmat.primitives import hashes

    return getattr(hashes, _CURVES[curve.name])()  # type: ignore[no-any-return]


def _wrong_password(file: Path) -> SigningError:
    return SigningError(
        f"the password does not open {file}",
        f"Put it into {PASSWORD}, or into the Secret under the key {PASSWORD_FILE}",
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SigningError(f"cannot read {file}: {error.strerror}", "Name a file that you may read") from None
