"""Report on a run on Vertex AI: the version that there is and how to deploy it, or what failed and what helps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelcar import html_page
from modelcar.errors import ModelcarError, on_one_line
from modelcar.markdown import code, sentence, table, text
from modelcar.steps import vertex_upload

SUCCEEDED = "SUCCEEDED"
NOTEBOOK = "notebooks/4-deploy-on-vertex.ipynb"

_TRIES = (
    ("artifactregistry", "the account needs roles/artifactregistry.writer on the repository"),
    ("answered 403", "a role is missing, or an API is not enabled (docs/vertex.md, \"Which roles\")"),
    ("gated", "accept the model's conditions on its page, and name a secret with a token: hf_token_secret"),
    ("max_layer_size", "set reshard=true, which cuts safetensors and GGUF files"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EndedVertexRun:
    """A run that ended.

    Attributes:
        model: Id of the model on the Hub.
        target: Image that was to be written.
        name: Name in the Model Registry; empty for the model's id.
        project: Project of the Model Registry.
        location: Its region.
        state: How the run's steps ended, as Vertex Pipelines says: `SUCCEEDED`, `FAILED` or `CANCELLED`.
        error: What it says of why.
    """

    model: str
    target: str = ""
    name: str = ""
    project: str = ""
    location: str = ""
    state: str = ""
    error: str = ""


@dataclass(frozen=True)
class VertexReport:
    """A report.

    Attributes:
        summary: What became of the run, on one line.
        markdown: The page in Markdown.
        html: The page in HTML.
    """

    summary: str
    markdown: str
    html: str


def report_on_vertex(ended: EndedVertexRun) -> VertexReport:
    """Writes the report on a run. What cannot be read is said, and fails nothing."""
    version: Mapping[str, Any] | None = None
    unread = ""
    try:
        version = vertex_upload.newest(ended.model, ended.name, ended.project, ended.location)
    except ModelcarError as error:
        unread = str(error)
    parts = list(_sections(ended, version, unread))
    title = f"Report on {on_one_line(ended.model)}"
    return VertexReport(_summary(ended, version), html_page.markdown(parts), html_page.page(title, parts))


def _summary(ended: EndedVertexRun, version: Mapping[str, Any] | None) -> str:
    if ended.state != SUCCEEDED:
        return on_one_line(f"{ended.model}: {ended.state.lower() or 'did not end'}: {ended.error or 'no message'}")
    where = f"{version['name']}" if version else f"no version in {ended.project}, {ended.location} can be seen"
    return on_one_line(f"{ended.model}: {where}")


def _sections(ended: EndedVertexRun, version: Mapping[str, Any] | None, unread: str) -> Iterator[str]:
    yield f"# {text(ended.model)}"
    if ended.state == SUCCEEDED:
        yield "**Ready to be deployed.**" if version else "**The run succeeded.**"
    else:
        yield f"**The run did not succeed** ({text(ended.state.lower() or 'no state')})."
        if ended.error:
            yield code(ended.error)
        for word, help_ in _TRIES:
            if word in ended.error:
                yield f"- {sentence(help_)}"
        yield "The log of the step that failed ends in one line, `error: …`, with what to do. A new run goes on."
    if unread:
        yield f"The Model Registry could not be read: {text(unread)}"
    if version is None:
        return
    yield "## Version"
    yield table(("", ""), _facts(version))
    if ended.state == SUCCEEDED:
        yield "## Deploy, ask, undeploy, delete"
        yield f"The notebook {NOTEBOOK} does it step by step. In a shell:"
        yield code(_commands(ended, version))
        yield "An endpoint costs machines with their GPUs by the hour, whether or not anybody asks. None was made."


def _facts(version: Mapping[str, Any]) -> list[tuple[str, str]]:
    container = version.get("containerSpec") or {}
    labels = version.get("labels") or {}
    rows = [
        ("model", version.get("name", "")),
        ("version", version.get("versionId", "")),
        ("aliases", ", ".join(version.get("versionAliases") or [])),
        ("commit", labels.get(vertex_upload.COMMIT, "")),
        ("image", container.get("imageUri", "")),
        ("arguments", " ".join(container.get("args") or [])),
        ("shared memory", f"{container['sharedMemorySizeMb']} MB" if container.get("sharedMemorySizeMb") else ""),
        ("time to deploy", container.get("deploymentTimeout", "")),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _commands(ended: EndedVertexRun, version: Mapping[str, Any]) -> str:
    container = version.get("containerSpec") or {}
    words = [word.partition("=") for word in container.get("args") or []]
    gpus = next((value for option, _, value in words if option == "--tensor-parallel-size"), "1")
    model = str(version["name"]).partition("@")[0]
    where = f"--project={ended.project} --region={ended.location}"
    return "\n".join(
        (
            f"gcloud ai endpoints create {where} --display-name=modelcar",
            f"gcloud ai endpoints deploy-model ENDPOINT {where} --model={model} --display-name=modelcar \\",
            f"  --machine-type=MACHINE --accelerator=type=GPU,count={gpus}",
            f"gcloud ai endpoints undeploy-model ENDPOINT {where} --deployed-model-id=ID",
            f"gcloud ai endpoints delete ENDPOINT {where}",
        )
    )
