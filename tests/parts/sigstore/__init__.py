"""Sigstore's own servers, built from their Go modules: Fulcio, a certificate log, Rekor and a timestamp authority."""

from tests.parts.sigstore.server import ACCOUNT, Sigstore, sigstore

__all__ = ["ACCOUNT", "Sigstore", "sigstore"]
