"""The forge Gitea, whose package registry keeps OCI images, built from its Go module.

Of 1.27 some modules cannot be had from the module proxy; 1.24 is the newest that builds.
"""

from tests.parts.gitea.server import PROGRAMS, gitea_registry

__all__ = ["PROGRAMS", "gitea_registry"]
