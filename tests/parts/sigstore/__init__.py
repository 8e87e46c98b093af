"""Sigstore's own servers, built from their Go modules: Fulcio, a certificate log, Rekor and a timestamp authority."""

from tests.parts.sigstore.issuer import ACCOUNT, Issuer
from tests.parts.sigstore.server import Sigstore, sigstore, sigstore_programs

__all__ = ["ACCOUNT", "Issuer", "Sigstore", "sigstore", "sigstore_programs"]
