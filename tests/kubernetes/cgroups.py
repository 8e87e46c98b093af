"""Control groups for the nodes: the one thing besides files that no namespace takes away with it."""

import os
import time
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_REMOVE_SECONDS = 600.0


def root_of(number: int) -> str:
    """The group of a whole cluster, as a path below each hierarchy."""
    return f"/modelcar{number}"


def create(group: str) -> None:
    """Makes a group in the hierarchy of version 2, or in all of version 1.

    Args:
        group: Its path below the hierarchies.
    """
    for hierarchy in _hierarchies():
        place = hierarchy
        for name in group.strip("/").split("/"):
            if _is_version_2():
                _pass_controllers_on(place)
            place = place / name
            place.mkdir(exist_ok=True)


def remove(group: str) -> None:
    """Removes a group with all below it; its processes have ended."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    for hierarchy in _hierarchies():
        for place, _, _ in os.walk(hierarchy / group.strip("/"), topdown=False):
            while True:
                try:
                    os.rmdir(place)
                    break
                except OSError:
                    # The kernel takes a moment to let go of processes that were killed.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)


def _is_version_2() -> bool:
    return (_MOUNT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    if _is_version_2():
        return [_MOUNT]
    return [place for place in _MOUNT.iterdir() if place.is_dir() and not place.is_symlink()]


def _pass_controllers_on(group: Path) -> None:
    controllers = (group / "cgroup.controllers").read_text().split()
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
