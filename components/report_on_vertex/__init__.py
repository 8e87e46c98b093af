"""The report at the end of a run on Vertex AI."""

from modelcar.components.report_on_vertex.component import report_on_vertex

__all__ = ["report_on_vertex"]
