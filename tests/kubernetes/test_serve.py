"""The serve step with KServe's own controllers and webhooks: from an image to the first answer, and back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError
from modelcar.oci.reference import Reference
from modelcar.serving.documents import serving_documents
from modelcar.serving.objects import find_object
from modelcar.serving.platform import PLATFORMS, Platform
from modelcar.serving.served_model import RegistryEntry, ServedModel, read_served_model, served_model
from modelcar.steps.preflight.service import check_serve_as, is_served
from modelcar.steps.serve import obstacle
from modelcar.steps.serve.serve import Served, ServeRequest, serve
from tests.kubernetes.executors import applied
from tests.kubernetes.kserve.controller import kserve
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import pod
from tests.kubernetes.serving import runtime
from tests.kubernetes.serving.image import SERVER
from tests.kubernetes.serving.images import push_images
from tests.kubernetes.waiting import until
from tests.parts.registries import BasicAuthRegistry, auth_file

NAME = "tiny"
SERVICES, PLURAL = ("serving.kserve.io", "v1beta1"), "inferenceservices"
COMPLETION = """
import urllib.request
asked = urllib.request.Request("http://{address}/v1/completions", b'{{"prompt": "hello", "max_tokens": 4}}')
print(urllib.request.urlopen(asked, timeout=600).read().decode())
"""
LLMS, LLM_PLURAL = ("serving.kserve.io", "v1alpha2"), "llminferenceservices"
LLM_PORT = 8000
RUN_FOR_LLMS = f"""
import sys
sys.argv = ["", "/mnt/models"]
exec(open("{SERVER}").read().replace("PORT = 8080", "PORT = {LLM_PORT}"), {{"__name__": "__main__"}})
"""


@pytest.fixture(scope="module", autouse=True)
def with_kserve(local_cluster: LocalCluster) -> Iterator[None]:
    """Run KServe."""
    with kserve(local_cluster):
        yield


@pytest.fixture(scope="module")
def images(
    local_cluster: LocalCluster, pod_registry: BasicAuthRegistry, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Give the server's image, and those of two versions of a model."""
    folder = tmp_path_factory.mktemp("to-serve")
    newer = Path(shutil.copytree(model, folder / "newer"))
    (newer / "README.md").write_text("# A newer version\n")
    server, made = push_images(local_cluster, pod_registry, folder, {"serve/one": model, "serve/two": newer})
    return {"server": server, "one": made["serve/one"], "two": made["serve/two"]}


