"""The download step."""

from modelcar.components.download.component import download

__all__ = ["download"]
