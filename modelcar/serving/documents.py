"""The YAML with which a model is served: what to create, for one platform or another."""

import shlex
from dataclasses import dataclass
from typing import Any

import yaml

from modelcar.errors import PlanError
from modelcar.serving.platform import Platform
from modelcar.serving.runtime import Runtime, runtime_for
from modelcar.serving.served_model import ServedModel

LABEL, CONNECTIONS = "opendatahub.io/dashboard", "opendatahub.io/connections"
"""OpenShift AI's dashboard shows what has the label; its webhook adds the pull secret of the connection annotated."""

PROFILE, PROFILE_NAMESPACE = "opendatahub.io/hardware-profile-name", "opendatahub.io/hardware-profile-namespace"
"""Another webhook of OpenShift AI's adds the profile's tolerations, node selector or queue, and the resources that the
object does not name itself (opendatahub-operator, internal/webhook/hardwareprofile)."""

SHARED_PROFILES = "redhat-ods-applications"
"""Namespace of the profiles that the dashboard offers in all projects."""


@dataclass(frozen=True)
class ServingDocuments:
    """Objects to create, each fit for `oc apply -f`.

    Attributes:
        objects: The ServingRuntime, where OpenShift AI brings none, and the InferenceService, as Kubernetes takes them.
        inference_service: The same as YAML.
        llm_inference_service: The LLMInferenceService, for OpenShift AI 3.4 or newer; empty where it does not apply.
        before: The command that creates the serving runtime, where one has to be created and is not in the YAML.
    """

    objects: tuple[dict[str, Any], ...]
    inference_service: str
    llm_inference_service: str
    before: str


def serving_documents(
    model: ServedModel,
    platform: Platform,
    connection: str = "",
    runtime: Runtime | None = None,
    hardware_profile: str = "",
) -> ServingDocuments:
    """Writes the YAML with which a model is served.

    Args:
        model: The model.
        platform: What serves it.
        connection: The connection (OpenShift AI) or pull Secret with which the image is pulled; empty for none.
        runtime: The serving runtime; None for what the format and the platform call for.
        hardware_profile: OpenShift AI's hardware profile, NAME or NAMESPACE/NAME; empty for none.

    Raises:
        PlanError: KServe by itself has no hardware profiles.
    """
    profile = _profile(hardware_profile, platform)
    runtime = runtime or runtime_for(model, platform)
    documents = [] if runtime.document is None else [runtime.document]
    documents.append(_annotated(_inference_service(model, platform, connection, runtime), profile))
    llm = platform.name == "rhoai-3" and platform.has_llm is not False and model.model_format == "vLLM" and model.gpus
    llm_yaml = _yaml(model, _annotated(_llm_inference_service(model, connection), profile)) if llm else ""
    before = "" if runtime.document else runtime.command
    return ServingDocuments(tuple(documents), _yaml(model, *documents), llm_yaml, before)


def _profile(given: str, platform: Platform) -> dict[str, str]:
    if given and platform.name == "kserve":
        raise PlanError("hardware profiles are OpenShift AI's, and KServe by itself has none", "Leave the profile out")
    namespace, _, name = given.rpartition("/")
    return {PROFILE: name, PROFILE_NAMESPACE: namespace or SHARED_PROFILES} if given else {}


def _annotated(document: dict[str, Any], annotations: dict[str, str]) -> dict[str, Any]:
    document["metadata"]["annotations"] |= annotations
    return document


def _inference_service(model: ServedModel, platform: Platform, connection: str, runtime: Runtime) -> dict[str, Any]:
    served: dict[str, Any] = {"modelFormat": {"name": runtime.model_format}}
    if runtime.name:
        served["runtime"] = runtime.name
    served["storageUri"] = f"oci://{model.image}"
    if model.server_arguments:
        served["args"] = list(model.server_arguments)
    served["resources"] = model.resources
    predictor: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 1, "model": served}
    if connection and platform.name != "rhoai-3":
        predictor["imagePullSecrets"] = [{"name": connection}]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(model, platform, connection, {"serving.kserve.io/deploymentMode": "RawDeployment"}),
        "spec": {"predictor": predictor},
    }


def _llm_inference_service(model: ServedModel, connection: str) -> dict[str, Any]:
    main: dict[str, Any] = {"name": "main", "resources": model.resources}
    if model.server_arguments:
        words = " ".join(shlex.quote(word) for word in model.server_arguments)
        main["env"] = [{"name": "VLLM_ADDITIONAL_ARGS", "value": words}]
    # Without tokens: asking for them takes Red Hat Connectivity Link, which a cluster need not have.
    extra = {"security.opendatahub.io/enable-auth": "false"}
    return {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": _metadata(model, Platform("rhoai-3"), connection, extra),
        "spec": {
            "replicas": 1,
            "model": {"uri": f"oci://{model.image}", "name": model.name},
            "router": {"scheduler": {}, "route": {}, "gateway": {}},
            "template": {"containers": [main]},
        },
    }


def _metadata(model: ServedModel, platform: Platform, connection: str, extra: dict[str, str]) -> dict[str, Any]:
    if platform.name == "kserve":
        return {"name": model.name, "annotations": extra}
    labels = {LABEL: "true"}
    if model.entry is not None:
        registry = "modelregistry.opendatahub.io/"
        labels |= {f"{registry}name": model.entry.name, f"{registry}registered-model-id": model.entry.model_id}
        labels[f"{registry}model-version-id"] = model.entry.version_id
    annotations = {
        "openshift.io/display-name": model.model,
        "opendatahub.io/model-type": "generative" if model.is_generative else "predictive",
        **extra,
    }
    if connection and platform.name == "rhoai-3":
        annotations[CONNECTIONS] = connection
    return {"name": model.name, "labels": labels, "annotations": annotations}


def _yaml(model: ServedModel, *documents: dict[str, Any]) -> str:
    """The documents, below what has to be known of the model; only what fits a comment's line stands there."""
    notes = "".join(f"# {' '.join(limit.split())}\n" for limit in model.limits if limit.isprintable())
    return notes + yaml.safe_dump_all(documents, sort_keys=False, width=1000)
