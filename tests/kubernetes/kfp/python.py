"""A Python environment of its own: ML Metadata wants an older protobuf than kfp does."""

from pathlib import Path

from tests.parts.virtual_environment import virtual_environment

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def environment() -> Path:
    """Makes the environment unless the cache has it.

    Returns:
        Its folder.

    Raises:
        BuildError: A package cannot be had.
    """
    return virtual_environment("kfp-python", _REQUIREMENTS)
