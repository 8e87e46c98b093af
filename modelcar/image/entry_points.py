"""Entry points of serving images that would serve, on Vertex AI, another model than the one in the image.

Vertex AI names a folder in AIP_STORAGE_URI for every model that it serves. The entry points of Model Garden's and of
Hugging Face's images, as they are published, download that folder and serve it in the place of `/models`:
https://github.com/GoogleCloudPlatform/vertex-ai-samples (gcs_download_launcher.sh),
https://github.com/huggingface/Google-Cloud-Containers (entrypoint.sh of TGI from 2.0, TEI from 1.4, PyTorch inference).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelcar.image.recipe import MODELS

STORAGE_URI = "AIP_STORAGE_URI"

PLACE = f"/{MODELS}"
"""Place of the model in the image."""

_LAUNCHER, _HUGGING_FACE = "gcs_download_launcher.sh", "entrypoint.sh"
_VLLM = ("python", "-m", "vllm.entrypoints.api_server")
_WITHOUT_FOLDER = ("env", "-u", STORAGE_URI)


@dataclass(frozen=True)
class _Kind:
    """A kind of serving images.

    Attributes:
        names: Parts of references by which they are known, one of them each.
        script: The entry point's script.
        command: What starts their server without the script; empty for the script, without the folder's name.
        variable: What tells the server where the model is; empty where an argument does.
        option: The argument that tells it as well.
    """

    names: tuple[str, ...]
    script: str
    command: tuple[str, ...] = ()
    variable: str = ""
    option: str = ""


_KINDS = (
    _Kind(("pytorch-vllm-serve", "pytorch-vllm-optimized-serve"), _LAUNCHER, _VLLM),
    _Kind(("huggingface-text-generation-inference",), _HUGGING_FACE, variable="MODEL_ID", option="--model-id"),
    _Kind(("huggingface-text-embeddings-inference",), _HUGGING_FACE, variable="MODEL_ID", option="--model-id"),
    _Kind(("huggingface-pytorch-inference",), _HUGGING_FACE, variable="HF_MODEL_DIR"),
    _Kind(("/vertex-vision-model-garden-dockers/", "/vertex-model-garden/"), _LAUNCHER),
)


def overrides_model(
    image: str, container: Mapping[str, Any], args: Sequence[str] = (), entry_point: Sequence[str] = ()
) -> tuple[str, str] | None:
    """Tells whether a server would serve another model than the one in its image.

    Args:
        image: The serving image.
        container: The container, by the names of Vertex AI's ModelContainerSpec.
        args: Arguments of the server.
        entry_point: The image's entry point; empty where that is not known.

    Returns:
        What is wrong, and the remedy; None if nothing is known to be.
    """
    kind = next((one for one in _KINDS if any(name in image for name in one.names)), None)
    program = command_of(container) or list(entry_point)
    started, name = " ".join(program), image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    more = ""
    if _serves_a_folder(kind, started):
        what = f"the entry point of {name} serves a folder that it downloads, and not {PLACE}, whatever it is told"
    elif kind and kind.variable and "vllm" in started:
        what, more = f"{name} has no vLLM, which serving_container starts", ", and serving_args of its own server"
        program = list(entry_point)
    elif kind and kind.variable and not _is_told(kind, container, args):
        what = f"{name} takes {kind.variable} for its model, which does not say {PLACE}: it would not serve that"
    else:
        return None
    return what, f"Give serving_container {json.dumps(_remedy(kind, program))}{more}"


def command_of(container: Mapping[str, Any]) -> list[str]:
    """Returns a container's command; empty where it has none, or one that Vertex AI will not take."""
    command = container.get("command")
    return [str(word) for word in command] if isinstance(command, list) else []


def _serves_a_folder(kind: _Kind | None, started: str) -> bool:
    if STORAGE_URI in started:
        return False
    if started:
        return _LAUNCHER in started or (kind is not None and kind.script in started)
    return kind is not None


def _is_told(kind: _Kind, container: Mapping[str, Any], args: Sequence[str]) -> bool:
    if kind.option and any(str(word).partition("=")[0] == kind.option for word in args):
        return True
    variables = container.get("env")
    given = variables if isinstance(variables, list) else []
    return any(isinstance(one, Mapping) and one.get("name") == kind.variable for one in given)


def _remedy(kind: _Kind | None, program: Sequence[str]) -> dict[str, Any]:
    """Returns what a container needs so that its server serves the model in the image."""
    if kind and kind.command:
        return {"command": list(kind.command)}
    if not any(STORAGE_URI in word for word in program):
        program = [*_WITHOUT_FOLDER, *(program or [f"./{kind.script if kind else _LAUNCHER}"])]
    variable = [{"name": kind.variable, "value": PLACE}] if kind and kind.variable else []
    return {"command": list(program), **({"env": variable} if variable else {})}
