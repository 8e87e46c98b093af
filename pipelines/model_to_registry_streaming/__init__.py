"""From the Hub straight into the registries."""

from modelcar.pipelines.model_to_registry_streaming.pipeline import model_to_registry_streaming

__all__ = ["model_to_registry_streaming"]
