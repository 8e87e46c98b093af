"""The plan of a run on Vertex AI."""

from modelcar.components.preflight_on_vertex.component import preflight_on_vertex

__all__ = ["preflight_on_vertex"]
