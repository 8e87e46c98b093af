"""From a claim straight into the registries."""

from modelcar.pipelines.claim_to_registry.pipeline import claim_to_registry

__all__ = ["claim_to_registry"]
