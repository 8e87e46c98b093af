"""A machine within this machine: namespaces of its own for processes, mounts and network, all gone when its init is.

What would otherwise have to be undone piece by piece (processes, mounts, network devices, routes) ends with the
namespaces. Only control groups and files outlive them.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

HANG_SECONDS = 600.0
"""Ends a hang, and nothing else: a busy machine takes its time to start a program, and to end one."""

STOP_SECONDS = 20.0
_INIT = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans are reaped by the kernel
signal.signal(signal.SIGINT, signal.SIG_IGN)
if sys.argv[2] == "tied":
    os.read(0, 1)
while sys.argv[2] != "tied":
    signal.pause()
"""


class MachineError(RuntimeError):
    """A command in a machine failed."""


class Machine:
    """A machine, found again by its folder in any process of the host.

    Attributes:
        name: Its host name.
        folder: Holds the processes' ids and logs.
        programs: A folder of programs that are found before the host's.
    """

    def __init__(self, name: str, folder: Path, programs: Path) -> None:
        self.name = name
        self.folder = folder
        self.programs = programs

    def boot(self, tied_to: int | None = None, inside: "Machine | None" = None) -> None:
        """Makes the namespaces.

        Args:
            tied_to: A pipe's end for reading: the machine ends when all ends for writing are closed, thus also when
                their processes are killed. Without it the machine runs until it is told to stop.
            inside: The machine whose mounts it starts with, and sees when they are made below shared mount points.
        """
        self.folder.mkdir(parents=True)
        spaces = ["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child"]
        command = ["unshare", *spaces, sys.executable, "-c", _INIT, str(self.folder), "tied" if tied_to else "free"]
        if inside:
            entered = ["nsenter", f"--target={inside.pid}", "--mount"]
            command = [*entered, command[0], "--propagation=unchanged", *command[1:]]
        process = self._detached(command, "init", stdin=tied_to or subprocess.DEVNULL)
        self._note("init", _only_child(process))
        self._wait_for_init(process)
        self.run("hostname", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def _wait_for_init(self, process: "subprocess.Popen[bytes]") -> None:
        """Returns when the init is itself; before, it makes all mounts private, those that are shared meanwhile too."""
        deadline = time.monotonic() + HANG_SECONDS
        while Path("/proc", str(self.pid), "cmdline").read_bytes().split(b"\0")[0] != os.fsencode(sys.executable):
            if process.poll() is not None or time.monotonic() > deadline:
                raise MachineError(f"{self.name} did not start: see {self.log('init')}")
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """The process id of its init, as the host counts."""
        return self._noted("init")

    @property
    def root(self) -> Path:
        """Its file systems, for a look from outside."""
        return Path("/proc", str(self.pid), "root")

    @property
    def is_up(self) -> bool:
        """Whether its init lives."""
        try:
            # A number may have been given to another process since.
            return str(self.folder).encode() in Path("/proc", str(self.pid), "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    def shut_down(self) -> None:
        """Ends everything in it."""
        if not self.is_up:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            init = psutil.Process(self.pid)
            init.kill()
            # The init is gone only after all processes of its namespace.
            init.wait(HANG_SECONDS)

    def run(self, *command: str) -> str:
        """Runs a command in the machine and returns what it says.

        Raises:
            MachineError: It failed; with its own words.
        """
        done = subprocess.run(
            [*self._enter(), *command], env=self._environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MachineError(f"{self.name}: {' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def start(self, name: str, command: Sequence[str]) -> None:
        """Starts a process that goes on when this one ends.

        Args:
            name: What to call it, here and in `stop`.
            command: The program and its arguments.
        """
        process = self._detached([*self._enter(), *command], name)
        self._note(name, _only_child(process))

    def stop(self, name: str, seconds: float = STOP_SECONDS) -> None:
        """Stops a process that was started, and waits until it is gone.

        Args:
            name: What it was called.
            seconds: How long it may take to end by itself.
        """
        process = self._process(name)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()

    def is_running(self, name: str) -> bool:
        """Whether a process that was started still runs."""
        return self._process(name) is not None

    def log(self, name: str) -> Path:
        """The file with a process's words."""
        return self.folder / f"{name}.log"

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--uts", "--ipc", "--pid", "--wd=/", "--"]

    def _environment(self) -> dict[str, str]:
        # Nothing else: programs would take the way to the API server through a proxy that is named there.
        return {"PATH": f"{self.programs}:{os.environ['PATH']}"}

    def _detached(self, command: Sequence[str], name: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )

    def _process(self, name: str) -> psutil.Process | None:
        pid = self._noted(name)
        try:
            # A number may have been given to a process of somebody else's since.
            inside = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{self.pid}/ns/pid")
        except OSError:
            return None
        return psutil.Process(pid) if inside else None

    def _note(self, name: str, pid: int) -> None:
        (self.folder / f"{name}.pid").write_text(str(pid))

    def _noted(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text())


def _only_child(process: subprocess.Popen[bytes]) -> int:
    """The process that nsenter or unshare has forked: its id as the host counts."""
    deadline = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MachineError(f"{shutil.which(str(process.args[0]))} ended with status {process.returncode}")  # type: ignore[index]
        if children := psutil.Process(process.pid).children():
            return children[0].pid
        time.sleep(0.01)
    raise MachineError(f"{process.args!r} started nothing")
