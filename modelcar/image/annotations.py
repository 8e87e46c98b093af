"""Annotations of an image about the model in it (OCI), so that later steps and later runs need only the image."""

from collections.abc import Mapping
from datetime import UTC

from modelcar.hub.snapshot import Serving, Snapshot
from modelcar.image.recipe import RECIPE_VERSION
from modelcar.oci import spec

FILES = "io.modelcar.files"
"""The annotation of a layer that says what is in it (modelcar.image.recipe.files_key)."""


_OURS = "io.modelcar."
MODEL, RECIPE, VERSION = _OURS + "model", _OURS + "recipe", _OURS + "recipe-version"
BASE_MODELS, QUANTIZATION, SIZE = _OURS + "base-models", _OURS + "quantization", _OURS + "weights-size"
BASE_MODEL_RELATION = _OURS + "base-model-relation"
LICENCE_NAME, LICENCE_LINK = _OURS + "licence-name", _OURS + "licence-link"
MODEL_FORMAT, SERVING = _OURS + "model-format", _OURS + "serving"
GENERATIVE_FORMATS = ("vLLM", "huggingface")
"""Model formats whose models answer in text."""

MAX_SHARD_LAYER = _OURS + "max-shard-layer"
"""The largest layer, in bytes, for which files were cut (modelcar.hub.reshard); unsaid where none was."""

FOLDER = _OURS + "folder"
"""The folder of /models that the files lie in, such as a version's number; unsaid where they lie in /models itself."""

MAX_VALUE_CHARS = 4096
"""Length of a value. What a model card says has no end, and registries take manifests of 4 MiB."""


def describe(snapshot: Snapshot, recipe: str) -> dict[str, str]:
    """Returns the annotations of an image of a snapshot, made by a recipe (modelcar.image.recipe).

    They follow from the snapshot and the recipe alone. What is not known is left out.
    """
    known = {
        spec.TITLE: snapshot.model,
        spec.SOURCE: snapshot.source,
        spec.REVISION: snapshot.commit,
        spec.CREATED: snapshot.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        spec.LICENCES: snapshot.licence,
        MODEL: snapshot.model,
        LICENCE_NAME: snapshot.licence_name,
        LICENCE_LINK: snapshot.licence_link,
        BASE_MODELS: ", ".join(snapshot.base_models),
        BASE_MODEL_RELATION: snapshot.base_model_relation,
        MODEL_FORMAT: snapshot.serving.model_format if snapshot.serving else "",
        SERVING: _whole(snapshot.serving.as_json()) if snapshot.serving else "",
        QUANTIZATION: snapshot.quantization,
        FOLDER: snapshot.folder,
        MAX_SHARD_LAYER: str(snapshot.max_shard_layer or ""),
        SIZE: str(snapshot.size),
        RECIPE: recipe,
        VERSION: str(RECIPE_VERSION),
    }
    return {key: value[:MAX_VALUE_CHARS] for key, value in known.items() if value}


def serving_of_image(said: Mapping[str, str]) -> Serving | None:
    """Returns how the model in an image is served, as its annotations say; None if they do not."""
    return Serving.read(said[SERVING]) if SERVING in said else None


def folder_of_image(said: Mapping[str, str]) -> str:
    """Returns the folder of /models that an image says its files lie in; empty for none, and for what is none."""
    folder = said.get(FOLDER, "")
    return folder if folder.isascii() and folder.isdecimal() else ""


def _whole(written: str) -> str:
    """Keeps JSON only where it fits: half of it says nothing."""
    return written if len(written) <= MAX_VALUE_CHARS else ""
