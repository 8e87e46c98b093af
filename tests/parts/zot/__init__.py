"""The registry zot, built from its Go module.

The module proxy has no newer version than 1.4 (2022), and has that under the repository's name alone, hence the
`replace` in go.mod.
"""

from tests.parts.zot.server import zot_registry

__all__ = ["zot_registry"]
