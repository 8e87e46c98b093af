"""Settings of a server on Vertex AI that follow from the model: memory, GPUs, context and the time to start."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelcar.hub.serving import MOUNT
from modelcar.hub.snapshot import Serving
from modelcar.image.entry_points import PLACE, command_of

MAX_CONTEXT = 32_768
"""Tokens of context that are asked for unless somebody says otherwise: more may not fit beside the weights."""

SHARED_MEMORY_MB = 16_384
"""Memory for several GPUs, which talk through shared memory; Vertex AI's own default is 64 MB.

https://cloud.google.com/vertex-ai/docs/predictions/deploy-genai
"""

MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS = 1800, 7200
PULL_BYTES_PER_SECOND = 50e6
"""Speed of a pull at which a deployment still ends in time. An assumption: Google states no speed."""

_DECIDED = ("--model", "--tensor-parallel-size", "--host", "--port")


@dataclass(frozen=True)
class Server:
    """A server and its container.

    Attributes:
        args: Its arguments.
        container: More of the API's ModelContainerSpec, by its own names.
    """

    args: tuple[str, ...]
    container: Mapping[str, Any]


@dataclass(frozen=True)
class Wishes:
    """Settings that somebody asked for; 0 for what follows from the model.

    Attributes:
        tensor_parallel: GPUs that share the model.
        context_length: Tokens that the server sees at once.
        shared_memory_mb: Shared memory of the container.
        deployment_minutes: Time that a deployment may take.
    """

    tensor_parallel: int = 0
    context_length: int = 0
    shared_memory_mb: int = 0
    deployment_minutes: int = 0


def is_vllm(image: str, container: Mapping[str, Any]) -> bool:
    """Tells whether a server is vLLM, by its image's name or its command."""
    return "vllm" in " ".join([image, *command_of(container)]).lower()


def complete(server: Server, wishes: Wishes, serving: Serving | None, config: Mapping[str, Any], size: int) -> Server:
    """Adds to vLLM's settings what follows from the model; what was given stays as it is.

    Args:
        server: What was given.
        wishes: What somebody asked for.
        serving: How the model is served.
        config: Its config.json.
        size: Bytes of the image.
    """
    gpus = wishes.tensor_parallel or (serving.gpus if serving else 1)
    named = {word.partition("=")[0] for word in server.args}
    more = [word for option, *values in _options(serving) if option not in named for word in (option, *values)]
    if gpus > 1 and "--tensor-parallel-size" not in named:
        more.append(f"--tensor-parallel-size={gpus}")
    length = wishes.context_length or min(context_length(config), MAX_CONTEXT)
    if length and "--max-model-len" not in named:
        more.append(f"--max-model-len={length}")
    container = dict(server.container)
    shared = wishes.shared_memory_mb or (SHARED_MEMORY_MB if gpus > 1 else 0)
    if shared:
        container.setdefault("sharedMemorySizeMb", shared)
    container.setdefault("deploymentTimeout", f"{60 * wishes.deployment_minutes or timeout_seconds(size)}s")
    return Server((*server.args, *more), container)


def context_length(config: Mapping[str, Any]) -> int:
    """Returns the tokens that a model was trained to see at once; 0 if its configuration does not say."""
    for part in (config, config.get("text_config"), config.get("llm_config")):
        found = part.get("max_position_embeddings") if isinstance(part, Mapping) else None
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    return 0


def timeout_seconds(size: int) -> int:
    """Returns the time that a deployment gets: half of it to pull the image, at the least speed that is assumed."""
    return int(min(max(MIN_TIMEOUT_SECONDS, 2 * size / PULL_BYTES_PER_SECOND), MAX_TIMEOUT_SECONDS))


def _options(serving: Serving | None) -> Iterator[Sequence[str]]:
    """Yields the options, each with its values, that the plan gives to vLLM, for the place where the model lies."""
    if serving is None or serving.model_format != "vLLM":
        return
    option: list[str] = []
    for word in serving.arguments:
        if word.startswith("--") and option:
            if option[0] not in _DECIDED:
                yield option
            option = []
        option.append(word.replace(MOUNT, PLACE))
    if option and option[0] not in _DECIDED:
        yield option
