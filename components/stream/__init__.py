"""The stream step."""

from modelcar.components.stream.component import stream

__all__ = ["stream"]
