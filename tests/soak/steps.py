"""The pipeline's steps as processes that can be killed at any moment, forked from one that has imported all."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

import modelcar.hub.read_ahead
import modelcar.hub.reader
import modelcar.model_registry
import modelcar.oci.connection
import modelcar.steps.build
import modelcar.steps.download
import modelcar.steps.mirror
import modelcar.steps.register
import modelcar.steps.stream
from modelcar.hub.selection import Selection
from modelcar.image.request import ImageRequest
from modelcar.records.termination_message import ERROR, exit_with_one_line
from modelcar.steps.build import BuildRequest

PAUSES = 0.02
"""Of the pauses between attempts, which are meant for hours of work, this part is waited."""

ANSWER_SECONDS = 4.0
"""Likewise, for answers that never come."""

WINDOW_BYTES = 256 << 10

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Outcome:
    """How a step's process ended.

    Attributes:
        code: Its exit code; -9 if it was killed.
        said: What it wrote to stdout and stderr.
        result: What the step gave, if it finished.
    """

    code: int
    said: str
    result: str

    @property
    def kind(self) -> str:
        """`finished`, `killed`, `named` (failed in a line of its own), or `bad`: anything else."""
        if self.code == 0:
            return "finished"
        if self.code == -signal.SIGKILL:
            return "killed"
        named = [line for line in self.said.splitlines() if line.startswith(ERROR)]
        return "named" if self.code == 1 and len(named) == 1 and "Traceback" not in self.said else "bad"

    @property
    def error(self) -> str:
        """The line that says why it failed."""
        return next((line for line in self.said.splitlines() if line.startswith(ERROR)), "")


class Attempt:
    """A step under way, in a process group of its own.

    Args:
        step: Its name.
        arguments: Its arguments.
        environment: Variables for it.
        place: A directory for its log and its result.
    """

    def __init__(self, step: str, arguments: Mapping[str, Any], environment: Mapping[str, str], place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self._log, self._result = place / "log", place / "result"
        for file in (self._log, self._result):
            file.unlink(missing_ok=True)
        inside = (step, dict(arguments), dict(environment), self._log, self._result)
        self._process = _FORKED.Process(target=_run, args=inside, daemon=True)
        self._process.start()

    def kill(self, *, family: bool) -> None:
        """Kills the process, and on demand what it started, as the end of a pod does."""
        pid = self._process.pid
        assert pid
        with suppress(ProcessLookupError, PermissionError):
            if family:
                os.killpg(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)

    def outcome(self, seconds: float) -> Outcome:
        """Waits for the end."""
        self._process.join(seconds)
        hangs = self._process.is_alive()
        if hangs:
            self.kill(family=True)
            self._process.join()
        code = self._process.exitcode
        assert code is not None
        said = self._log.read_text(errors="replace") if self._log.exists() else ""
        result = self._result.read_text() if self._result.exists() else ""
        return Outcome(code, f"{said}\nhangs" if hangs else said, result) if not hangs else Outcome(99, said, "")


def _run(step: str, arguments: dict[str, Any], environment: dict[str, str], log: Path, result: Path) -> None:
    with suppress(PermissionError):
        os.setsid()
    os.environ.update(environment)
    words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(words, stream)
    _hurry()
    with exit_with_one_line():
        done = STEPS[step](**arguments)
    result.write_text(json.dumps(done))


def _hurry() -> None:
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(seconds * PAUSES)  # type: ignore[assignment]
    modelcar.oci.connection.READ_SECONDS = ANSWER_SECONDS
    modelcar.hub.reader.TIMEOUT_SECONDS = (ANSWER_SECONDS, ANSWER_SECONDS)
    modelcar.hub.reader.LINK_SECONDS = modelcar.hub.read_ahead.SILENCE_SECONDS = ANSWER_SECONDS / 4
    modelcar.hub.read_ahead.MAX_SILENCE_SECONDS = ANSWER_SECONDS
    # Several windows a file, small as the files are.
    modelcar.hub.read_ahead.MIN_WINDOW_BYTES = WINDOW_BYTES
    modelcar.model_registry.ANSWER_SECONDS = 2 * ANSWER_SECONDS
    constants.HF_HUB_DOWNLOAD_TIMEOUT = constants.HF_HUB_ETAG_TIMEOUT = int(ANSWER_SECONDS)


def _download(model: str, claim: str) -> str:
    return str(modelcar.steps.download.download(Selection(model), Path(claim)).directory)


def _build(directory: str, target: str, builder: Any) -> str:
    return modelcar.steps.build.build(
        BuildRequest(directory=Path(directory), image=ImageRequest(target), builder=builder)
    ).image.digest


def _stream(model: str, target: str, mirror: str = "") -> str:
    done = modelcar.steps.stream.stream(Selection(model), ImageRequest(target, mirror_target=mirror))
    assert not mirror or (done.mirrored and done.mirrored.digest == done.image.digest)
    return done.image.digest


def _mirror(source: str, target: str) -> str:
    return modelcar.steps.mirror.mirror(source, target).image.digest


def _register(source: str, url: str, name: str) -> str:
    return modelcar.steps.register.register(source, url, name=name).uri


STEPS: dict[str, Callable[..., str]] = {
    "download": _download,
    "build": _build,
    "stream": _stream,
    "mirror": _mirror,
    "register": _register,
}
