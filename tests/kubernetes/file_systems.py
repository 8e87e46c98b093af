"""File systems of any size that all nodes see: what claims stand for."""

import subprocess
from pathlib import Path

from tests.kubernetes.machine import Machine


class FileSystems:
    """Loop devices, mounted on the control machine and, by shared mounts, on the nodes.

    Args:
        control: The control machine, whose mounts the nodes start with.
        folder: Where to mount them.
    """

    def __init__(self, control: Machine, folder: Path) -> None:
        self._control = control
        self._folder = folder

    def set_up(self) -> None:
        """Lets the nodes, which start later, see what is mounted below the folder even after their start."""
        self._folder.mkdir()
        self._control.run("mount", "--bind", str(self._folder), str(self._folder))
        self._control.run("mount", "--make-shared", str(self._folder))

    def make(self, name: str, size: int) -> Path:
        """Makes a file system that group 0 may write.

        Args:
            name: A name that no other has.
            size: Bytes.

        Returns:
            Where pods find it, as hostPath.
        """
        place, image = self._folder / name, self._image(name)
        make_ext4(image, size)
        self._control.run("mkdir", "-p", str(place))
        self._control.run("mount", "-o", "loop,discard", str(image), str(place))
        self._control.run("rmdir", str(place / "lost+found"))
        self._control.run("chmod", "2775", str(place))
        return place

    def remove(self, name: str) -> None:
        """Removes one; its pods have ended."""
        self._control.run("umount", str(self._folder / name))
        self._image(name).unlink(missing_ok=True)

    def seen_from_host(self, name: str) -> Path:
        """One of them, for a look from outside of the machines."""
        return self._control.root / str(self._folder / name).lstrip("/")

    def _image(self, name: str) -> Path:
        return self._folder.with_name(f"{self._folder.name}-{name}.img")


def make_ext4(image: Path, size: int) -> None:
    """Makes a file that holds an empty file system; it takes no room until something is written.

    Args:
        image: The file.
        size: Bytes.
    """
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)], check=True)
