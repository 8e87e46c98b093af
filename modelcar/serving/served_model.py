"""What is known of a model that is to be served, from the image's own annotations."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelcar.errors import BuildError
from modelcar.image import annotations
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository

SERVING = "io.modelcar.serving"
"""The annotation in which a build notes how a model is served (modelcar.hub.serving), as JSON."""

GIB = 1 << 30
GPU_BYTES = 80 * 10**9
"""Memory of the GPUs that are counted on: those of an H100 or A100."""

SPARE = 1.2
"""Times the weights: what a server takes of a GPU for weights and a short context."""

BESIDE_WEIGHTS = 8 * GIB
"""Memory of a server's pod besides the weights that pass through it."""

MAX_NAME_CHARS = 40
"""KServe makes host and service names of it, of at most 63 characters, with the namespace or `-predictor` behind it."""

_LARGEST_NUMBER = 1 << 50
GENERATIVE = ("vLLM", "huggingface")
"""Formats whose models answer in text."""


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


@dataclass(frozen=True)
class ServedModel:
    """A model that is to be served.

    Attributes:
        image: The image, pinned to its digest.
        model: The model's id on the Hub; the service is named after it.
        model_format: The format as KServe's serving runtimes call it.
        arguments: Arguments for the server, beside those of the runtime.
        gpus: GPUs of 80 GB; 0: a CPU will do.
        memory_bytes: Memory that the model takes, in the GPUs together or, without one, in the pod.
        limits: What has to be known before it is served, a sentence each.
        entry: Its version in the Model Registry, where that is known.
    """

    image: str
    model: str
    model_format: str = "vLLM"
    arguments: tuple[str, ...] = ()
    gpus: int = 1
    memory_bytes: int = 16 * GIB
    limits: tuple[str, ...] = ()
    entry: RegistryEntry | None = field(default=None)

    @property
    def name(self) -> str:
        """The service's name."""
        return service_name(self.model)

    @property
    def is_generative(self) -> bool:
        """Whether it answers in text, as OpenShift AI distinguishes models."""
        return self.model_format in GENERATIVE

    @property
    def resources(self) -> dict[str, dict[str, str]]:
        """What the server's container asks for: weights pass through the pod's memory on their way to a GPU."""
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
    weights = _count(noted.get(annotations.SIZE, ""))
    needed = math.ceil(weights * SPARE)
    guess = ServedModel(image, model, gpus=_gpus(needed), memory_bytes=needed or ServedModel.memory_bytes)
    found = _noted(noted.get(SERVING, ""))
    known = replace(
        guess,
        model_format=_word(found.get("model_format")) or guess.model_format,
        arguments=tuple(_words(found.get("arguments"))),
        gpus=_number(found.get("gpus"), guess.gpus),
        memory_bytes=_number(found.get("memory_bytes"), guess.memory_bytes),
        limits=tuple(_words(found.get("limits"))),
    )
    return replace(known, model_format=model_format or known.model_format)


def service_name(model: str) -> str:
    """Returns a name for a model's service: a DNS label (RFC 1123) that begins with a letter, as KServe demands."""
    name = re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-")
    name = name if name[:1].isalpha() else f"model-{name}"
    return name[:MAX_NAME_CHARS].strip("-")


def _gpus(needed: int) -> int:
    """The least power of two of GPUs that holds the model: vLLM can spread its attention heads over no other number."""
    count = 1
    while count * GPU_BYTES < needed and count < 64:
        count *= 2
    return count


def _gibibytes(count: int) -> str:
    return f"{math.ceil(count / GIB)}Gi"


def _noted(text: str) -> dict[str, Any]:
    """Returns what a build noted. An image may say anything of itself: what we would not write counts as not there."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _count(text: str) -> int:
    return _number(int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0, 0)


def _number(value: object, otherwise: int) -> int:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_NUMBER
    return value if fits and isinstance(value, int) else otherwise


def _word(value: object) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]{1,60}", value) else ""


def _words(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
