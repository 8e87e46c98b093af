"""Zig, whose C compiler builds the shell of the default base image, installed once into the user's cache."""

from pathlib import Path

from tests.parts.virtual_environment import virtual_environment

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "zig.txt"


def python_with_zig() -> str:
    """Returns a Python that can run `-m ziglang`, of the version that the project pins."""
    return str(virtual_environment("zig", REQUIREMENTS) / "bin" / "python")
