"""File systems of our own, so that what a process writes can be read off exactly, and the thread that reads it."""

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.02


@contextmanager
def ext4(place: Path, size: int) -> Iterator[Path]:
    """Mounts a new ext4 file system.

    Args:
        place: Where to mount it, on a disk that has room.
        size: Bytes it pretends to have; the image is sparse.

    Yields:
        The place.
    """
    with _mounted(place, size, ("mkfs.ext4", "-q", "-m", "0"), "discard"):
        yield place


@contextmanager
def compressed(place: Path, size: int) -> Iterator[Path]:
    """Mounts a new file system that compresses what it keeps: btrfs, with zstd.

    Args:
        place: Where to mount it, on a disk that has room for what is left.
        size: Bytes it pretends to have; the image is sparse.

    Yields:
        The place.
    """
    with _mounted(place, size, ("mkfs.btrfs", "-q"), "discard,compress-force=zstd:1"):
        yield place


@contextmanager
def _mounted(place: Path, size: int, make: tuple[str, ...], options: str) -> Iterator[None]:
    """Mounts a new file system in a sparse file.

    The file has no name any more once it is mounted, and the mount is one of this process's own namespace: when the
    process ends, however it ends, the kernel frees both.
    """
    place.mkdir()
    image = place.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size)
    try:
        _run(*make, image)
        # Direct: else everything is cached twice and written back at some other time than a disk's cache would be.
        device = _run("losetup", "--find", "--show", "--direct-io=on", image)
        try:
            _run("mount", "-o", options, device, place)
        finally:
            # While it is mounted this only means: detach when it no longer is.
            _run("losetup", "--detach", device)
    finally:
        image.unlink()
    try:
        yield
    finally:
        _run("umount", "--lazy", place)


@contextmanager
def tmpfs(place: Path, size: int) -> Iterator[Path]:
    """Mounts a new file system in memory, of so many bytes at most."""
    place.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
    try:
        yield place
    finally:
        _run("umount", "--lazy", place)


def bytes_read(place: Path) -> int:
    """Returns how many bytes were ever read from the device that a file system is on."""
    device = os.stat(place).st_dev
    sectors = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()[2]
    return 512 * int(sectors)


@contextmanager
def memory_limit(size: int) -> Iterator[list[str]]:
    """Makes a control group with so much memory, of files that are kept in it too; gives what a command begins with.

    Args:
        size: Bytes; 0 for no limit.
    """
    if not size:
        yield []
        return
    root = Path("/sys/fs/cgroup")
    version_2 = (root / "cgroup.controllers").exists()
    group = (root if version_2 else root / "memory") / f"modelcar-benchmark-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.max" if version_2 else "memory.limit_in_bytes")).write_text(str(size))
        yield ["sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', str(group)]
    finally:
        group.rmdir()


def settle(place: Path) -> None:
    """Waits until a file system has written all it holds, so that no run pays for what the one before it left."""
    _run("sync", "--file-system", place)


class Watch:
    """Looks at file systems again and again, and keeps the most that each of them grew.

    The kernel's own count of allocated blocks is read: hard-linked files count once, deleted ones that are still open
    count too, and so do blocks that are not on the disk yet.

    Args:
        places: A directory on each file system, by the name to give it.
    """

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._places = places
        self._before = {name: _used(place) for name, place in places.items()}
        self.most = dict.fromkeys(places, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_LOOKS):
            for name, place in self._places.items():
                self.most[name] = max(self.most[name], _used(place) - self._before[name])


def _used(place: Path) -> int:
    state = os.statvfs(place)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def _run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed: {done.stderr.strip()}")
    return done.stdout.strip()
