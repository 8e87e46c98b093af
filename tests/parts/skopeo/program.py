"""Builds skopeo."""

from pathlib import Path

from tests.parts.go_programs import go_programs

_WITHOUT_C = "-tags=containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper"


def skopeo_program() -> Path:
    """Builds skopeo unless the cache has it.

    Returns:
        The program.
    """
    return go_programs("skopeo", Path(__file__).parent, flags=[_WITHOUT_C]) / "skopeo"
