"""The report's page: what ended how, why, and what helps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich.filesize import decimal

from modelcar import html_page, markdown
from modelcar.cluster.failures import Failure
from modelcar.cluster.run_state import RUN_LABEL
from modelcar.errors import on_one_line
from modelcar.image import annotations
from modelcar.progress import duration
from modelcar.records.step_record import StepRecord
from modelcar.serving.documents import ServingDocuments, serving_documents
from modelcar.serving.platform import Platform, PlatformName
from modelcar.serving.runtime import Runtime
from modelcar.serving.served_model import RegistryEntry, ServedModel, served_model
from modelcar.steps.report import disk_chart
from modelcar.steps.report.disk_chart import DISKS, peak

SUCCEEDED = ("SUCCEEDED", "COMPLETE", "CACHED")


FAILED = ("FAILED", "CANCELED", "CANCELLED")
"""Kubeflow's words for a run's tasks as a whole.

It says RUNNING where a pod was ended before it could tell, and in release 2.14 also of a run that ended well, if the
last of its conditions was not met: no pod comes after that one, and a pod tells what came before it.
"""


CANCELLED = FAILED[1:]

_PLACING = ("preflight", "build", "stream", "mirror")
"""Steps that bring the image to its place, or find it there; the last of a run tells which."""


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended: what it was asked to do, and how it ended.

    Attributes:
        id: The run's id.
        state: How it ended, in Kubeflow's words.
        error: What Kubeflow says of the failure; often empty.
        model: The model's id on the Hub.
        target: The image that was to be written.
        mirror_target: The image that it was to be copied to; empty for none.
        model_format: The format as the serving runtime calls it.
        serving: What will serve it, `auto` for what the cluster has (modelcar.serving.platform).
        connection: The connection or pull Secret with which the image is pulled for serving.
    """

    id: str
    state: str
    error: str = ""
    model: str = ""
    target: str = ""
    mirror_target: str = ""
    model_format: str = ""
    serving: str = "auto"
    connection: str = ""
    model_registry: str = ""
    serve_as: str = ""


@dataclass(frozen=True)
class Found:
    """Findings about a run.

    Attributes:
        records: What its steps left, by the time they began.
        failures: The steps that failed.
        notes: What could not be found out, and what was tidied up; a sentence each.
        complete: Whether nothing that the steps left was withheld.
        done: The steps whose pods ended well; a step that had nothing to do leaves no record.
        served: What the image says of how it is served; None for a guess by its size.
        platform: What will serve it.
        runtime: The serving runtime that is there for it; None where none is known.
    """

    records: Sequence[StepRecord] = ()
    failures: Sequence[Failure] = ()
    notes: list[str] = field(default_factory=list)
    complete: bool = False
    done: frozenset[str] = frozenset()
    served: ServedModel | None = None
    platform: Platform = field(default=Platform("rhoai-3"))
    runtime: Runtime | None = None

    @property
    def image(self) -> str:
        """The image at the end of the line: the mirror's where there is one."""
        return _first(record.image for record in reversed(self.records) if not record.failed)

    def documents(self, run: EndedRun) -> ServingDocuments | None:
        """The YAML that serves the image; None where there is no image."""
        if not self.image:
            return None
        size = max((record.size for record in self.records), default=0)
        guessed = served_model(self.image, run.model or "model", {annotations.SIZE: str(size)}, run.model_format)
        ids = next((record.entry_ids for record in reversed(self.records) if record.entry_ids), ["", ""])
        entry = RegistryEntry.of(run.model_registry, ids[0], ids[-1])
        model = replace(self.served or guessed, entry=entry, service=run.serve_as)
        return serving_documents(model, self.platform, run.connection, self.runtime)


