"""The register step."""

from modelcar.components.register.component import register

__all__ = ["register"]
