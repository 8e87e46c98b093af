"""Runs Sigstore's servers, as a cluster that has its own does, and an issuer of service account tokens."""

import base64
import hashlib
import json
import os
import random
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from tests.parts.go_programs import cache, go_programs, locked
from tests.parts.process import running, wait_until
from tests.parts.sigstore.issuer import ACCOUNT, Issuer

_PASSWORD = b"test"
_LOG_NAME, _CERTIFICATE_LOG_NAME = "127.0.0.1", "ct.test"
"""The first is the host of the log's address, by which sigstore-go knows it."""

_ED25519 = b"\x01"
"""Of a key in a signed note, https://github.com/C2SP/C2SP/blob/main/signed-note.md."""


@dataclass(frozen=True)
class Sigstore:
    """Running servers.

    Attributes:
        issuer: The address of the issuer of tokens.
        trust_config: The client's configuration: where the servers are, and by which keys they are known.
        trusted_root: The latter alone, as cosign takes it.
        identity: What the certificates say of the service account.
        fulcio_log: What Fulcio says.
    """

    issuer: Issuer
    trust_config: Path
    trusted_root: Path
    identity: str
    fulcio_log: Path

    @property
    def folder(self) -> Path:
        """Holds `trusted_root.json` and `signing_config.json`, as cosign takes them too."""
        return self.trusted_root.parent


@contextmanager
def sigstore(folder: Path, issuers: Mapping[str, str] | None = None) -> Iterator[Sigstore]:
    """Runs the servers.

    Args:
        folder: An empty folder for their keys, data and logs. What cosign makes a trusted root of lies there as well:
            `authority.pem`, `certificates.pub`, `log.pub` and `timestamps.pem`.
        issuers: More issuers of service accounts' tokens, each with its certificate authority in PEM.
    """
    authority = _Authority(folder)
    log_key = ed25519.Ed25519PrivateKey.generate()
    _write_key(folder / "log.key", log_key)
    certificate_log_key = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "certificates.key", certificate_log_key, PrivateFormat.TraditionalOpenSSL)
    (folder / "certificates.pub").write_bytes(_pem(certificate_log_key.public_key()))
    issuer = Issuer()
    with ExitStack() as stack:
        stack.callback(issuer.close)
        certificate_log, log, timestamps = (
            _certificate_log(stack, folder),
            _log(stack, folder),
            _timestamps(stack, folder),
        )
        fulcio = _fulcio(stack, folder, {issuer.url: "", **(issuers or {})}, certificate_log)
        chain = requests.get(f"{timestamps}/certchain", timeout=10).content
        (folder / "timestamps.pem").write_bytes(chain)
        (folder / "log.pub").write_bytes(_pem(log_key.public_key()))
        note_key = log_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        log_id = hashlib.sha256(_LOG_NAME.encode() + b"\n" + _ED25519 + note_key).digest()
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_known_log(log, log_key.public_key(), "PKIX_ED25519", log_id)],
            "certificateAuthorities": [_known_authority(fulcio, [authority.certificate])],
            "ctlogs": [
                _known_log(
                    certificate_log,
                    certificate_log_key.public_key(),
                    "PKIX_ECDSA_P256_SHA_256",
                    hashlib.sha256(_der(certificate_log_key.public_key())).digest(),
                )
            ],
            "timestampAuthorities": [_known_authority(timestamps, x509.load_pem_x509_certificates(chain))],
        }
        servers = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": _service(fulcio, 1),
            "rekorTlogUrls": _service(log, 2),
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": _service(timestamps, 1),
            "tsaConfig": {"selector": "ANY"},
        }
        config = {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": root,
            "signingConfig": servers,
        }
        (folder / "trusted_root.json").write_text(json.dumps(root))
        (folder / "signing_config.json").write_text(json.dumps(servers))
        (folder / "trust_config.json").write_text(json.dumps(config))
        identity = f"https://kubernetes.io/namespaces/{ACCOUNT[0]}/serviceaccounts/{ACCOUNT[1]}"
        yield Sigstore(
            issuer, folder / "trust_config.json", folder / "trusted_root.json", identity, folder / "fulcio.log"
        )


def sigstore_programs() -> tuple[Path, Path]:
    """Builds the servers unless the cache has them.

    Returns:
        The folders of Fulcio, Rekor and the timestamp authority, and of the certificate log.
    """
    here = Path(__file__).parent
    return go_programs("sigstore", here / "authority"), go_programs(
        "sigstore-certificate-log", here / "certificate_log"
    )


