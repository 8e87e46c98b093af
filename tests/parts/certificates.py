"""A certificate authority made on the fly, for registries on loopback."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, in memory and as PEM files."""

    x509: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    cert_file: Path
    key_file: Path


class CertificateAuthority:
    """Issues certificates for localhost, 127.0.0.1 and whatever else is asked for."""

    def __init__(self, folder: Path) -> None:
        """Makes the authority's own certificate.

        Args:
            folder: Takes the PEM files; the authority's certificate lies alone in its sub-folder certs.d, which thus
                also serves skopeo and buildah as certificate folder.
        """
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        self._x509 = self._sign(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=None))
        self.cert_file = folder / "certs.d" / "ca.crt"
        self.cert_file.parent.mkdir(parents=True)
        self.cert_file.write_bytes(_pem(self._x509))

    def issue(self, common_name: str, hosts: Sequence[str] = ()) -> Certificate:
        """Issues a certificate that is good for TLS servers on loopback and for signatures.

        Args:
            common_name: The subject, which also names the files.
            hosts: Names and addresses of the server besides loopback's.

        Returns:
            The certificate with its key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        constraints = x509.BasicConstraints(ca=False, path_length=None)
        certificate = self._sign(_name(common_name), key.public_key(), constraints, (*_LOOPBACK, *hosts))
        cert_file, key_file = self._folder / f"{common_name}.crt", self._folder / f"{common_name}.key"
        cert_file.write_bytes(_pem(certificate))
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Certificate(certificate, key, cert_file, key_file)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        constraints: x509.BasicConstraints,
        hosts: Sequence[str] = (),
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
