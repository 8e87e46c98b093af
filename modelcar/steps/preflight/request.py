"""Request for a run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from modelcar.errors import SourceError
from modelcar.given import value_of
from modelcar.hub.selection import Selection
from modelcar.image import layout
from modelcar.image.builder import BUILDERS
from modelcar.image.request import ImageRequest
from modelcar.image.tag_policy import IF_EXISTS
from modelcar.sources.folder import claim_and_folder
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.nodes import EPHEMERAL_STORAGE, Need

BuildMode = Literal["pod", "nested", "job"]
BUILD_MODES = ("auto", *get_args(BuildMode))

NODE_NEED, NODE_NEED_BYTES = "1Gi", 1 << 30
"""Ephemeral storage. The weights never touch the node; what does are the packages that a step installs when it
starts (below 100 MiB, twice while pip works) and its log, of which the kubelet keeps 50 MiB. Who uses more than the
limit is evicted, so there is room to spare."""

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i|[eE][0-9]+)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A run that is asked for: the pipelines' parameters, by their own names.

    Attributes:
        model: The model's id on the Hub, or another source of it (modelcar.sources).
        target: The image to write; empty for OpenShift's own registry.
        mirror_target: The image to copy it to; empty for none.
        model_registry: Address of the Model Registry; empty for none.
        revision: Branch, tag or commit.
        include: Glob patterns of the only weights to take; the small files beside them come as well.
        exclude: Glob patterns of files to leave out.
        everything: Take duplicate weights too.
        allow_pickle: Glob patterns of the files that may run code when they are loaded.
        variant: Which of several alternatives to take; empty for the loaders' own default.
        adapters: LoRA adapters to put beside the model.
        model_layout: `flat` or `versioned`, the folder of the image that the files lie in.
        base_image: The image under the model; empty for the one that KServe's modelcars need.
        allow_base_models: Whether the base image may hold /models itself.
        builder: `buildah`, `direct` or `auto`.
        build_mode: `pod` (the task's own), `nested` (a Job whose pod has a user namespace of its own), `job` (a
            privileged Job) or `auto`, the least privileged that works.
        max_layer_size: The largest layer that the registries take, in bytes.
        reshard: Cut safetensors and GGUF files that are larger than that.
        if_exists: What happens to tags that hold something else (modelcar.image.tag_policy).
        registered_name: Name in the Model Registry; empty for the model's id.
        model_format: Model format of the serving runtime; empty for what was found.
        owner: Who answers for the model in the Model Registry; empty for who is there.
        tags: Labels of the model and the version there.
        serve_as: The InferenceService to serve it with; empty for none.
        streaming: Whether the model goes from the Hub into the registry without claim and build.
        claim: The PersistentVolumeClaim's name.
        node_selector: Labels of the nodes that may run the build.
        tolerations: Taints that the build may ignore, as Kubernetes' own JSON.
        build_ephemeral_storage: Node disk that the build reserves, a quantity; empty for what the plan says.
        build_cpu: Processors that the build requests, a quantity.
        build_memory: Memory that the build requests, a quantity.
        job_service_account: The service account of the Job's pod.
        job_image: The Job's image; empty for the steps' own.
        source_claim: The claim that is mounted for a model on it; empty for none.
    """

    model: str
    target: str = ""
    mirror_target: str = ""
    model_registry: str = ""
    revision: str = "main"
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    everything: bool = False
    allow_pickle: Sequence[str] | bool = ()
    variant: str = ""
    model_layout: str = "flat"
    adapters: Sequence[str] = ()
    base_image: str = ""
    allow_base_models: bool = False
    builder: str = "auto"
    build_mode: str = "auto"
    max_layer_size: int = layout.MAX_LAYER_SIZE
    reshard: bool = False
    if_exists: str = "update"
    registered_name: str = ""
    model_format: str = ""
    owner: str = ""
    tags: Sequence[str] = ()
    serve_as: str = ""
    streaming: bool = False
    claim: str = "modelcar"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    build_ephemeral_storage: str = ""
    build_cpu: str = "1"
    build_memory: str = "1Gi"
    job_service_account: str = "modelcar-build"
    job_image: str = ""
    source_claim: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "RunRequest":
        """Takes what it needs of a step's parameters."""
        return value_of(cls, given)

    @property
    def selection(self) -> Selection:
        """The model and which of its files are wanted."""
        return Selection.of(vars(self))

    @property
    def image(self) -> ImageRequest:
        """The image that is asked for."""
        return ImageRequest.of(vars(self))

    @property
    def node_storage(self) -> str:
        """The node disk that the build reserves."""
        return self.build_ephemeral_storage or NODE_NEED

    @property
    def need(self) -> Need:
        """Needs of the build's pod."""
        requests = {"cpu": self.build_cpu, "memory": self.build_memory, EPHEMERAL_STORAGE: self.node_storage}
        return Need(self.node_selector, self.tolerations, requests)

    def mistakes(self) -> Iterator[Finding]:
        """Parameters that cannot mean anything."""
        for name, value, choices in (
            ("builder", self.builder, BUILDERS),
            ("build_mode", self.build_mode, BUILD_MODES),
            ("if_exists", self.if_exists, IF_EXISTS),
        ):
            if value not in choices:
                yield _mistake(f"there is no {name} {value!r}", f"Choose one of {', '.join(choices)}")
        for resource, quantity in self.need.requests.items():
            if not _QUANTITY.fullmatch(quantity) or not re.search("[1-9]", re.split("[eE]", quantity)[0]):
                yield _mistake(f"{quantity!r} is no amount of {resource}", "Write it as Kubernetes does: 500m, 2, 20Gi")
        for key, value in self.node_selector.items():
            if not isinstance(value, str):
                quoted = f'{{"{key}": "{str(value).lower()}"}}'
                yield _mistake(f"the node selector's value for {key} is no text", f"Write it in quotes: {quoted}")
        if self.source_claim and self.source_claim != _claim_of(self.model):
            what = f"the claim {self.source_claim} is mounted, and the model is {self.model}"
            yield _mistake(what, f"Write model as pvc://{self.source_claim}/folder, or name its claim in source_claim")
        if not self.streaming and not self.claim:
            yield _mistake("no claim was named", "Name a PersistentVolumeClaim, or run the streaming pipeline")


def _claim_of(model: str) -> str:
    with suppress(SourceError):
        return claim_and_folder(model)[0]
    return ""


def _mistake(what: str, remedy: str) -> Finding:
    return Finding("parameters", "refusal", what, remedy)
