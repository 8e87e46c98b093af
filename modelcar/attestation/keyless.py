"""Signatures without a key of one's own: by a certificate that says who signs, and a log that shows when.

A Sigstore of one's own (Red Hat Trusted Artifact Signer), or the public one, gives a certificate for some minutes to
whoever shows a token: Fulcio is the authority, Rekor the log. Where they are is in `signing_config.json`, and by which
keys they are known in `trusted_root.json`, both in the form that cosign 3 takes and makes (`cosign signing-config
create`, `cosign trusted-root create`). All that is checked of a signature is checked by the library sigstore.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from modelcar.attestation.identity_token import AUDIENCE, identity_token
from modelcar.attestation.keys import SigningError
from modelcar.deadline import DeadlineError, within
from modelcar.errors import on_one_line
from modelcar.oci.addresses import is_loopback
from modelcar.retries import retrying

if TYPE_CHECKING:
    # Whoever signs with a key, or not at all, starts sooner without it.
    from cryptography.x509 import Certificate
    from requests import Session
    from sigstore.models import TrustedRoot
    from sigstore.sign import Signer, SigningContext

TRUSTED_ROOT, SIGNING_CONFIG = "trusted_root.json", "signing_config.json"
"""Keys of a Secret, or files of a folder, with which to sign so."""

AUTHORITIES = "ca.crt"
"""Key of that Secret with the certificate authorities of Fulcio's and Rekor's own TLS, where they are not public."""

DEADLINE_SECONDS = 120.0
"""Time for one signature: a certificate, an entry in the log, a time stamp."""

_IN_TOTO = "application/vnd.in-toto+json"
_ISSUER = "1.3.6.1.4.1.57264.1.8"
"""Identifier of a certificate's extension that names the token's issuer, https://github.com/sigstore/fulcio."""

_UNWELL = frozenset({408, 429, 500, 502, 503, 504})
_TO_SPARE = timedelta(minutes=1)
_REQUEST_SECONDS = 30.0
_T = TypeVar("_T")


class SigstoreUnwellError(SigningError):
    """Fulcio, Rekor or the timestamp authority cannot be reached, or asked to be tried again."""

    may_pass = True


class Identity:
    """Checks signatures by the identity that their certificates name.

    Args:
        name: The identity, such as https://kubernetes.io/namespaces/team/serviceaccounts/modelcar-build.
        issuer: Who says so: the issuer of the token that was shown for the certificate.
        trusted_root: The authorities and logs that are believed.
    """

    def __init__(self, name: str, issuer: str, trusted_root: "TrustedRoot") -> None:
        from sigstore.errors import Error
        from sigstore.verify import Verifier
        from sigstore.verify.policy import Identity as Policy

        self.name, self.issuer = name, issuer
        self._policy = Policy(identity=name, issuer=issuer)
        try:
            self._verifier = Verifier(trusted_root=trusted_root)
        except (Error, ValueError) as error:
            raise SigningError(f"the trusted root names no authority and log: {_words(error)}") from None

    @classmethod
    def read(cls, name: str, issuer: str, trusted_root: Path | None = None) -> "Identity":
        """Reads whom to believe.

        Args:
            name: The identity.
            issuer: The issuer of the token.
            trusted_root: `trusted_root.json`; None for that of the public Sigstore, which is fetched.

        Raises:
            SigningError: The file is none, or the public one cannot be fetched.
        """
        return cls(name, issuer, _trusted_root(trusted_root) if trusted_root else _public_root())

    @property
    def words(self) -> str:
        """Returns how a signature of this one is spoken of."""
        return f"by {self.name}"

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Tells that a signature without a certificate is nobody's."""
        return False

    def payload(self, content: bytes) -> bytes | None:
        """Checks a bundle: certificate, log and signature.

        Args:
            content: The bundle.

        Returns:
            The statement that was signed; None unless this identity signed one.
        """
        from sigstore.models import Bundle

        try:
            kind, payload = self._verifier.verify_dsse(Bundle.from_json(content), self._policy)
        except Exception:
            # It is anybody's: whatever the library stumbles over is no signature.
            return None
        return payload if kind == _IN_TOTO else None


