"""The serve step."""

from modelcar.components.serve.component import serve

__all__ = ["serve"]
