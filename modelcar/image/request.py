"""The image that is asked for."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from modelcar.given import value_of
from modelcar.hub.snapshot import Snapshot
from modelcar.image.default_target import target_for
from modelcar.image.layout import MAX_LAYER_SIZE
from modelcar.oci.reference import Reference


@dataclass(frozen=True)
class ImageRequest:
    """Target of an image and the way it is made: parameters of the pipelines, by their own names.

    Attributes:
        target: Image to write, `registry/repository:tag`; empty, in a pod, for OpenShift's own registry.
        mirror_target: Image to write as well; empty for none.
        base_image: Image under the model; empty for the one that KServe's modelcars need.
        allow_base_models: Whether that image may hold /models itself, which is then served with the model.
        max_layer_size: Largest layer that the registries take, in bytes.
        reshard: Cut safetensors and GGUF files that are larger than that into files that are not.
        if_exists: `update`, `replace` or `refuse` tags that hold something else (modelcar.image.tag_policy).
    """

    target: str = ""
    _: KW_ONLY
    mirror_target: str = ""
    base_image: str = ""
    allow_base_models: bool = False
    max_layer_size: int = MAX_LAYER_SIZE
    reshard: bool = False
    if_exists: str = "update"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "ImageRequest":
        """Takes what it needs of a step's parameters."""
        return value_of(cls, given)

    def destination(self, snapshot: Snapshot) -> Reference:
        """Returns where the image of a model goes.

        Raises:
            UnsafeNameError: The target is no image's name, or there is none and this is no pod.
        """
        return Reference.parse_target(self.target) if self.target else target_for(snapshot)