@dataclass(frozen=True)
class Report:
    """A run's report.

    Attributes:
        failed: Whether the run failed.
        summary: A few lines of plain text, for the log.
        markdown: The whole of it, but for the picture of the disks.
        html: The whole of it as a web page.
        figures: Seconds and bytes, by name.
        inference_service: The YAML that serves the image by an InferenceService; a comment where there is none.
        llm_inference_service: The same by an LLMInferenceService.
        image: The image to serve, pinned to its digest; empty if the run failed.
    """

    failed: bool
    summary: str
    markdown: str
    html: str
    figures: dict[str, float]
    inference_service: str
    llm_inference_service: str
    image: str = ""


def write(run: EndedRun, found: Found) -> Report:
    """The report of what was found."""
    # Where the run's state is uncertain, its pods are not.
    failed = run.state in FAILED or (
        run.state not in SUCCEEDED and (bool(found.failures) or _is_broken_off(run, found))
    )
    sections = _failure(run, found) if failed else _success(run, found)
    parts: list[html_page.Part] = [*sections, *_steps(found.records), *_notes(found.notes)]
    title = on_one_line(run.model or (f"run {run.id}" if run.id else "this run"))
    summary = _why(run, found) if failed else _done(run, found)
    page = html_page.page(f"Report on {title}", parts)
    documents = None if failed else found.documents(run)
    return Report(
        failed,
        summary,
        html_page.markdown(parts),
        page,
        _figures(found.records),
        _file(documents.inference_service if documents else "", "InferenceService"),
        _file(documents.llm_inference_service if documents else "", "LLMInferenceService"),
        "" if failed else found.image,
    )


def _is_broken_off(run: EndedRun, found: Found) -> bool:
    """Tells whether the last step did not end well. When a run is cancelled, its pods are deleted."""
    done = found.done | {record.step for record in found.records if not record.failed}
    unchanged = any(record.step == "preflight" and record.unchanged for record in found.records)
    return found.complete and not unchanged and ("serve" if run.serve_as else "register") not in done


def _failure(run: EndedRun, found: Found) -> Iterator[str]:
    step = found.failures[0].step if found.failures else ""
    yield f"# The run {_how_it_ended(run, found)}" + (f" at *{markdown.text(step)}*" if step else "")
    if not found.failures:
        yield markdown.sentence(_unexplained(run))
    for failure in found.failures:
        yield markdown.text(_finished(failure.what))
        if failure.remedy:
            yield f"**What to do:** {markdown.sentence(_finished(failure.remedy))}"
    if any(record.step == "serve" and record.failed for record in found.records) and found.image:
        yield f"The image is in its place, {markdown.text(found.image)}; only its service is not."
    if any(record.step == "download" for record in found.records):
        yield "The download on the claim is kept: the next run goes on from there."


def _success(run: EndedRun, found: Found) -> Iterator[str]:
    last = {record.step: record for record in found.records}
    image = found.image
    placed = [record for record in found.records if record.step in _PLACING and not record.failed]
    unchanged = bool(placed) and placed[-1].unchanged
    yield f"# {markdown.text(run.model or 'The model')} is there" + (" already" if unchanged else "")
    facts = {
        "image": image,
        "commit": _first(record.commit for record in found.records),
        "size": decimal(size) if (size := max((record.size for record in last.values()), default=0)) else "",
        "registered as": _first(record.entry for record in last.values()),
        **_served(last.get("serve")),
    }
    known = [(name, value) for name, value in facts.items() if value]
    if known:
        yield markdown.table(("", ""), known)
    documents = found.documents(run)
    if documents:
        yield from _serving(documents, found.platform)
    elif not image:
        goal = run.mirror_target or run.target
        yield f"The steps left no record of the image's digest; its tag is {markdown.text(goal)}." if goal else ""


def _served(record: StepRecord | None) -> dict[str, str]:
    """Says how the model is served, where a step served it."""
    if record is None or not record.service:
        return {}
    times = f"pulled in {duration(record.pull_seconds)}, started in {duration(record.start_seconds)}"
    return {"served as": record.service, "times": "" if record.unchanged else times, "it answered": record.answer}


