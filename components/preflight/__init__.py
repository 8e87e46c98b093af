"""The preflight step."""

from modelcar.components.preflight.component import preflight

__all__ = ["preflight"]
