"""Runs a command as a pod would: its writes outside the claim go to a layer of its own, and all it uses is measured.

The machine's root file system is the read-only lower layer of an overlay, a new file system in memory is its upper one.
So whatever the command writes to /tmp, /var/tmp, /var/lib/containers, /run or its home is counted, nobody else's writes
are, and nothing of the machine is changed. Every measured command runs like this, ours and the peers'.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import disk

HOME = "/home/modelcar"
REPOSITORY = Path(__file__).parents[1]
LARGEST_LAYER = 1 << 30
LINES_SHOWN = 20
_LOOKS_BETWEEN_FAMILY_LOOKS = 10

# If this process is killed, so is the command.
_BOUND_TO_US = ("setpriv", "--pdeathsig", "KILL", "--")
_ENTER = """
set -eu
node=$1; shift
mkdir "$node/upper" "$node/work" "$node/root"
mount -t overlay pod -o "lowerdir=/,upperdir=$node/upper,workdir=$node/work" "$node/root"
for place in /proc /sys /dev; do mount --rbind "$place" "$node/root$place"; done
while [ "$1" != -- ]; do mkdir -p "$node/root$1"; mount --bind "$1" "$node/root$1"; shift; done
shift
mkdir -p "$node/root$HOME"
exec chroot "$node/root" "$@"
"""


@dataclass(frozen=True)
class Measurement:
    """What one run of one command took.

    Attributes:
        seconds: From start to end, by the clock on the wall.
        memory: The most resident memory that one process of a program had, in bytes, by the program's name.
        disk: The most that a file system grew, in bytes: `node` is the pod's own layer, others were asked for.
        processor: Seconds of processor that the command took, with all that it started.
        read: Bytes that were read from the claim's device meanwhile.
    """

    seconds: float
    memory: Mapping[str, int]
    disk: Mapping[str, int]
    processor: float = 0.0
    read: int = 0


class Pods:
    """Runs commands, each in a pod of its own.

    Args:
        folder: For the pods' layers and the commands' output.
        mounts: What commands find at the same path as we do, besides the root file system; `claim` among them.
    """

    def __init__(self, folder: Path, mounts: Mapping[str, Path]) -> None:
        self._folder = folder
        self._mounts = mounts
        self._bytecode = folder / "bytecode"
        self._bytecode.mkdir(parents=True)

    def run(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None, memory: int = 0) -> Measurement:
        """Runs a command to its end and measures it.

        Args:
            command: The program and its arguments.
            env: Variables besides the few that every command gets.
            memory: Bytes of memory, files that are kept in it included, that the command may have; 0 for no limit.

        Raises:
            SystemExit: It failed; with the end of its output.
        """
        output = self._folder / "output"
        with disk.tmpfs(self._folder / "node", LARGEST_LAYER) as node:
            binds = [*self._mounts.values(), self._bytecode, *_elsewhere()]
            entered = [*_BOUND_TO_US, "unshare", "--mount", "sh", "-c", _ENTER, "sh", node, *binds, "--", *command]
            watched = {"node": node, "claim": self._mounts["claim"]}
            read, processor = disk.bytes_read(self._mounts["claim"]), _processor_of_children()
            with output.open("wb") as words, disk.Watch(watched) as watch, disk.memory_limit(memory) as limited:
                start = time.perf_counter()
                process = subprocess.Popen(
                    list(map(str, [*limited, *entered])),
                    env=self._environment() | dict(env or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=subprocess.STDOUT,
                    # A process group of its own, to be ended as a whole.
                    start_new_session=True,
                )
                with _ended_with_us(process), _Family(process.pid) as family:
                    process.wait()
                    seconds = time.perf_counter() - start
        if process.returncode:
            last = output.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
            raise SystemExit("\n".join([f"{' '.join(map(str, command))} failed:", *last]))
        processor = _processor_of_children() - processor
        return Measurement(seconds, family.most, watch.most, processor, disk.bytes_read(self._mounts["claim"]) - read)

    def _environment(self) -> dict[str, str]:
        # Python's compiled modules outlive the pod's layer, as an installed package's do; the warm-up makes them.
        return {
            "PATH": os.defpath + ":/usr/local/bin:/usr/sbin:/sbin",
            "HOME": HOME,
            "LANG": "C.UTF-8",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPYCACHEPREFIX": str(self._bytecode),
        }


class _Family:
    """Keeps the most memory that a process and its descendants had, as the kernel keeps it for each of them.

    Not wait4's ru_maxrss: that begins with the memory of the process that started the child.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Family":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        looks = 0
        while not self._stop.wait(disk.SECONDS_BETWEEN_LOOKS):
            self._look(self._pid)
            looks += 1
            # To find descendants is to read all of /proc: too dear to do at each look.
            if looks % _LOOKS_BETWEEN_FAMILY_LOOKS == 0:
                with contextlib.suppress(psutil.Error):
                    for child in psutil.Process(self._pid).children(recursive=True):
                        self._look(child.pid)

    def _look(self, pid: int) -> None:
        with contextlib.suppress(OSError, KeyError):
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            name, peak = status["Name"], int(status["VmHWM"].split()[0]) << 10
            self.most[name] = max(self.most.get(name, 0), peak)


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _elsewhere() -> list[Path]:
    """Python's and our own directories where they are not on the root file system, which is all an overlay shows."""
    root = os.stat("/").st_dev
    return [place for place in (Path(sys.prefix), Path(sys.base_prefix), REPOSITORY) if place.stat().st_dev != root]