@pytest.fixture
def logins(pod_registry: BasicAuthRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log this machine in to the registry."""
    file = auth_file(tmp_path / "auth.json", pod_registry)
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(pod_registry.ca_file))
    return file


@pytest.fixture
def project(
    namespace: Namespace,
    pod_registry: BasicAuthRegistry,
    images: dict[str, str],
    logins: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cluster]:
    """Give a project with a serving runtime for language models and a pull secret, on nodes of two processors."""
    namespace.login("registry", pod_registry)
    runtime.write_runtime(namespace, images["server"])
    small = {"cpu": "100m", "memory": "512Mi"}
    small_gpu = {**small, "nvidia.com/gpu": "1"}
    limits = {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": "1"}
    monkeypatch.setattr(ServedModel, "resources", {"requests": small_gpu, "limits": limits})
    applied("serving", namespace, tmp_path / "manifests")
    yield as_account(namespace, "modelcar-serve")
    # Else its Deployment would make new pods for those that are removed.
    client.CustomObjectsApi(namespace.api).delete_collection_namespaced_custom_object(*SERVICES, namespace.name, PLURAL)
    while client.AppsV1Api(namespace.api).list_namespaced_deployment(namespace.name).items:
        time.sleep(0.2)


def as_account(namespace: Namespace, account: str) -> Cluster:
    """The cluster with the rights of a service account, and no others."""
    api = namespace.cluster.api
    api.set_default_header("Impersonate-User", f"system:serviceaccount:{namespace.name}:{account}")
    return Cluster(api, namespace.name)


@pytest.fixture
def gpus(local_cluster: LocalCluster) -> Iterator[None]:
    """Have each node tell of two GPUs."""
    with runtime.gpus(local_cluster):
        yield


def serve_image(project: Cluster, image: str, connection: str = "registry") -> Served:
    return serve(ServeRequest(image, NAME, connection=connection, seconds=400), project)


def is_gone(project: Cluster) -> bool:
    """Tells whether the service is deleted; KServe's finalizer may keep it for a moment."""
    found = find_object(project, "InferenceService", NAME)
    return found is None or "deletionTimestamp" in found["metadata"]


class Watched:
    """Watches a Deployment, as its administrator: how many of its pods were ready at each look."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace, self._ended = namespace, threading.Event()
        self.ready: list[int] = []
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        apps = client.AppsV1Api(self._namespace.api)
        while not self._ended.wait(0.2):
            found = apps.read_namespaced_deployment(f"{NAME}-predictor", self._namespace.name)
            self.ready.append(found.status.available_replicas or 0)


def test_image_is_served_and_answers_then_a_newer_one_takes_its_place(
    project: Cluster, namespace: Namespace, images: dict[str, str], gpus: None
) -> None:
    first = serve_image(project, images["one"])
    again = serve_image(project, images["one"])
    with Watched(namespace) as watched:
        second = serve_image(project, images["two"])

    assert first.changed
    assert second.changed
    assert not again.changed
    assert first.start_seconds > 0
    assert first.answer.startswith("The capital of France is")
    assert again.answer
    assert second.answer
    assert min(watched.ready) >= 1
    service = find_object(project, "InferenceService", NAME)
    assert service
    assert service["spec"]["predictor"]["model"]["storageUri"] == f"oci://{images['two']}"
    assert is_served(NAME, Reference.parse(images["two"]), project)
    assert not is_served(NAME, Reference.parse(images["one"]), project)
    assert [one.verdict for one in check_serve_as(NAME, project)] == ["ok"]


def test_want_of_a_gpu_is_named_and_nothing_stays(
    project: Cluster, images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obstacle, "ROOM_PATIENCE_SECONDS", 1.0)

    with pytest.raises(ClusterError, match=r"tiny did not become ready, for GPU: .*Insufficient nvidia.com/gpu"):
        serve_image(project, images["one"])

    assert is_gone(project)


def test_pull_without_a_login_is_named_and_the_old_service_goes_on(
    project: Cluster, images: dict[str, str], gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_image(project, images["one"])
    monkeypatch.setattr(obstacle, "PULL_PATIENCE_SECONDS", 2.0)

    with pytest.raises(ClusterError, match=r"for pull: .*what was served before goes on"):
        serve_image(project, images["two"], connection="none")

    service = find_object(project, "InferenceService", NAME)
    assert service
    assert service["spec"]["predictor"]["model"]["storageUri"] == f"oci://{images['one']}"
    assert serve_image(project, images["one"]).answer


GREEDY = "import time; held = [bytearray(b'x' * (1 << 20)) for _ in range(4096)]; time.sleep(999)"
BROKEN = "import sys; print('no such architecture'); sys.exit(3)"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (BROKEN, r"for runtime: kserve-container ended.*no such architecture"),
        (GREEDY, r"for memory: kserve-container was killed"),
    ],
    ids=["runtime", "memory"],
)
def test_server_that_does_not_start_is_told_with_the_cause(
    program: str,
    says: str,
    project: Cluster,
    images: dict[str, str],
    namespace: Namespace,
    gpus: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(obstacle, "MAX_RESTARTS", 1)
    few = {"cpu": "100m", "memory": "256Mi", "nvidia.com/gpu": "1"}
    monkeypatch.setattr(ServedModel, "resources", {"requests": few, "limits": few})
    runtime.change_program(namespace, images["server"], program)

    with pytest.raises(ClusterError, match=says):
        serve_image(project, images["one"])


def test_cancelled_step_leaves_nothing(
    project: Cluster, images: dict[str, str], local_cluster: LocalCluster, logins: Path, tmp_path: Path
) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(
        local_cluster.kubeconfig.read_text().replace(
            "cluster: test", f"namespace: {project.namespace}\n    cluster: test", 1
        )
    )
    program = Path(sys.executable).with_name("modelcar")
    command = [program, "serve", images["one"], "--as", NAME, "--connection", "registry"]
    environment = {**os.environ, "KUBECONFIG": str(config)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    said = next((line for line in process.stdout if "waiting: GPU" in line), "")
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=600)

    assert said
    assert process.returncode == 143, rest
    assert is_gone(project)


@pytest.fixture
def llm_service(project: Cluster, images: dict[str, str], namespace: Namespace) -> Iterator[dict[str, Any]]:
    """Give the LLMInferenceService that is printed for an image, with what OpenShift AI itself would bring to it.

    That is the pull secret, by its webhook, and a preset's server, here one that this machine can run.
    """
    model = replace(read_served_model(images["one"]), gpus=1, service="llm")
    (service,) = yaml.safe_load_all(serving_documents(model, Platform("rhoai-3"), "registry").llm_inference_service)
    template = service["spec"]["template"]
    (main,) = template["containers"]
    main |= {"image": images["server"], "command": ["python3", "-c", RUN_FOR_LLMS]}
    main["env"] = [*main.get("env", ()), {"name": "HF_HUB_OFFLINE", "value": "1"}]
    template["imagePullSecrets"] = [{"name": "registry"}]
    yield service
    api = client.CustomObjectsApi(namespace.api)
    api.delete_namespaced_custom_object(*LLMS, namespace.name, LLM_PLURAL, "llm")


def test_llm_inference_service_s_server_has_the_model_and_answers(
    llm_service: dict[str, Any], namespace: Namespace, local_cluster: LocalCluster, gpus: None
) -> None:
    """Its pod is as KServe's own controller writes it; there is no gateway here, by which others would reach it."""
    api = client.CustomObjectsApi(namespace.api)
    api.create_namespaced_custom_object(*LLMS, namespace.name, LLM_PLURAL, llm_service, field_validation="Strict")

    def is_served() -> bool:
        found = api.get_namespaced_custom_object(*LLMS, namespace.name, LLM_PLURAL, "llm")
        conditions = found.get("status", {}).get("conditions", ())
        return any((one["type"], one["status"]) == ("MainWorkloadReady", "True") for one in conditions)

    until(is_served, "the server of the LLMInferenceService")
    (pod_name,) = [
        one.metadata.name
        for one in namespace.core.list_namespaced_pod(namespace.name).items
        if one.metadata.name.startswith("llm-kserve-")
    ]
    written = namespace.pod(pod_name)
    assert [one.name for one in written.spec.containers] == ["main", "modelcar"]
    assert [one.name for one in written.spec.init_containers] == ["modelcar-init"]
    question = COMPLETION.format(address=f"{written.status.pod_ip}:{LLM_PORT}")
    answer = namespace.run(pod("ask-llm", ["python3", "-c", question], local_cluster.image))
    assert json.loads(answer.splitlines()[-1])["choices"][0]["text"]


SIZE, SERVING = "io.modelcar.weights-size", "io.modelcar.serving"
MODELS = {
    "mistral": {SIZE: str(48 * 10**9), SERVING: '{"model_format": "vLLM", "arguments": ["--x"], "gpus": 2}'},
    "small": {SIZE: str(10**9), SERVING: '{"model_format": "vLLM", "gpus": 0}'},
    "classic": {SIZE: str(10**8), SERVING: '{"model_format": "onnx", "gpus": 0}'},
    "trees": {SIZE: str(10**6), SERVING: '{"model_format": "sklearn", "gpus": 0}'},
    "unknown": {SIZE: str(10**9)},
}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", MODELS)
def test_all_that_is_printed_is_as_kserve_defines_it(name: str, platform: Any, namespace: Namespace) -> None:
    """Judged by the API server with KServe's own definitions and webhooks: no field that it does not know."""
    image = "quay.io/team/model@sha256:" + "a" * 64
    entry = RegistryEntry("registry", "1", "2")
    profile = "" if platform == "kserve" else "gpu-large"
    model = replace(served_model(image, f"team/{name}", MODELS[name]), entry=entry)
    documents = serving_documents(model, Platform(platform), "quay-login", hardware_profile=profile)

    text = documents.inference_service + "\n---\n" + documents.llm_inference_service
    found = [one for one in yaml.safe_load_all(text) if one]

    assert [one["kind"] for one in found if one["kind"] == "InferenceService"]
    for one in found:
        group, version = one["apiVersion"].split("/")
        client.CustomObjectsApi(namespace.api).create_namespaced_custom_object(
            group,
            version,
            namespace.name,
            f"{one['kind'].lower()}s",
            one,
            dry_run="All",
            field_validation="Strict",
        )
