"""oras, the client for artifacts, built from its Go module."""

from tests.parts.oras.program import oras

__all__ = ["oras"]
