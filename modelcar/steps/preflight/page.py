"""A preflight as a page, in Markdown and in HTML: what stops the run, what it will do, what was checked."""

from collections.abc import Iterator, Sequence

from rich.filesize import decimal

from modelcar import html_page, log_page
from modelcar.errors import on_one_line
from modelcar.image.recipe import MODELS
from modelcar.markdown import code, sentence, table, text
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.plan import Plan
from modelcar.steps.preflight.preflight import Preflight

MAX_ROWS = 25
"""Rows of a table; a model of hundreds of shards has no more to tell."""

_SIGNS = {"ok": "✔", "warning": "⚠", "refusal": "✘"}
"""Signs in fonts that every machine has; those in colour are boxes where there is no font of emoji."""


def page(found: Preflight) -> str:
    """The page in Markdown, which Kubeflow's UI shows, and OpenShift AI's from 3.6 on."""
    return html_page.markdown(_sections(found))


def web_page(found: Preflight) -> str:
    """The same page in HTML, which every dashboard shows."""
    return html_page.page(f"Plan for {on_one_line(found.run.model)}", _sections(found))


def show(found: Preflight) -> None:
    """Prints the page, for a log, and the commands once more as they are: on the page their lines are broken."""
    if found.unchanged is not None:
        print(f"{found.unchanged} is this commit already, made in this way; nothing to do", flush=True)
        if found.caveat:
            print(found.caveat, flush=True)
        return
    log_page.show(page(found))
    if commands := [finding.command for finding in found.refusals if finding.command]:
        print("To paste:", *commands, sep="\n", flush=True)


def _sections(found: Preflight) -> Iterator[str]:
    yield f"# {text(found.run.model)}"
    yield _verdict(found)
    for number, finding in enumerate(found.refusals, 1):
        yield _reason(number, finding)
    if found.plan is not None:
        yield from _plan(found, found.plan)
    yield "## Checks"
    # What stops the run stands above, with its remedy.
    results = [one.what if one.verdict == "refusal" else str(one) for one in found.findings]
    rows = [(_SIGNS[one.verdict], one.about, result) for one, result in zip(found.findings, results, strict=True)]
    yield table(("", "check", "result"), rows)


def _verdict(found: Preflight) -> str:
    if found.unchanged is not None:
        caveat = f" {found.caveat}." if found.caveat else ""
        return f"**Nothing to do.** {text(str(found.unchanged))} is this commit already, made in this way.{caveat}"
    if found.refusals:
        count = len(found.refusals)
        return f"**This run cannot succeed**, for {count} reason{'' if count == 1 else 's'}:"
    return "**Ready.**"


def _reason(number: int, finding: Finding) -> str:
    told = (
        f"**{number}. {text(finding.about)}:** {sentence(finding.what.rstrip('.'))}. {sentence(finding.remedy)}".strip()
    )
    return f"{told}\n\n{code(finding.command)}" if finding.command else told


def _plan(found: Preflight, plan: Plan) -> Iterator[str]:
    choice, layers = plan.choice, plan.layers
    yield "## Plan"
    yield table(("", ""), [(name, value) for name, value in _summary(found, plan) if value])
    yield f"### Files: {len(choice.taken)}, {decimal(choice.size)}"
    files = sorted(choice.taken, key=lambda file: -file.size)
    pickles = set(plan.pickles)
    rows = [(file.path, decimal(file.size), "pickle: runs code" if file in pickles else "") for file in files]
    # What can run code is not among those that are not shown.
    rows.sort(key=lambda row: not row[2])
    yield _shortened(("file", "size:", ""), rows)
    if choice.left_out:
        yield f"### Left out: {len(choice.left_out)} files, which saves {decimal(choice.saved)}"
        left = sorted(choice.left_out, key=lambda left: -left.file.size)
        yield _shortened(
            ("file", "why", "size:"), [(one.file.path, one.reason, decimal(one.file.size)) for one in left]
        )
    yield f"### Layers: {len(layers)}, {decimal(plan.image_bytes)}; the largest may have {decimal(plan.max_layer_size)}"
    ordered = sorted(layers, key=lambda layer: -layer.size)
    yield _shortened(
        ("layer", "size:", ""),
        [
            (
                layer.title.removeprefix(f"{MODELS}/"),
                decimal(layer.size),
                "too large" if layer.size > plan.max_layer_size else "",
            )
            for layer in ordered
        ],
    )


def _summary(found: Preflight, plan: Plan) -> Iterator[tuple[str, str]]:
    run = found.run
    yield "commit", plan.snapshot.commit
    yield "image", str(plan.target or "")
    yield "mirror", run.mirror_target
    yield "base image", plan.base.name if plan.base else ""
    yield "licence", plan.snapshot.licence
    yield "quantization", plan.snapshot.quantization
    yield "recipe", plan.recipe
    if run.streaming:
        yield "build", "none: the model is streamed from the Hub into the registry, without claim and node disk"
        return
    needs = f"{decimal(plan.fetch_bytes)} for the download, {decimal(plan.scratch_bytes)} for the build"
    free = f"; {decimal(found.free_bytes)} are free" if found.free_bytes is not None else ""
    there = plan.snapshot.size - plan.fetch_bytes
    kept = f"; {decimal(there)} of the download are there already" if there else ""
    yield "claim", f"{decimal(plan.claim_bytes)}: {needs}{free}{kept}"
    yield "node", f"ephemeral storage {run.node_storage}, cpu {run.build_cpu}, memory {run.build_memory}"
    selector = ", ".join(f"{key}={value}" for key, value in run.node_selector.items())
    yield "node selector", selector or "any node"
    places = {
        "pod": "in the step's own pod",
        "nested": "in a Job, in a user namespace of its pod's own",
        "job": "in a privileged Job",
    }
    yield "build", places[found.build_mode]


def _shortened(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    more = len(rows) - MAX_ROWS
    shown = table(heads, rows[:MAX_ROWS])
    return f"{shown}\n\nand {more} more" if more > 0 else shown
