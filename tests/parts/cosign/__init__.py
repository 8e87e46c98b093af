"""cosign, built from its Go module: the judge of our signatures and attestations."""

from tests.parts.cosign.program import cosign, cosign_program

__all__ = ["cosign", "cosign_program"]
