"""Runs a pipeline on this machine with kfp's local runner: the same function that is compiled for a cluster."""

import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
from rich.text import Text

from modelcar import pod
from modelcar.errors import ModelcarError
from modelcar.records.step_record import Record, last_error, records_in
from modelcar.records.termination_message import TIDY_SECONDS, EndedError

_INDENT = " " * 4
"""What kfp puts before each line of a step."""

_EXECUTOR = ("[KFP Executor", "---")


@dataclass(frozen=True)
class Result:
    """Results of a run.

    Attributes:
        image: The image to serve, pinned to its digest: the mirror's where there is one.
        model: Its name in the Model Registry; empty if it was not entered.
        version: Its version there.
        unchanged: Whether all of it was there before.
    """

    image: str
    model: str
    version: str
    unchanged: bool


def run(pipeline: Any, arguments: dict[str, Any], claim: Path, log: IO[str]) -> Result:
    """Runs a pipeline to its end.

    Args:
        pipeline: A pipeline function.
        arguments: Its arguments.
        claim: The directory that stands for the claim.
        log: Where the steps' logs go.

    Raises:
        ModelcarError: A step failed; with that step's last words.
    """
    from kfp import local

    warnings.filterwarnings("ignore", message=".*no effect in the current local runner")
    _fit_for_this_machine(pipeline.pipeline_spec)
    with tempfile.TemporaryDirectory(prefix="modelcar-run-") as place, redirect_stdout(StepLog(log)):
        records = Path(place, "records")
        records.touch()
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=place)
        with _environment(claim, records), _stopping_children():
            try:
                pipeline(**arguments)
            except RuntimeError as error:
                said = last_error(records.read_text())
                raise ModelcarError(said or Text.from_ansi(str(error)).plain) from None
        return _result(records_in(records.read_text()))


def _fit_for_this_machine(spec: Any) -> None:
    for executor in spec.deployment_spec["executors"].values():
        # They name files of Secrets that only pods have, in place of the token that this machine's user has.
        executor["container"].fields.pop("env", None)
    for component in (spec.root, *spec.components.values()):
        for task in component.dag.tasks.values():
            # In a cluster another try may do better; on one machine it would fail alike.
            task.ClearField("retry_policy")
            # kfp's local runner (2.17) finds a task's named output in a condition only by this form of its name.
            for name, value in task.inputs.parameters.items():
                output = value.task_output_parameter
                if output.producer_task and name in task.trigger_policy.condition:
                    found = f"pipelinechannel--{output.producer_task}--{output.output_parameter_key}"
                    task.trigger_policy.condition = task.trigger_policy.condition.replace(name, found)


def _result(records: Sequence[Record]) -> Result:
    made = [record.image for record in records if record.image]
    model, _, version = next((record.entry for record in records if record.entry), "").rpartition(" ")
    unchanged = any(record.step == "preflight" and record.unchanged for record in records)
    return Result(made[-1], model, version, unchanged)


class StepLog(io.TextIOBase):
    """Passes on what the steps say, without what kfp's executor says of itself, its inputs as JSON above all.

    Args:
        log: Where the rest goes.
    """

    def __init__(self, log: IO[str]) -> None:
        self._log = log
        self._line = ""
        self._in_json = False

    def write(self, text: str) -> int:
        """Takes any piece of text; whole lines are passed on."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if self._is_wanted(line):
                self._log.write(line + "\n")
        return len(text)

    def flush(self) -> None:
        """Passes on what was written."""
        self._log.flush()

    def _is_wanted(self, line: str) -> bool:
        if self._in_json:
            self._in_json = line.rstrip() != _INDENT + "}"
            return False
        said = line.strip()
        self._in_json = said.startswith("[KFP Executor") and said.endswith("Got executor_input:")
        return bool(said) and not said.startswith(_EXECUTOR)


@contextmanager
def _environment(claim: Path, records: Path) -> Iterator[None]:
    """Tells the steps, which are processes of their own, what a pod's mounts would tell them."""
    settings = {
        pod.LOCAL_CLAIM: str(claim.absolute()),
        pod.LOCAL_TERMINATION_LOG: str(records),
        # kfp leaves a directory behind for each step; in here they go with the run.
        "TMPDIR": str(records.parent),
    }
    if sys.__stdout__ is not None and sys.__stdout__.isatty():
        settings[pod.TERMINAL] = os.ttyname(sys.__stdout__.fileno())
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _stopping_children() -> Iterator[None]:
    """Passes a signal on: kfp's runner waits for its step, which hears of a terminal's Ctrl-C alone."""
    try:
        yield
    except (EndedError, KeyboardInterrupt):
        children = psutil.Process().children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        # Their last words come before ours.
        psutil.wait_procs(children, timeout=TIDY_SECONDS)
        raise