class Keyless:
    """Signs as whoever a token names.

    Args:
        folder: Holds TRUSTED_ROOT, SIGNING_CONFIG and, where it is needed, AUTHORITIES.
        token: Gives a token.

    Raises:
        SigningError: A file is missing, or is none.
    """

    _signer: "Signer | None" = None

    def __init__(self, folder: Path, token: Callable[[], str] = identity_token) -> None:
        from sigstore.models import SigningConfig
        from sigstore.sign import SigningContext

        self._root = _trusted_root(folder / TRUSTED_ROOT)
        servers = _parsed(folder / SIGNING_CONFIG, lambda file: SigningConfig.from_file(str(file)))
        with _explained("the signing config cannot be used"):
            self._context = SigningContext(
                fulcio=servers.get_fulcio(),
                rekor=servers.get_tlogs()[0],
                trusted_root=self._root,
                tsa_clients=servers.get_tsas(),
            )
        authorities = folder / AUTHORITIES
        self._authorities = str(authorities) if authorities.is_file() else ""
        self._token = token
        self._lock = threading.Lock()
        self._identity: Identity | None = None
        for url, _ in _sessions(self._context):
            _check_address(url)

    @property
    def public(self) -> Identity:
        """The identity that the certificate names, which checks what is signed here.

        Raises:
            SigningError: There is no token, or no certificate is given for it.
        """
        signer = self._with_certificate()
        with self._lock:
            if self._identity is None:
                with _explained("the certificate for signing cannot be read"):
                    name, issuer = _named(signer._signing_cert())
                self._identity = Identity(name, issuer, self._root)
            return self._identity

    @retrying
    def bundle(self, statement: bytes) -> bytes:
        """Signs an in-toto statement, and enters the signature into the log.

        Args:
            statement: The statement, encoded.

        Returns:
            A Sigstore bundle.

        Raises:
            SigningError: There is no token, or Fulcio or Rekor is out of reach or refuses.
        """
        from sigstore.dsse import Statement

        signer = self._with_certificate()

        def sign() -> bytes:
            _equip(self._context, self._authorities)
            return signer.sign_dsse(Statement(statement)).to_json().encode()

        with _explained("the log takes no entry"):
            return _in_time(sign)

    @retrying
    def _with_certificate(self) -> "Signer":
        """Returns a signer whose certificate still holds for a while."""
        from sigstore.oidc import IdentityToken
        from sigstore.sign import Signer

        with self._lock:
            if self._signer is None or self._signer._signing_cert().not_valid_after_utc < datetime.now(UTC) + _TO_SPARE:
                shown = self._token()

                def certify() -> Signer:
                    _equip(self._context, self._authorities)
                    return Signer(IdentityToken(shown, AUDIENCE), self._context)

                with _explained(f"no certificate for signing is given by {self._context._fulcio.url}", secret=shown):
                    self._signer = _in_time(certify)
            return self._signer


def is_configured(folder: Path) -> bool:
    """Tells whether a folder holds what one signs with in this way, or a part of it."""
    return any((folder / name).is_file() for name in (TRUSTED_ROOT, SIGNING_CONFIG))


def _named(certificate: "Certificate") -> tuple[str, str]:
    """Returns whom a certificate names, and who said so."""
    from cryptography.hazmat import asn1
    from cryptography.x509 import (
        ObjectIdentifier,
        RFC822Name,
        SubjectAlternativeName,
        UniformResourceIdentifier,
        UnrecognizedExtension,
    )

    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    found = [*names.get_values_for_type(UniformResourceIdentifier), *names.get_values_for_type(RFC822Name)]
    issuer = certificate.extensions.get_extension_for_oid(ObjectIdentifier(_ISSUER)).value
    if not found or not isinstance(issuer, UnrecognizedExtension):
        raise ValueError("it names nobody")
    return found[0], asn1.decode_der(str, issuer.value)


