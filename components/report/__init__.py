"""The report step."""

from modelcar.components.report.component import report

__all__ = ["report"]
