"""Kubeflow Model Registry's real server, built from its Go module, on a real PostgreSQL."""

from tests.parts.model_registry.build import server_program
from tests.parts.model_registry.server import ModelRegistryServer, model_registry

__all__ = ["ModelRegistryServer", "model_registry", "server_program"]
