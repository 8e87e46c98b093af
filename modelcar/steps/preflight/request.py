"""What a run is asked to do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from kubernetes.utils.quantity import parse_quantity

from modelcar.image import layout
from modelcar.image.builder import BUILDERS
from modelcar.image.tag_policy import IF_EXISTS
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.nodes import EPHEMERAL_STORAGE, Need
from modelcar.steps.preflight.plan import NODE_NEED

BuildMode = Literal["pod", "nested", "job"]
BUILD_MODES = ("auto", *get_args(BuildMode))

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i|[eE][0-9]+)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run is asked to do: the pipelines' parameters, by their own names.

    Attributes:
        model: The model's id on the Hub.
        target: The image to write; empty for OpenShift's own registry.
        mirror_target: The image to copy it to; empty for none.
        model_registry: Address of the Model Registry; empty for none.
        revision: Branch, tag or commit.
        include: Glob patterns of the only files to take.
        exclude: Glob patterns of files to leave out.
        everything: Take duplicate weights too.
        allow_pickle: Take files that run code when they are loaded.
        base_image: The image under the model; empty for the one that KServe's modelcars need.
        builder: `buildah`, `direct` or `auto`.
        build_mode: `pod` (the task's own), `nested` (a Job whose pod has a user namespace of its own), `job` (a
            privileged Job) or `auto`, the least privileged that works.
        max_layer_size: The largest layer that the registries take, in bytes.
        if_exists: What happens to tags that hold something else (modelcar.image.tag_policy).
        registered_name: Name in the Model Registry; empty for the model's id.
        model_format: Model format of the serving runtime.
        streaming: Whether the model goes from the Hub into the registry without claim and build.
        claim: The PersistentVolumeClaim's name.
        node_selector: Labels of the nodes that may run the build.
        tolerations: Taints that the build may ignore, as Kubernetes' own JSON.
        ephemeral_storage: Node disk that the build reserves, a quantity; empty for what the plan says.
        cpu: Processors that the build requests, a quantity.
        memory: Memory that the build requests, a quantity.
        job_service_account: The service account of the Job's pod.
        job_image: The Job's image; empty for the steps' own.
    """

    model: str
    target: str = ""
    mirror_target: str = ""
    model_registry: str = ""
    revision: str = "main"
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    everything: bool = False
    allow_pickle: bool = False
    base_image: str = ""
    builder: str = "auto"
    build_mode: str = "auto"
    max_layer_size: int = layout.MAX_LAYER_SIZE
    if_exists: str = "update"
    registered_name: str = ""
    model_format: str = "vLLM"
    streaming: bool = False
    claim: str = "modelcar"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    ephemeral_storage: str = ""
    cpu: str = "1"
    memory: str = "1Gi"
    job_service_account: str = "modelcar-build"
    job_image: str = ""

    @property
    def node_storage(self) -> str:
        """The node disk that the build reserves."""
        return self.ephemeral_storage or NODE_NEED

    @property
    def need(self) -> Need:
        """What the build's pod asks of a node."""
        requests = {"cpu": self.cpu, "memory": self.memory, EPHEMERAL_STORAGE: self.node_storage}
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
            if not _QUANTITY.fullmatch(quantity) or not parse_quantity(quantity):
                yield _mistake(f"{quantity!r} is no amount of {resource}", "Write it as Kubernetes does: 500m, 2, 20Gi")
        for key, value in self.node_selector.items():
            if not isinstance(value, str):
                quoted = f'{{"{key}": "{str(value).lower()}"}}'
                yield _mistake(f"the node selector's value for {key} is no text", f"Write it in quotes: {quoted}")
        if not self.streaming and not self.claim:
            yield _mistake("no claim was named", "Name a PersistentVolumeClaim, or run the streaming pipeline")


def _mistake(what: str, remedy: str) -> Finding:
    return Finding("parameters", "refusal", what, remedy)
