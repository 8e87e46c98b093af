"""The registry of the distribution project at version 3, built from its Go module: docker-registry's successor."""

from tests.parts.distribution.server import distribution_registry

__all__ = ["distribution_registry"]
