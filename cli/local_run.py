"""Runs a pipeline on this machine with kfp's local runner: the same function that is compiled for a cluster."""

import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import IO, Any

import psutil
from rich.text import Text

from modelcar.errors import ModelcarError
from modelcar.progress import TERMINAL


def run(pipeline: Any, arguments: dict[str, Any], claim: Path, log: IO[str]) -> dict[str, Any]:
    """Runs a pipeline to its end.

    Args:
        pipeline: A pipeline function.
        arguments: Its arguments.
        claim: The directory that stands for the claim.
        log: Where the steps' logs go.

    Returns:
        The pipeline's outputs.

    Raises:
        ModelcarError: A step failed; with that step's last words.
    """
    from kfp import local

    warnings.filterwarnings("ignore", message=".*no effect in the current local runner")
    # A lost node is worth another try; on one machine a second try would fail alike.
    for task in pipeline.pipeline_spec.root.dag.tasks.values():
        task.ClearField("retry_policy")
    with tempfile.TemporaryDirectory(prefix="modelcar-run-") as place, redirect_stdout(log):
        last_words = Path(place, "last-words")
        last_words.touch()
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=place)
        with _environment(claim, last_words), _stopping_children():
            try:
                return dict(pipeline(**arguments).outputs)
            except RuntimeError as error:
                said = last_words.read_text().strip().removeprefix("error: ")
                raise ModelcarError(said or Text.from_ansi(str(error)).plain) from None


@contextmanager
def _environment(claim: Path, last_words: Path) -> Iterator[None]:
    """Tells the steps, which are processes of their own, what a pod's mounts would tell them."""
    settings = {
        "MODELCAR_CLAIM": str(claim.absolute()),
        "MODELCAR_TERMINATION_LOG": str(last_words),
        # kfp leaves a directory behind for each step; in here they go with the run.
        "TMPDIR": str(last_words.parent),
    }
    if sys.__stdout__ is not None and sys.__stdout__.isatty():
        settings[TERMINAL] = os.ttyname(sys.__stdout__.fileno())
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _stopping_children() -> Iterator[None]:
    """Passes SIGTERM on: kfp's runner waits for its step, which would not hear of it."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for child in psutil.Process().children(recursive=True):
            child.terminate()
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
