"""Serving runtimes: which one serves a format, whether it is there, and how to get it if not."""

from dataclasses import dataclass
from typing import Any

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.serving.platform import KSERVE, Platform
from modelcar.serving.served_model import ServedModel

VLLM_IMAGE = (
    "registry.redhat.io/rhaiis/vllm-cuda-rhel9@sha256:fc68d623d1bfc36c8cb2fe4a71f19c8578cfb420ce8ce07b20a02c1ee0be0cf3"
)
"""vLLM 0.11 for NVIDIA GPUs, of OpenShift AI 3.5 (opendatahub-io/kserve, config/overlays/odh/params.env)."""

APPLICATIONS = "redhat-ods-applications"
"""The project in which OpenShift AI keeps its templates."""


@dataclass(frozen=True)
class Runtime:
    """A serving runtime.

    Attributes:
        name: Its name in the project; empty where KServe chooses it by the format.
        template: OpenShift AI's template of it; empty where there is none.
        model_format: The format under which it takes the model.
        document: The ServingRuntime to create where there is none, as Kubernetes takes it; None if it is built in.
    """

    name: str
    template: str
    model_format: str
    document: dict[str, Any] | None = None

    @property
    def command(self) -> str:
        """The command that creates it as this version of OpenShift AI brings it; empty where there is none."""
        return f"oc process -n {APPLICATIONS} {self.template} | oc apply -f -" if self.template else ""


_ACCELERATORS = "opendatahub.io/recommended-accelerators"
_VLLM_TEMPLATE = "vllm-cuda-runtime-template"
_OPENVINO = ("openvino_ir", "onnx", "tensorflow", "paddle", "pytorch")
_MLSERVER = ("sklearn", "xgboost", "lightgbm")


def runtime_for(model: ServedModel, platform: Platform) -> Runtime:
    """Returns the serving runtime for a model.

    KServe by itself brings runtimes for all projects, which it chooses by the format; its server for language models
    calls theirs `huggingface`, and is vLLM beneath. OpenShift AI brings templates, and a project has none at first; its
    dashboard makes a runtime for each service, of the service's name, and so does this.
    """
    if platform.name == "kserve":
        return Runtime("", "", "huggingface" if model.model_format == "vLLM" else model.model_format)
    if model.model_format == "vLLM" and model.gpus:
        return Runtime(model.name, _VLLM_TEMPLATE, "vLLM", _vllm(model.name))
    if model.model_format == "vLLM":
        return Runtime("vllm-cpu-x86-runtime", "vllm-cpu-x86-runtime-template", "vLLM")
    if model.model_format in _OPENVINO:
        return Runtime("kserve-ovms", "kserve-ovms", model.model_format)
    if model.model_format in _MLSERVER and platform.name == "rhoai-3":
        return Runtime("mlserver-runtime", "mlserver-runtime-template", model.model_format)
    return Runtime("", "", model.model_format)


def find_runtime(model: ServedModel, cluster: Cluster) -> Runtime | None:
    """Looks for a serving runtime of the project that takes a model's format; None where none does or may be seen.

    Raises:
        ClusterError: The cluster cannot be asked.
    """
    from kubernetes import client

    with api_errors("look for serving runtimes"):
        try:
            listed = client.CustomObjectsApi(cluster.api).list_namespaced_custom_object(
                KSERVE, "v1alpha1", cluster.namespace, "servingruntimes", _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            if error.status in (403, 404):
                return None
            raise
    for found in sorted(listed["items"], key=lambda one: _rank(one, model)):
        spec = found["spec"]
        formats = {one["name"] for one in spec.get("supportedModelFormats") or ()}
        if model.model_format in formats and not spec.get("disabled") and not spec.get("multiModel"):
            return Runtime(found["metadata"]["name"], "", model.model_format)
    return None


def _rank(found: dict[str, Any], model: ServedModel) -> tuple[bool, bool, str]:
    """Returns what sorts runtimes: the service's own first, then those for GPUs or without, as the model needs them."""
    metadata = found["metadata"]
    accelerators = (metadata.get("annotations") or {}).get(_ACCELERATORS, "")
    return metadata["name"] != model.name, ("gpu" in accelerators) != bool(model.gpus), str(metadata["name"])


def _vllm(name: str) -> dict[str, Any]:
    container = {
        "name": "kserve-container",
        "image": VLLM_IMAGE,
        "command": ["python", "-m", "vllm.entrypoints.openai.api_server"],
        "args": ["--port=8080", "--model=/mnt/models", "--served-model-name={{.Name}}"],
        "env": [{"name": "HF_HOME", "value": "/tmp/hf_home"}],  # noqa: S108 (of the server's own container)
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {
            "name": name,
            "labels": {"opendatahub.io/dashboard": "true"},
            "annotations": {
                "openshift.io/display-name": "vLLM NVIDIA GPU ServingRuntime for KServe",
                _ACCELERATORS: '["nvidia.com/gpu"]',
                "opendatahub.io/apiProtocol": "REST",
                "opendatahub.io/template-name": _VLLM_TEMPLATE,
            },
        },
        "spec": {
            "annotations": {"prometheus.io/port": "8080", "prometheus.io/path": "/metrics"},
            "multiModel": False,
            "supportedModelFormats": [{"name": "vLLM", "autoSelect": True}],
            "containers": [container],
        },
    }
