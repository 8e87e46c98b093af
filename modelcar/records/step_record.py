"""Record of a step's work, one line of JSON in its container's termination log, where the report reads it.

Kubernetes keeps a container's termination log in the pod's status, so that the lines survive the containers and need no
storage of ours. In a local run all steps share one such file.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, ValidationError, field_serializer, field_validator

from modelcar import pod
from modelcar.errors import on_one_line
from modelcar.records.disk_usage import DiskWatch, Point, thinned
from modelcar.records.termination_message import ERROR, leave

MAX_RECORD_BYTES = 1500
"""Bytes of a record. The kubelet takes 4096 from a container, but cuts what it took to 12 KiB / the number of the pod's
containers. A pipeline's pod has four to six of those, and before the record there may be an error line."""

MAX_RECORDED_ERROR_CHARS = 300


class StepRecord(BaseModel):
    """Record of a step's work. Steps fill in what they know.

    Attributes:
        step: The step's name, such as `build`.
        start: When it began, in seconds since 1970.
        end: When it ended.
        failed: Whether it failed.
        error: What it failed of, in one line.
        moved_bytes: Bytes that it fetched or sent.
        size: Size of the model in bytes.
        commit: The model's commit.
        image: The image, pinned to its digest.
        unchanged: Whether everything was there already.
        entry: Where it is in the Model Registry, `name version`.
        entry_ids: The same by the ids of the registered model and the version.
        service: The InferenceService that serves it.
        pull_seconds: Seconds that a node took to pull the image for it.
        start_seconds: Seconds from its server's start until it was ready.
        answer: What it answered when it was asked.
        claim_need: Bytes of the claim that preflight expects the run to need.
        node_need: Bytes of the node's own disk that preflight expects the build to need.
        disk: Free space while it ran.
    """

    model_config = ConfigDict(validate_assignment=True)

    step: str
    start: float
    end: float = 0.0
    failed: bool = False
    error: str = ""
    moved_bytes: int = 0
    size: int = 0
    commit: str = ""
    image: str = ""
    unchanged: bool = False
    entry: str = ""
    entry_ids: list[str] = []
    service: str = ""
    pull_seconds: float = 0.0
    start_seconds: float = 0.0
    answer: str = ""
    claim_need: int = 0
    node_need: int = 0
    disk: list[Point] = []

    @property
    def seconds(self) -> float:
        """Seconds that it took."""
        return max(self.end - self.start, 0.0)

    def overlaps(self, other: "StepRecord") -> bool:
        """Tells whether both were at work at some time."""
        return self.start <= other.end and other.start <= self.end

    @field_validator("disk", mode="before")
    @classmethod
    def _read_disk(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        names = tuple(Point.model_fields)
        return [dict(zip(names, point, strict=True)) if isinstance(point, list) else point for point in value]

    @field_serializer("disk", when_used="json")
    def _write_disk(self, points: list[Point]) -> list[list[float | int | None]]:
        return [[point.seconds, point.claim, point.node] for point in points]

    def adopt(self, done: "StepRecord") -> None:
        """Takes over what a Job did in this step's stead."""
        self.image, self.moved_bytes, self.unchanged = done.image, done.moved_bytes, done.unchanged
        later = max(done.start - self.start, 0.0)
        self.disk = [point.model_copy(update={"seconds": round(point.seconds + later, 1)}) for point in done.disk]

    def line(self) -> str:
        """The record as one line, with as many points as there is room for."""
        record = self
        while len(text := record.model_dump_json(exclude_defaults=True)) > MAX_RECORD_BYTES and len(record.disk) > 1:
            record = record.model_copy(update={"disk": thinned(record.disk) if len(record.disk) > 2 else []})
        return text


@contextmanager
def recorded(step: str) -> Iterator[StepRecord]:
    """Writes down what a step does, also when it fails. Goes around `exit_with_one_line`, whose line comes first.

    Example: `with recorded("build") as record, exit_with_one_line(): …`

    Args:
        step: The step's name.
    """
    record = StepRecord(step=step, start=round(time.time(), 1))
    watch = DiskWatch(pod.CLAIM)
    try:
        with watch:
            yield record
    except BaseException as error:
        record.failed = True
        if isinstance(error, Exception):
            # Nothing named it, so the log has its traceback and nobody else has said anything.
            record.error = on_one_line(f"{type(error).__name__}: {error}")[:MAX_RECORDED_ERROR_CHARS]
        raise
    finally:
        record.end = round(time.time(), 1)
        # A step that had a Job do its work tells of the Job's disks.
        record.disk = record.disk or watch.points
        leave(record.line())


def records_in(text: str) -> list[StepRecord]:
    """The records in a termination log, each failed one with the error that stands before it."""
    found: list[StepRecord] = []
    error = ""
    for line in text.splitlines():
        if line.startswith(ERROR):
            error = on_one_line(line.removeprefix(ERROR))
        elif (record := _read(line)) is not None:
            if record.failed:
                record.error, error = record.error or error, ""
            found.append(record)
    return found


def last_error(text: str) -> str:
    """The last error in a termination log, without what marks it; empty if there is none."""
    errors = [line.removeprefix(ERROR) for line in text.splitlines() if line.startswith(ERROR)]
    errors += [record.error for record in records_in(text) if record.error]
    return errors[-1] if errors else ""


def _read(line: str) -> StepRecord | None:
    if not line.startswith("{"):
        return None
    try:
        return StepRecord.model_validate_json(line)
    except ValidationError:
        # Something else that a container wrote, or a record that was cut.
        return None
