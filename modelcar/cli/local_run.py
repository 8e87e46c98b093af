"""Runs a pipeline on this machine with kfp's local runner: the same function that is compiled for a cluster."""

import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from rich.text import Text

from modelcar import pod
from modelcar.cli.run_display import LineWriter, RunDisplay, log_columns
from modelcar.cli.step_process import steps_of_our_own
from modelcar.errors import ModelcarError
from modelcar.records.step_record import StepRecord, last_error, records_in
from modelcar.records.termination_message import EndedError

_ARTIFACTS = {
    "plan": "plan.md",
    "plan_page": "plan.html",
    "report": "report.md",
    "report_page": "report.html",
    "inference_service": "inference-service.yaml",
    "llm_inference_service": "llm-inference-service.yaml",
}
"""Artifacts of the steps that are kept, and the names of their files."""


@dataclass(frozen=True)
class Setting:
    """Surroundings of a run.

    Attributes:
        claim: The folder that stands for the claim.
        report: The folder that plan, report and YAML are kept in.
        log: Where the display goes.
        verbose: Whether all that kfp and the steps say is shown.
    """

    claim: Path
    report: Path
    log: IO[str]
    verbose: bool = False


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


def run(pipeline: Any, arguments: dict[str, Any], setting: Setting) -> Result:
    """Runs a pipeline to its end.

    Args:
        pipeline: A pipeline function.
        arguments: Its arguments.
        setting: Where it works, and where its display goes.

    Raises:
        ModelcarError: A step failed; with that step's last words.
    """
    from kfp import local

    warnings.filterwarnings("ignore", message=".*no effect in the current local runner")
    _fit_for_this_machine(pipeline.pipeline_spec)
    with tempfile.TemporaryDirectory(prefix="modelcar-run-") as place, _ending_with_the_terminal():
        records = Path(place, "records")
        records.touch()

        def last_record() -> StepRecord | None:
            return next(reversed(records_in(records.read_text())), None)

        display = RunDisplay(setting.log, last_record, verbose=setting.verbose)
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=place)
        try:
            with (
                redirect_stdout(cast(IO[str], LineWriter(display.kfp_says))),
                _environment(setting, records),
                steps_of_our_own(display.step_says, display.step_ends),
            ):
                pipeline(**arguments)
        except RuntimeError as error:
            said = last_error(records.read_text())
            raise ModelcarError(said or Text.from_ansi(str(error)).plain) from None
        except (EndedError, KeyboardInterrupt):
            display.interrupted()
            raise
        finally:
            _keep(Path(place), setting.report)
        return _result(records_in(records.read_text()))


def _keep(place: Path, folder: Path) -> None:
    """Keeps what the steps left to be read, in place of that of an earlier run."""
    found = {name: file for artifact, name in _ARTIFACTS.items() for file in place.rglob(artifact) if file.is_file()}
    if not found:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARTIFACTS.values():
            if name in found and found[name].stat().st_size:
                shutil.copyfile(found[name], folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        print(f"the report cannot be kept in {folder}: {error.strerror}. Name another: --report DIR", file=sys.stderr)


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


def _result(records: Sequence[StepRecord]) -> Result:
    made = [record.image for record in records if record.image]
    model, _, version = next((record.entry for record in records if record.entry), "").rpartition(" ")
    unchanged = any(record.step == "preflight" and record.unchanged for record in records)
    return Result(made[-1], model, version, unchanged)


@contextmanager
def _environment(setting: Setting, records: Path) -> Iterator[None]:
    """Tells the steps, which are processes of their own, what a pod's mounts would tell them."""
    settings = {
        pod.LOCAL_CLAIM: str(setting.claim.absolute()),
        pod.LOCAL_TERMINATION_LOG: str(records),
        # kfp leaves a directory behind for each step; in here they go with the run.
        "TMPDIR": str(records.parent),
    }
    if setting.log.isatty():
        settings |= {pod.TERMINAL: os.ttyname(setting.log.fileno()), "COLUMNS": str(log_columns())}
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _ending_with_the_terminal() -> Iterator[None]:
    """Takes a terminal that is closed for an order to end: the steps no longer hear of it themselves."""
    try:
        before = signal.getsignal(signal.SIGHUP)
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    except ValueError:
        # Not in the main thread, where signals are somebody else's matter.
        before = None
    try:
        yield
    finally:
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, before)
