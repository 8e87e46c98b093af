"""A model that is to be served, as the image's own annotations describe it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from modelcar.errors import BuildError
from modelcar.hub.serving import gpus_needed, memory_needed
from modelcar.image import annotations
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository

GIB = 1 << 30
BESIDE_WEIGHTS = 8 * GIB
"""Memory of a server's pod besides the weights that pass through it."""

MAX_NAME_CHARS = 40
"""KServe makes host and service names of it, of at most 63 characters, with the namespace or `-predictor` behind it."""

_MAX_NUMBER, _MAX_GPUS = 1 << 50, 1 << 10
"""An image may say anything of itself: what no server has counts as not said."""


@dataclass(frozen=True)
class RegistryEntry:
    """The version of a registered model that an image is, by which OpenShift AI's dashboard links the two.

    Attributes:
        name: The Model Registry's name.
        model_id: The registered model's id there.
        version_id: The version's id there.
    """

    name: str
    model_id: str
    version_id: str

    @classmethod
    def of(cls, url: str, model_id: str, version_id: str) -> "RegistryEntry | None":
        """Returns the entry of a Model Registry at an address; None where one of the three is unknown.

        OpenShift AI gives a registry's name to its Service, and to its route with `-rest` behind it.
        """
        name = (urlsplit(url).hostname or "").partition(".")[0].removesuffix("-rest")
        return cls(name, model_id, version_id) if name and model_id and version_id else None


@dataclass(frozen=True)
class ServedModel:
    """A model that is to be served.

    Attributes:
        image: The image, pinned to its digest.
        model: The model's id on the Hub.
        model_format: The format as KServe's serving runtimes call it.
        arguments: Arguments for the server, beside those of the runtime.
        gpus: GPUs of 80 GB; 0: a CPU will do.
        memory_bytes: Memory that the model takes, in the GPUs together or, without one, in the pod.
        limits: What has to be known before it is served, a sentence each.
        entry: Its version in the Model Registry, where that is known.
        service: The service's name; empty for one made of the model's.
    """

    image: str
    model: str
    model_format: str = "vLLM"
    arguments: tuple[str, ...] = ()
    gpus: int = 1
    memory_bytes: int = 16 * GIB
    limits: tuple[str, ...] = ()
    entry: RegistryEntry | None = field(default=None)
    service: str = ""

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service or service_name(self.model)

    @property
    def is_generative(self) -> bool:
        """Tells whether it answers in text, as OpenShift AI distinguishes models."""
        return self.model_format in annotations.GENERATIVE_FORMATS

    @property
    def resources(self) -> dict[str, dict[str, str]]:
        """Returns what the server's container asks for: weights pass through the pod's memory on their way to a GPU."""
        if not self.gpus:
            memory = _gibibytes(self.memory_bytes + GIB)
            return {"requests": {"cpu": "2", "memory": memory}, "limits": {"cpu": "8", "memory": memory}}
        gpus = {"nvidia.com/gpu": str(self.gpus)}
        requests = {"cpu": "2", "memory": _gibibytes(BESIDE_WEIGHTS), **gpus}
        return {
            "requests": requests,
            "limits": {"cpu": "8", "memory": _gibibytes(self.memory_bytes + BESIDE_WEIGHTS), **gpus},
        }

    @property
    def server_arguments(self) -> tuple[str, ...]:
        """The arguments, with the number of GPUs that vLLM spreads a model over where nobody said it."""
        spread = "--tensor-parallel-size"
        if self.gpus < 2 or not self.is_generative or any(word.startswith(spread) for word in self.arguments):
            return self.arguments
        return (*self.arguments, f"{spread}={self.gpus}")


def read_served_model(image: str, model_format: str = "") -> ServedModel:
    """Reads from an image how its model is served.

    Args:
        image: The image; a tag is followed to its digest.
        model_format: The format as KServe calls it; empty for what the build found.

    Raises:
        RegistryError: The image cannot be read.
        BuildError: It was not made by this project.
    """
    reference = Reference.parse(image)
    with Repository(reference) as repository:
        stored = repository.manifest(reference.version)
    pinned = str(reference.at(stored.digest))
    noted = stored.annotations()
    if annotations.MODEL not in noted:
        raise BuildError(f"{pinned} does not say which model it holds", "Name an image that this project made")
    return served_model(pinned, noted[annotations.MODEL], noted, model_format)


def served_model(image: str, model: str, noted: Mapping[str, str], model_format: str = "") -> ServedModel:
    """Returns what annotations say of a model, and a guess by its size where they say nothing.

    Args:
        image: The image, pinned to its digest.
        model: The model's id.
        noted: The image's annotations.
        model_format: The format as KServe calls it; empty for what the build found.
    """
    weights = noted.get(annotations.SIZE, "")
    needed = memory_needed(int(weights) if weights.isascii() and weights.isdigit() and len(weights) < 18 else 0)
    guess = ServedModel(image, model, gpus=gpus_needed(needed), memory_bytes=needed or ServedModel.memory_bytes)
    found = annotations.serving_of_image(noted)
    if found is None or not 0 <= found.memory_bytes < _MAX_NUMBER or not 0 <= found.gpus < _MAX_GPUS:
        return replace(guess, model_format=model_format or guess.model_format)
    limits = found.limits
    if not (model_format or found.model_format):
        limits = (*limits, "KServe brings no serving runtime for it: this takes one of your own for its format.")
    return replace(
        guess,
        model_format=model_format or found.model_format or found.model_class,
        arguments=found.arguments,
        gpus=found.gpus,
        memory_bytes=found.memory_bytes or guess.memory_bytes,
        limits=limits,
    )


def service_name(model: str) -> str:
    """Returns a name for a model's service: a DNS label (RFC 1123) that begins with a letter, as KServe demands."""
    name = re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-")
    name = name if name[:1].isalpha() else f"model-{name}"
    return name[:MAX_NAME_CHARS].strip("-")


def _gibibytes(count: int) -> str:
    return f"{math.ceil(count / GIB)}Gi"
