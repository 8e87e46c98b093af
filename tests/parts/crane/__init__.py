"""The registry of go-containerregistry (`crane registry serve`), built from its Go module."""

from tests.parts.crane.build import BuildError, crane_program
from tests.parts.crane.server import crane_registry

__all__ = ["BuildError", "crane_program", "crane_registry"]
