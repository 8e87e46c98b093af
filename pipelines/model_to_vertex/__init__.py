"""From the Hub into Vertex AI's Model Registry."""

from modelcar.pipelines.model_to_vertex.pipeline import model_to_vertex

__all__ = ["model_to_vertex"]