def _equip(context: "SigningContext", authorities: str) -> None:
    """Has the connections of this thread end in time, and know the servers by their own authorities."""
    from requests.adapters import HTTPAdapter

    class InTime(HTTPAdapter):
        def send(self, *args: Any, **options: Any) -> Any:
            bounded = {**options, "timeout": options.get("timeout") or _REQUEST_SECONDS}
            # Said here, for a session prefers what REQUESTS_CA_BUNDLE says to what it was told.
            return super().send(*args, **({**bounded, "verify": authorities} if authorities else bounded))

    for url, session in _sessions(context):
        for scheme in ("https://", "http://"):
            session.mount(scheme, InTime())
        # Nobody is sent elsewhere with a token, and no proxy reads one.
        session.max_redirects = 0
        session.trust_env = url.startswith("https://")


def _sessions(context: "SigningContext") -> list[tuple[str, "Session"]]:
    """Returns the addresses that are asked, and this thread's connections to them."""
    others: list[Any] = [context._rekor, *context._tsa_clients]
    return [(context._fulcio.url, context._fulcio.session), *((one.url, one._session) for one in others)]


def _in_time(work: Callable[[], _T]) -> _T:
    """Does work that must end, whatever a server sends now and then."""
    try:
        return within(DEADLINE_SECONDS, work)
    except DeadlineError:
        raise SigningError(f"it took longer than {DEADLINE_SECONDS:.0f} seconds") from None


def _check_address(url: str) -> None:
    """Raises for an address at which the token would be readable on its way."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    stays_within = is_loopback(host) or host.endswith((".svc", ".svc.cluster.local"))
    if parts.scheme == "https" or (parts.scheme == "http" and stays_within):
        return
    raise SigningError(
        f"{SIGNING_CONFIG} names {on_one_line(url)[:200]}, where the token would be readable on its way",
        "Write https://…, or, for a Service of this cluster, http://<name>.<namespace>.svc",
    )


def _trusted_root(file: Path) -> "TrustedRoot":
    from sigstore.models import TrustedRoot
    from sigstore_models.trustroot import v1

    def parse(place: Path) -> TrustedRoot:
        return TrustedRoot(v1.TrustedRoot.from_json(json.dumps(_complete(json.loads(place.read_bytes())))))

    return _parsed(file, parse)


def _complete(root: Any) -> Any:
    """Writes out what is empty: cosign leaves that out, as protobuf's JSON may, and the library wants it."""
    if not isinstance(root, dict):
        return root
    kinds = ("tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities")
    whole = {**{kind: [] for kind in kinds}, **root}
    for authority in [*whole["certificateAuthorities"], *whole["timestampAuthorities"]]:
        authority["subject"] = {"organization": "", "commonName": "", **authority.get("subject", {})}
    return whole


def _public_root() -> "TrustedRoot":
    from sigstore.models import ClientTrustConfig

    with _explained("the public Sigstore's trusted root cannot be fetched", "Give your own: --trusted-root FILE"):
        return _in_time(lambda: ClientTrustConfig.production().trusted_root)


def _parsed(file: Path, parse: Callable[[Path], _T]) -> _T:
    made_by = {TRUSTED_ROOT: "trusted-root", SIGNING_CONFIG: "signing-config"}.get(file.name, "trusted-root")
    with _explained(f"{file} cannot be read", f"`cosign {made_by} create` makes one"):
        return parse(file)


@contextmanager
def _explained(what: str, remedy: str = "", secret: str = "") -> Iterator[None]:
    """Says on one line what went wrong in the library, or in a server that it asked."""
    try:
        yield
    except SigningError as error:
        raise SigningError(f"{what}: {error.what}", error.remedy or remedy) from None
    except Exception as error:
        said = _words(error)
        if secret:
            said = said.replace(secret, "…")
        kind = SigstoreUnwellError if _may_pass(error) else SigningError
        raise kind(f"{what}: {said}", remedy) from None


def _may_pass(error: BaseException) -> bool:
    from requests import ConnectionError, HTTPError, RequestException, Timeout
    from requests.exceptions import SSLError

    under = error if isinstance(error, RequestException) else error.__cause__
    if isinstance(under, HTTPError):
        return under.response.status_code in _UNWELL
    return isinstance(under, ConnectionError | Timeout) and not isinstance(under, SSLError)


def _words(error: BaseException) -> str:
    """Returns what an error says, or the one under it where it says nothing itself."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return on_one_line(f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": "))[:500]
    return on_one_line(str(error) or str(error.__cause__ or "") or type(error).__name__)[:500]
