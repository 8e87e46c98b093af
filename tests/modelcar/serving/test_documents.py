"""The YAML with which an image is served, for each platform; tests/kubernetes has an API server read it."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from modelcar_base_image.embedded_oci_layout import embedded_oci_layout

from modelcar.errors import BuildError, PlanError
from modelcar.image.annotations import SERVING
from modelcar.serving.documents import ServingDocuments, serving_documents
from modelcar.serving.platform import PLATFORMS, Platform, choose_platform
from modelcar.serving.runtime import Runtime
from modelcar.serving.served_model import (
    RegistryEntry,
    ServedModel,
    read_served_model,
    served_model,
    service_name,
)
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import stream

IMAGE = "quay.io/team/mistral@sha256:" + "a" * 64
SIZE = "io.modelcar.weights-size"
MISTRAL = {
    SIZE: str(48 * 10**9),
    SERVING: json.dumps(
        {
            "model_format": "vLLM",
            "arguments": ["--tokenizer-mode", "mistral"],
            "gpus": 2,
            "memory_bytes": 60 * 10**9,
            "limits": ["It answers in text."],
        }
    ),
}


def services(documents: ServingDocuments) -> dict[str, dict[str, Any]]:
    """Each document by its kind."""
    text = documents.inference_service + "\n---\n" + documents.llm_inference_service
    return {one["kind"]: one for one in yaml.safe_load_all(text) if one}


def test_openshift_ai_gets_all_that_a_fresh_project_lacks() -> None:
    model = served_model(IMAGE, "mistralai/Mistral-Small-24B", MISTRAL)

    documents = serving_documents(model, Platform("rhoai-3"), "quay-login")
    found = services(documents)

    runtime, service, llm = found["ServingRuntime"], found["InferenceService"], found["LLMInferenceService"]
    served = service["spec"]["predictor"]["model"]
    assert served["runtime"] == runtime["metadata"]["name"] == "mistral-small-24b"
    assert served["modelFormat"]["name"] in [one["name"] for one in runtime["spec"]["supportedModelFormats"]]
    assert served["storageUri"] == llm["spec"]["model"]["uri"] == f"oci://{IMAGE}"
    assert served["args"] == ["--tokenizer-mode", "mistral", "--tensor-parallel-size=2"]
    assert served["resources"]["limits"] == {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}
    assert served["resources"]["requests"]["memory"] == "8Gi"
    annotations = service["metadata"]["annotations"]
    assert annotations["serving.kserve.io/deploymentMode"] == "RawDeployment"
    assert annotations["opendatahub.io/model-type"] == "generative"
    assert annotations["opendatahub.io/connections"] == "quay-login"
    assert service["metadata"]["labels"]["opendatahub.io/dashboard"] == "true"
    (main,) = llm["spec"]["template"]["containers"]
    assert main["env"] == [
        {"name": "VLLM_ADDITIONAL_ARGS", "value": "--tokenizer-mode mistral --tensor-parallel-size=2"}
    ]
    assert documents.inference_service.startswith("# It answers in text.\n")


@pytest.mark.parametrize(
    ("given", "namespace"), [("gpu-large", "redhat-ods-applications"), ("my-project/gpu-large", "my-project")]
)
@pytest.mark.parametrize("platform", ["rhoai-2.25", "rhoai-3"])
def test_hardware_profile_is_named_and_our_resources_stay(given: str, namespace: str, platform: str) -> None:
    """The webhook adds only what the object does not name itself."""
    model = served_model(IMAGE, "a/b", MISTRAL)
    plain = services(serving_documents(model, Platform(platform)))
    profiled = services(serving_documents(model, Platform(platform), hardware_profile=given))

    profile = {
        "opendatahub.io/hardware-profile-name": "gpu-large",
        "opendatahub.io/hardware-profile-namespace": namespace,
    }
    for kind, one in plain.items():
        if kind != "ServingRuntime":
            one["metadata"]["annotations"] |= profile
    assert profiled == plain


def test_kserve_by_itself_has_no_hardware_profiles() -> None:
    with pytest.raises(PlanError, match="hardware profiles are OpenShift AI's"):
        serving_documents(served_model(IMAGE, "a/b", MISTRAL), Platform("kserve"), hardware_profile="gpu-large")


def test_older_openshift_ai_gets_a_pull_secret_and_no_llm_service() -> None:
    documents = serving_documents(served_model(IMAGE, "a/b", MISTRAL), Platform("rhoai-2.25"), "quay-login")
    service = services(documents)["InferenceService"]

    assert documents.llm_inference_service == ""
    assert service["spec"]["predictor"]["imagePullSecrets"] == [{"name": "quay-login"}]
    assert "opendatahub.io/connections" not in service["metadata"]["annotations"]


def test_kserve_chooses_its_own_runtime() -> None:
    documents = serving_documents(served_model(IMAGE, "a/b", MISTRAL), Platform("kserve"))
    found = services(documents)

    assert list(found) == ["InferenceService"]
    assert found["InferenceService"]["spec"]["predictor"]["model"]["modelFormat"] == {"name": "huggingface"}
    assert "runtime" not in found["InferenceService"]["spec"]["predictor"]["model"]
    assert "labels" not in found["InferenceService"]["metadata"]


@pytest.mark.parametrize(
    ("has_llm", "gpus", "model_format"), [(False, 1, "vLLM"), (True, 0, "vLLM"), (True, 1, "onnx")]
)
def test_llm_service_is_for_where_it_can_run(has_llm: bool, gpus: int, model_format: str) -> None:
    model = ServedModel(IMAGE, "a/b", model_format, gpus=gpus)

    assert serving_documents(model, Platform("rhoai-3", True, has_llm)).llm_inference_service == ""


@pytest.mark.parametrize(
    ("model_format", "gpus", "runtime", "command"),
    [
        ("vLLM", 0, "vllm-cpu-x86-runtime", "vllm-cpu-x86-runtime-template"),
        ("openvino_ir", 0, "kserve-ovms", "kserve-ovms"),
        ("sklearn", 0, "mlserver-runtime", "mlserver-runtime-template"),
    ],
)
def test_other_runtimes_come_from_openshift_ais_templates(
    model_format: str, gpus: int, runtime: str, command: str
) -> None:
    documents = serving_documents(ServedModel(IMAGE, "a/b", model_format, gpus=gpus), Platform("rhoai-3"))
    found = services(documents)

    assert list(found) == ["InferenceService"]
    assert found["InferenceService"]["spec"]["predictor"]["model"]["runtime"] == runtime
    assert documents.before == f"oc process -n redhat-ods-applications {command} | oc apply -f -"


def test_runtime_that_is_there_is_used() -> None:
    documents = serving_documents(ServedModel(IMAGE, "a/b"), Platform("rhoai-3"), runtime=Runtime("ours", "", "vLLM"))
    found = services(documents)

    assert "ServingRuntime" not in found
    assert found["InferenceService"]["spec"]["predictor"]["model"]["runtime"] == "ours"
    assert documents.before == ""


def test_version_is_named_as_the_dashboard_looks_for_it() -> None:
    model = ServedModel(IMAGE, "a/b", entry=RegistryEntry("registry", "3", "5"))
    labels = services(serving_documents(model, Platform("rhoai-3")))["InferenceService"]["metadata"]["labels"]

    assert labels["modelregistry.opendatahub.io/name"] == "registry"
    assert labels["modelregistry.opendatahub.io/registered-model-id"] == "3"
    assert labels["modelregistry.opendatahub.io/model-version-id"] == "5"


@pytest.mark.parametrize(
    ("size", "gpus", "memory"), [("", 1, "24Gi"), (str(8 * 10**9), 1, "21Gi"), (str(140 * 10**9), 4, "162Gi")]
)
def test_image_that_notes_nothing_is_guessed_by_its_size(size: str, gpus: int, memory: str) -> None:
    model = served_model(IMAGE, "a/b", {SIZE: size} if size else {})

    assert model.gpus == gpus
    assert model.resources["limits"]["memory"] == memory


NOT_OURS = [
    *("", "{", "[]", "1", '{"gpus": -1}', '{"gpus": 1e9}', '{"arguments": "rm"}', "[" * 100_000),
    *('{"memory_bytes": "many"}', '{"limits": [1, null]}', '{"arguments": [{}]}'),
]


@pytest.mark.parametrize("noted", NOT_OURS, ids=range(len(NOT_OURS)))
def test_notes_that_are_not_ours_count_as_none(noted: str) -> None:
    assert served_model(IMAGE, "a/b", {SERVING: noted}) == served_model(IMAGE, "a/b", {})


@given(st.text(), st.text(), st.text(), st.lists(st.text()), st.sampled_from(PLATFORMS))
def test_documents_are_yaml_whatever_the_names_are(
    image: str, model: str, model_format: str, words: list[str], platform: Any
) -> None:
    served = ServedModel(image, model, model_format, arguments=tuple(words), limits=tuple(words), gpus=2)

    found = services(serving_documents(served, Platform(platform), image))

    predictor = found["InferenceService"]["spec"]["predictor"]["model"]
    assert predictor["storageUri"] == f"oci://{image}"
    assert predictor.get("args", [])[: len(words)] == words
    assert set(found) <= {"ServingRuntime", "InferenceService", "LLMInferenceService"}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("mistralai/Mistral-Small-24B-Instruct-2501", "mistral-small-24b-instruct-2501"),
        ("org/2B_model.v1", "model-2b-model-v1"),
        ("org/" + "x" * 90, "x" * 40),
        ("org/" + "x" * 39 + "-y", "x" * 39),
        ("org/ÄÖ", "model"),
        ("", "model"),
    ],
)
def test_service_has_a_name_that_the_cluster_takes(model: str, name: str) -> None:
    assert service_name(model) == name
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name)


def test_platform_is_chosen_or_the_newest() -> None:
    assert choose_platform("kserve") == Platform("kserve")
    assert choose_platform("auto") == Platform("rhoai-3")
    with pytest.raises(PlanError, match=r"no serving 'v3'.*auto, rhoai-2.25, rhoai-3, kserve"):
        choose_platform("v3")


def test_image_of_ours_says_how_it_is_served(plain_registry: Registry, hub: Hub, model: Path, tmp_path: Path) -> None:
    hub.publish("example/tiny-llama", model)
    done = stream("example/tiny-llama", f"{plain_registry.host}/served/tiny:1")

    served = read_served_model(f"{plain_registry.host}/served/tiny:1")

    assert served.image == str(done.image)
    assert served.model == "example/tiny-llama"
    embedded_oci_layout(tmp_path / "layout")
    foreign = f"{plain_registry.host}/served/foreign:1"
    copy = [
        "skopeo",
        "copy",
        "--all",
        "--dest-tls-verify=false",
        f"oci:{tmp_path}/layout:latest",
        f"docker://{foreign}",
    ]
    subprocess.run(copy, check=True, capture_output=True)
    with pytest.raises(BuildError, match="does not say which model it holds"):
        read_served_model(foreign)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://registry-rest.apps.example.com", "registry"),
        ("http://model-registry.rhoai-model-registries.svc:8080", "model-registry"),
        ("", ""),
        ("no address", ""),
    ],
)
def test_registry_is_called_as_its_address_begins(url: str, name: str) -> None:
    entry = RegistryEntry.of(url, "12", "34")

    assert (entry.name if entry else "") == name
    assert RegistryEntry.of(url, "", "34") is None


def test_service_of_another_name_is_called_so_everywhere() -> None:
    model = replace(served_model(IMAGE, "a/b", MISTRAL), service="chat")
    found = services(serving_documents(model, Platform("rhoai-3")))

    assert {one["metadata"]["name"] for one in found.values()} == {"chat"}
    assert found["InferenceService"]["spec"]["predictor"]["model"]["runtime"] == "chat"
