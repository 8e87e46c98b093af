"""From the Hub through a claim and buildah to the registries."""

from modelcar.pipelines.model_to_registry.pipeline import model_to_registry

__all__ = ["model_to_registry"]