class _Authority:
    """A certificate authority for Fulcio."""

    def __init__(self, folder: Path) -> None:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(True, 1), True)
            .add_extension(usage, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        (folder / "authority.pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(_PASSWORD))
        (folder / "authority.key").write_bytes(private)


def _certificate_log(stack: ExitStack, folder: Path) -> str:
    program = sigstore_programs()[1] / "posix"
    port = _free_port()
    (folder / "certificates").mkdir()
    command = [
        str(program),
        f"-http_endpoint=127.0.0.1:{port}",
        f"-private_key={folder / 'certificates.key'}",
        f"-roots_pem_file={folder / 'authority.pem'}",
        f"-origin={_CERTIFICATE_LOG_NAME}",
        f"-storage_dir={folder / 'certificates'}",
        "-checkpoint_interval=200ms",
        "-logtostderr",
    ]
    _start(stack, folder, "certificate-log", command, port)
    return f"http://127.0.0.1:{port}"


def _log(stack: ExitStack, folder: Path) -> str:
    port, grpc, metrics = _free_port(), _free_port(), _free_port()
    (folder / "log").mkdir()
    options = {
        "http-port": port,
        "grpc-port": grpc,
        "http-metrics-port": metrics,
        "hostname": _LOG_NAME,
        "signer-filepath": folder / "log.key",
        "storage-dir": folder / "log",
        "checkpoint-interval": "100ms",
        "batch-max-age": "20ms",
    }
    _start(stack, folder, "rekor", [_program("posix"), "serve", *_options(options)], port)
    return f"http://127.0.0.1:{port}"


def _timestamps(stack: ExitStack, folder: Path) -> str:
    port = _free_port()
    options = {"host": "127.0.0.1", "port": port, "timestamp-signer": "memory"}
    command = [_program("timestamp-server"), "serve", *_options(options), "--disable-ntp-monitoring"]
    # Its metrics are at port 2112, whatever it is told (pkg/server/prometheus.go): one runs at a time.
    stack.enter_context(locked(cache() / "timestamp-server.lock"))
    _start(stack, folder, "timestamps", command, port)
    return f"http://127.0.0.1:{port}/api/v1/timestamp"


def _fulcio(stack: ExitStack, folder: Path, issuers: Mapping[str, str], certificate_log: str) -> str:
    port, grpc, metrics = _free_port(), _free_port(), _free_port()
    known = {
        url: {"IssuerURL": url, "ClientID": "sigstore", "Type": "kubernetes", "CACert": authority}
        for url, authority in issuers.items()
    }
    (folder / "fulcio.json").write_text(json.dumps({"OIDCIssuers": known}))
    options = {
        "host": "127.0.0.1",
        "port": port,
        "grpc-host": "127.0.0.1",
        "grpc-port": grpc,
        "metrics-port": metrics,
        "legacy-unix-domain-socket": folder / "fulcio.socket",
        "ca": "fileca",
        "fileca-cert": folder / "authority.pem",
        "fileca-key": folder / "authority.key",
        "fileca-key-passwd": _PASSWORD.decode(),
        "fileca-watch": "false",
        "config-path": folder / "fulcio.json",
        "ct-log-url": certificate_log,
        "ct-log-public-key-path": folder / "certificates.pub",
        "ct-log-origin": _CERTIFICATE_LOG_NAME,
    }
    _start(stack, folder, "fulcio", [_program("fulcio"), "serve", *_options(options)], port)
    return f"http://127.0.0.1:{port}"


def _program(name: str) -> str:
    return str(sigstore_programs()[0] / name)


def _options(options: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]


def _start(stack: ExitStack, folder: Path, name: str, command: Sequence[str], port: int) -> None:
    log = folder / f"{name}.log"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = stack.enter_context(running(command, log=log, env=env, cwd=folder))
    wait_until(process, lambda: _listens(port), log=log)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    # These servers must be told their ports, for they tell each other; the kernel gives these to nobody else.
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def _known_log(url: str, key: Any, details: str, key_id: bytes) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": _base64(_der(key)), "keyDetails": details, "validFor": _valid()},
        "logId": {"keyId": _base64(key_id)},
    }


def _known_authority(url: str, chain: Sequence[x509.Certificate]) -> dict[str, Any]:
    certificates = [{"rawBytes": _base64(each.public_bytes(Encoding.DER))} for each in chain]
    return {
        "subject": {"organization": "test", "commonName": "test"},
        "uri": url,
        "certChain": {"certificates": certificates},
        "validFor": _valid(),
    }


def _service(url: str, version: int) -> list[dict[str, Any]]:
    return [{"url": url, "majorApiVersion": version, "validFor": _valid(), "operator": "test"}]


def _valid() -> dict[str, str]:
    return {"start": (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _write_key(file: Path, key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> None:
    file.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))


def _pem(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _der(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
