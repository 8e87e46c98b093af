"""A skopeo that judges cosign's signatures, built from its Go module: Debian's has that taken out."""

from tests.parts.skopeo.program import skopeo_program

__all__ = ["skopeo_program"]