_PLATFORM_NAMES: dict[PlatformName, str] = {
    "rhoai-2.25": "OpenShift AI 2.25",
    "rhoai-3": "OpenShift AI 3",
    "kserve": "KServe",
}


def _serving(documents: ServingDocuments, platform: Platform) -> Iterator[str]:
    yield "## To serve it"
    where = f"With {_PLATFORM_NAMES[platform.name]}{', which this cluster has' if platform.found else ''}"
    before = ", once its serving runtime is there" if documents.before else ""
    yield f"{where}{before}: download the file *inference_service* of this step, and `oc apply -f` it."
    if documents.before:
        yield markdown.code(documents.before)
    yield markdown.code(documents.inference_service.rstrip())
    if documents.llm_inference_service:
        yield "From OpenShift AI 3.4 on, for several replicas behind one address, *llm_inference_service* instead:"
        yield markdown.code(documents.llm_inference_service.rstrip())


def _file(text: str, kind: str) -> str:
    return text or f"# There is no {kind} to apply: the report says why.\n"


def _steps(records: Sequence[StepRecord]) -> Iterator[html_page.Part]:
    if not records:
        return
    yield "## Steps"
    rows = [
        (
            record.step,
            "failed" if record.failed else "unchanged" if record.unchanged else "done",
            duration(record.seconds),
            decimal(record.moved_bytes),
            *("" if (most := peak(record, disk)) is None else decimal(most) for disk in DISKS),
        )
        for record in records
    ]
    yield markdown.table(("step", "", "time:", "moved:", "peak on the claim:", "peak on the node:"), rows)
    yield from disk_chart.pictures(records)


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield "## Notes"
        yield "\n".join(f"- {markdown.sentence(note)}" for note in notes)


def _why(run: EndedRun, found: Found) -> str:
    lines = [_finished(failure.what) for failure in found.failures] or [_unexplained(run)]
    lines += [f"What to do: {_finished(failure.remedy)}" for failure in found.failures if failure.remedy]
    return "\n".join(on_one_line(line) for line in [*lines, *found.notes])


def _done(run: EndedRun, found: Found) -> str:
    image = found.image
    lines = [f"{run.model} is in {image}"] if image else [f"{run.model} is there"]
    return "\n".join(on_one_line(line) for line in [*lines, *found.notes])


def _how_it_ended(run: EndedRun, found: Found) -> str:
    if run.state in CANCELLED:
        return "was cancelled"
    return "failed" if run.state in FAILED or found.failures else "was ended"


def _unexplained(run: EndedRun) -> str:
    said = f" Kubeflow says: {run.error}" if run.error else ""
    if run.state in CANCELLED:
        return f"The run was cancelled.{said}"
    if run.state not in FAILED:
        return f"The run was cancelled, or a step's pod was deleted, with its node for instance. Run it again.{said}"
    look = f" See its pods: `oc get pods -l {RUN_LABEL}={run.id}`" if run.id else " See the log of its last step."
    return f"Nothing that is left of the run says why.{said}{look}"


def _figures(records: Sequence[StepRecord]) -> dict[str, float]:
    if not records:
        return {}
    figures = {
        "seconds": round(max(record.end for record in records) - records[0].start, 1),
        "moved bytes": float(sum(record.moved_bytes for record in records)),
    }
    figures |= {f"{record.step} seconds": round(record.seconds, 1) for record in records}
    served = next((record for record in reversed(records) if record.service and not record.unchanged), None)
    return figures | (
        {} if served is None else {"pull seconds": served.pull_seconds, "start seconds": served.start_seconds}
    )


def node_need(records: Sequence[StepRecord]) -> int:
    """Returns the node disk that preflight expected the build to need, in bytes."""
    return max((record.node_need for record in records), default=0)


def _first(words: Iterator[str]) -> str:
    return next((word for word in words if word), "")


def _finished(sentence: str) -> str:
    return sentence if sentence.endswith((".", "`")) else f"{sentence}."
