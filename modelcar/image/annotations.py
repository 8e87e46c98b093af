"""What an image says of the model in it, as OCI annotations, so that later steps and later runs need only the image."""

from datetime import UTC

from modelcar.hub.snapshot import Snapshot
from modelcar.image.recipe import RECIPE_VERSION
from modelcar.oci import spec

FILES = "io.modelcar.files"
"""The annotation of a layer that says what is in it (modelcar.image.recipe.files_key)."""


_OURS = "io.modelcar."
MODEL, RECIPE, VERSION = _OURS + "model", _OURS + "recipe", _OURS + "recipe-version"
BASE_MODELS, QUANTIZATION, SIZE = _OURS + "base-models", _OURS + "quantization", _OURS + "weights-size"

LONGEST = 4096
"""Characters of a value. What a model card says has no end, and registries take manifests of 4 MiB."""


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
        BASE_MODELS: ", ".join(snapshot.base_models),
        QUANTIZATION: snapshot.quantization,
        SIZE: str(snapshot.size),
        RECIPE: recipe,
        VERSION: str(RECIPE_VERSION),
    }
    return {key: value[:LONGEST] for key, value in known.items() if value}
