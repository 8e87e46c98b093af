"""The mirror step."""

from modelcar.components.mirror.component import mirror

__all__ = ["mirror"]
