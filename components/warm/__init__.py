"""The warm step."""

from modelcar.components.warm.component import warm

__all__ = ["warm"]
