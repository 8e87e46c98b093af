"""The stream step, on Vertex AI."""

from modelcar.components.stream_on_vertex.component import stream_on_vertex

__all__ = ["stream_on_vertex"]
