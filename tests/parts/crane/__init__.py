"""The registry of go-containerregistry (`crane registry serve`), built from its Go module."""

from tests.parts.crane.server import crane_program, crane_registry

__all__ = ["crane_program", "crane_registry"]
