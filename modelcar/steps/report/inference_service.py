"""The InferenceService with which KServe, and OpenShift AI's model serving, serve an image of a model."""

import re
from typing import Any

import yaml

LONGEST_NAME = 40
"""KServe makes host and service names of it, of at most 63 characters, with the namespace or `-predictor` behind it."""

_GPU = "nvidia.com/gpu"


def inference_service(image: str, model: str, model_format: str = "vLLM") -> str:
    """The YAML to apply.

    See https://kserve.github.io/website/docs/model-serving/storage/providers/oci. KServe chooses the serving runtime by
    the model's format. Nodes that need a login for the image want `imagePullSecrets` beside `model`.

    Args:
        image: The image, pinned to its digest.
        model: The model's id on the Hub; the service is named after it.
        model_format: The format as the serving runtime calls it.
    """
    predictor: dict[str, Any] = {
        "model": {
            "modelFormat": {"name": model_format},
            "storageUri": f"oci://{image}",
            "resources": {"requests": {_GPU: "1"}, "limits": {_GPU: "1"}},
        }
    }
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": service_name(model),
            # OpenShift AI's dashboard shows what has this label, by that name.
            "labels": {"opendatahub.io/dashboard": "true"},
            "annotations": {"openshift.io/display-name": model},
        },
        "spec": {"predictor": predictor},
    }
    return yaml.safe_dump(service, sort_keys=False, allow_unicode=True, width=1000)


def service_name(model: str) -> str:
    """A name for a model's service: a DNS label (RFC 1123) that begins with a letter, as KServe demands."""
    name = re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-")
    name = name if name[:1].isalpha() else f"model-{name}"
    return name[:LONGEST_NAME].strip("-")
