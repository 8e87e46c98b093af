"""Builds skopeo."""

import subprocess
from pathlib import Path

from tests.parts.go_programs import go_programs

_WITHOUT_C = "-tags=containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper"


def skopeo_program() -> Path:
    """Builds skopeo unless the cache has it.

    Returns:
        The program.
    """
    return go_programs("skopeo", Path(__file__).parent, flags=[_WITHOUT_C]) / "skopeo"


def run_skopeo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs Debian's skopeo to its end, however that is."""
    return subprocess.run(["skopeo", *map(str, arguments)], capture_output=True, text=True, timeout=600)


def skopeo(*arguments: str | Path) -> str:
    """Runs Debian's skopeo, which must succeed; gives what it prints."""
    done = run_skopeo(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout
