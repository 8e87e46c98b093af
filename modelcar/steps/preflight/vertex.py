"""Plans a run on Vertex AI and checks, before any byte moves, whether the model will be there and can be served."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.filesize import decimal

from modelcar import google_cloud, html_page
from modelcar.errors import ModelcarError, PlanError, on_one_line
from modelcar.given import value_of
from modelcar.hub.client import Hub
from modelcar.hub.selection import Selection
from modelcar.hub.serving import MOUNT
from modelcar.image.base_contents import examine_base
from modelcar.image.entry_points import PLACE, overrides_model
from modelcar.image.request import ImageRequest
from modelcar.markdown import code, sentence, table, text
from modelcar.oci.reference import Reference
from modelcar.steps import vertex_upload
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.plan import Plan, plan
from modelcar.steps.preflight.registries import check_registry
from modelcar.steps.preflight.vertex_server import Server, Wishes, complete, is_vllm

QUOTA_BYTES = 9_900_000_000
"""Size of a layer, by Artifact Registry's quota: https://cloud.google.com/artifact-registry/quotas."""

LARGE_BYTES = 100 * 10**9
"""Size of an image: a margin of our own, since the disk of an endpoint's machine has no setting and no stated size.

A deployment of a model of 70 billion parameters ran out of it while serving:
https://github.com/googleapis/python-aiplatform/issues/3677
"""

_SIGNS = {"ok": "✅", "warning": "⚠️", "refusal": "❌"}
_UNKNOWN_DIGEST = "sha256:" + "0" * 64
_SERVED_BY_VLLM = ("vLLM", "huggingface")


@dataclass(frozen=True, kw_only=True)
class VertexRequest:
    """A run on Vertex AI that is asked for: the pipeline's parameters, by their own names.

    Attributes:
        model: Id of the model on the Hub.
        target: Image to write, in Artifact Registry.
        serving_image: Image under the model.
        project: Project of the Model Registry.
        location: Region of the Model Registry.
        run_location: Region that the run is in; empty if that is not known.
        serving_args: Arguments of the server.
        serving_container: More of the API's ModelContainerSpec.
        registered_name: Name in the Model Registry; empty for the model's id.
        tensor_parallel: GPUs that share the model; 0 for as many of 80 GB as hold it.
        context_length: Tokens that the server sees at once; 0 for what the model's configuration says, up to 32768.
        shared_memory_mb: Shared memory of the container; 0 for 16 GiB where several GPUs share the model.
        deployment_minutes: Time that a deployment may take; 0 for what the image's size asks for.
        max_layer_size: Largest layer to make, in bytes.
        reshard: Cut larger files of tensors.
        if_exists: What happens to a tag that holds something else.
        allow_base_models: Whether the serving image may hold /models itself.
        revision: Branch, tag or commit.
        include: Glob patterns of the only weights to take.
        exclude: Glob patterns of files to leave out.
        everything: Take duplicates too.
        allow_pickle: Glob patterns of the files that may run code when they are loaded.
        variant: Which of several alternatives to take.
    """

    model: str
    target: str
    serving_image: str
    project: str
    location: str
    run_location: str = ""
    serving_args: Sequence[str] = ()
    serving_container: Mapping[str, Any] = field(default_factory=dict)
    registered_name: str = ""
    tensor_parallel: int = 0
    context_length: int = 0
    shared_memory_mb: int = 0
    deployment_minutes: int = 0
    max_layer_size: int = QUOTA_BYTES
    reshard: bool = False
    if_exists: str = "update"
    allow_base_models: bool = False
    revision: str = "main"
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    everything: bool = False
    allow_pickle: Sequence[str] | bool = ()
    variant: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "VertexRequest":
        """Takes what it needs of a step's parameters."""
        return value_of(cls, given)

    @property
    def image(self) -> ImageRequest:
        """The image that is asked for."""
        return ImageRequest.of({**vars(self), "base_image": self.serving_image})


@dataclass(frozen=True)
class VertexPreflight:
    """Findings before a run on Vertex AI.

    Attributes:
        request: What was asked for.
        plan: What the run will do; None where not even that can be said.
        server: The server, with what follows from the model.
        findings: What the checks found.
    """

    request: VertexRequest
    plan: Plan | None
    server: Server
    findings: tuple[Finding, ...]

    @property
    def refusals(self) -> list[Finding]:
        """Reasons why the run cannot succeed."""
        return [finding for finding in self.findings if finding.verdict == "refusal"]

    def check(self) -> None:
        """Raises PlanError if the run cannot succeed, with the first reason."""
        if self.refusals:
            count = len(self.refusals)
            raise PlanError(
                f"this run cannot succeed{f' ({count} reasons, all in this log)' if count > 1 else ''}: "
                f"{self.refusals[0]}"
            )


def preflight(request: VertexRequest) -> VertexPreflight:
    """Plans a run on Vertex AI and checks what can be checked without moving a byte of weights."""
    server = Server(tuple(map(str, request.serving_args)), request.serving_container)
    findings = list(_parameters(request))
    planned: Plan | None = None
    try:
        planned = plan(Selection.of(vars(request)), request.image, with_claim=False)
    except ModelcarError as error:
        findings.append(Finding.of("model", error))
    if planned is not None:
        findings += _model(planned)
        if is_vllm(request.serving_image, request.serving_container):
            serving, size = planned.snapshot.serving, _image_bytes(planned)
            server = complete(server, Wishes(**_wishes(request)), serving, _config(planned), size)
        findings += _served(request, planned, server)
        findings += _serving_image(request, planned)
        findings += _registry(request, planned)
    findings += _entry(request, server)
    return VertexPreflight(request, planned, server, tuple(findings))


def sections(found: VertexPreflight) -> Iterator[str]:
    """Yields the page, in Markdown: what stops the run, what it will do, what was checked."""
    yield f"# {text(found.request.model)} on Vertex AI"
    yield "**This run cannot succeed:**" if found.refusals else "**Ready.**"
    for finding in found.refusals:
        yield f"**{text(finding.about)}:** {sentence(finding.what.rstrip('.'))}. {sentence(finding.remedy)}".strip()
    if found.plan is not None:
        plan = found.plan
        rows = [
            ("image", str(plan.target or "")),
            ("serving image", plan.base.name if plan.base else found.request.serving_image),
            ("commit", plan.snapshot.commit),
            ("files", f"{len(plan.choice.taken)}, {decimal(plan.choice.size)}"),
            ("left out", f"{len(plan.choice.left_out)} files, {decimal(plan.choice.saved)}"),
            ("layers", f"{len(plan.layers)}, {decimal(plan.image_bytes)}"),
        ]
        yield "## Plan"
        yield table(("", ""), rows)
    yield "## Server"
    yield code(" ".join(found.server.args) or "no arguments")
    yield code(json.dumps(found.server.container, indent=1))
    yield "## Checks"
    yield table(("", "check", "result"), [(_SIGNS[one.verdict], one.about, str(one)) for one in found.findings])


def page(found: VertexPreflight) -> str:
    """Returns the page in Markdown."""
    return html_page.markdown(sections(found))


def web_page(found: VertexPreflight) -> str:
    """Returns the page in HTML."""
    return html_page.page(f"Plan for {on_one_line(found.request.model)}", sections(found))


def _wishes(request: VertexRequest) -> dict[str, int]:
    # Vertex AI hands numbers within structures over as floating-point ones.
    return {name: int(getattr(request, name)) for name in Wishes.__dataclass_fields__}


def _image_bytes(planned: Plan) -> int:
    base = planned.base.variants[0].layers if planned.base else ()
    return planned.image_bytes + sum(layer.size for layer in base)


def _config(planned: Plan) -> dict[str, Any]:
    file = next((one for one in planned.choice.taken if one.path == "config.json"), None)
    content = Hub().peek(planned.snapshot).read(file) if file else None
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _parameters(request: VertexRequest) -> Iterator[Finding]:
    """Checks where everything lies: target, Model Registry, run and serving image belong into one region."""
    try:
        target = vertex_upload.check_target(request.target)
    except ModelcarError as error:
        yield Finding.of("target", error)
        return
    yield from region("target", target.registry, request.location, "the model crosses regions on its way to a server")
    if request.run_location and request.run_location != request.location:
        yield Finding(
            "location",
            "refusal",
            f"this run is in {request.run_location}, and the Model Registry in {request.location}",
            f"Start the run in {request.location}: the registry reads what the run hands on from its own region only",
        )
    serving = Reference.parse(request.serving_image).registry
    if google_cloud.serves(serving):
        yield from region("serving image", serving, request.location, "its layers are copied once across regions")
    else:
        what = f"{request.serving_image} is not in Artifact Registry: its layers are copied from {serving} once"
        yield Finding("serving image", "ok", what)
    if request.max_layer_size > QUOTA_BYTES:
        yield Finding(
            "layers",
            "warning",
            f"layers of up to {decimal(request.max_layer_size)} are allowed, and Artifact Registry's quota is "
            f"{decimal(QUOTA_BYTES)} unless it was raised",
            "Leave max_layer_size as it is, and set reshard=true for larger safetensors and GGUF files",
        )


def region(about: str, registry: str, location: str, why: str) -> Iterator[Finding]:
    """Yields whether a registry is in the region, or around it, in which its image is used.

    Args:
        about: What the finding is about.
        registry: The registry's host; those of Artifact Registry name their region.
        location: The region.
        why: What comes of another one.
    """
    place, is_regional, _ = registry.partition("-docker.pkg.dev")
    # A multi-region is called us, europe or asia, with which its regions' names begin.
    if is_regional and location and not f"{location}-".startswith(f"{place}-"):
        what = f"{registry} is in another region than {location}: {why}, which costs time and traffic"
        yield Finding(about, "warning", what, f"Better: {location}-docker.pkg.dev")
    else:
        yield Finding(about, "ok", f"{registry} serves {location}")


def _model(planned: Plan) -> Iterator[Finding]:
    for problem in planned.problems:
        yield Finding.of("model", problem)
    if not planned.problems:
        size = decimal(planned.snapshot.size)
        yield Finding("model", "ok", f"{len(planned.choice.taken)} files, {size}, in {len(planned.layers)} layers")
    total = _image_bytes(planned)
    if total > LARGE_BYTES:
        yield Finding(
            "disk",
            "warning",
            f"the image has {decimal(total)}, and the disk of an endpoint's machine has no setting and no stated size",
            "Take a quantized model, or have Model Garden serve the weights from a bucket",
        )


def _served(request: VertexRequest, planned: Plan, server: Server) -> Iterator[Finding]:
    serving = planned.snapshot.serving
    if serving is None:
        return
    if serving.base_model:
        what = f"it is an adapter of {serving.base_model}, which is not in the image: no server can start with it alone"
        yield Finding("server", "refusal", what, "Merge it into its base model, and publish that")
    elif is_vllm(request.serving_image, request.serving_container) and serving.model_format not in _SERVED_BY_VLLM:
        what = (
            f"it is a {serving.model_class} model ({serving.runtime or 'a server of its own'}), and the server is vLLM"
        )
        yield Finding("server", "warning", what, "Name another serving_image")
    else:
        yield Finding("server", "ok", f"a {serving.model_class} model, {' '.join(server.args)}")
    if overridden := overrides_model(request.serving_image, server.container, server.args, _entry_point(planned)):
        yield Finding("server", "warning", *overridden)
    for limit in serving.limits:
        yield Finding("server", "warning", limit.replace(MOUNT, PLACE))


def _serving_image(request: VertexRequest, planned: Plan) -> Iterator[Finding]:
    """Checks that the serving image holds no model itself."""
    try:
        if planned.base is not None:
            examine_base(planned.base, allow_models=request.allow_base_models)
    except ModelcarError as error:
        yield Finding.of("serving image", error)


def _entry_point(planned: Plan) -> list[str]:
    found = planned.base.variants[0].config.config.get("Entrypoint") if planned.base else None
    return [str(word) for word in found] if isinstance(found, list) else []


def _registry(request: VertexRequest, planned: Plan) -> Iterator[Finding]:
    """Checks that the run's account may write the image: roles/artifactregistry.writer on the repository."""
    if planned.target is None or not google_cloud.serves(planned.target.registry):
        return
    try:
        largest = max((layer.size for layer in planned.layers), default=0)
        yield from check_registry("target", request.target, largest)
    except ModelcarError as error:
        role = "The run's account needs roles/artifactregistry.writer on the repository, which must exist"
        yield Finding("target", "refusal", error.what, f"{role} (docs/vertex.md). {error.remedy}".strip())


def _entry(request: VertexRequest, server: Server) -> Iterator[Finding]:
    """Checks labels, name and container by Vertex AI's rules, and that its Model Registry can be read."""
    try:
        vertex_upload.check_server(request.serving_image, server.args, server.container)
        image = f"{Reference.parse_target(request.target).registry}/x/y@{_UNKNOWN_DIGEST}"
        args, name = server.args, request.registered_name
        entry = vertex_upload.describe(request.model, "0" * 40, image, args, server.container, name)
        known = vertex_upload.find(entry, request.project, request.location)
    except ModelcarError as error:
        yield Finding.of("Model Registry", error)
        return
    there = f"has {entry.display_name} already" if known.model else f"has no {entry.display_name} yet"
    yield Finding("Model Registry", "ok", f"{request.project}, {request.location} can be read, and {there}")
