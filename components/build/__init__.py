"""The build step."""

from modelcar.components.build.component import build

__all__ = ["build"]
