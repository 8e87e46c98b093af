"""The pipelines as they are by default: each step brings its code along and installs its packages."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes import client

from modelcar.steps.serve.question import PROMPT
from tests.kubernetes.executors import MANIFESTS
from tests.kubernetes.image import write_python_image
from tests.kubernetes.kfp.backend import Backend
from tests.kubernetes.kfp.package_index import package_index
from tests.kubernetes.kfp.runs import ENDED, Pipeline
from tests.kubernetes.kfp.surroundings import MIRROR_SECRET, Surroundings
from tests.kubernetes.kserve.controller import kserve
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.programs.build import kubectl_program
from tests.kubernetes.serving.images import push_images
from tests.kubernetes.serving.runtime import gpus, write_runtime
from tests.kubernetes.serving.small_requests import small_requests
from tests.kubernetes.waiting import until
from tests.parts.models import tiny_llama

MODEL = "example/embedded"
PYTHON_IMAGE = "localhost/python:test"
ARGO_BYTES = 1 << 20
"""What Argo's controller lets a Workflow have (MAX_WORKFLOW_SIZE); etcd's own limit is 1.5 MiB."""

SERVICE, SERVICES, PLURAL = "embedded", ("serving.kserve.io", "v1beta1"), "inferenceservices"
SERVING_ACCOUNT = "modelcar-serve"
"""As manifests/serving calls it."""


@pytest.fixture(scope="module")
def python_image(local_cluster: LocalCluster) -> Iterator[str]:
    """Give an image that has Python and pip, and nothing of ours.

    Only the large node gets pods meanwhile: the small one's disk does not take all steps' packages beside its images.
    """
    with tempfile.TemporaryDirectory(dir=local_cluster.folder) as place:
        local_cluster.nodes["large"].load(write_python_image(Path(place, "images.tar"), PYTHON_IMAGE))
    nodes = client.CoreV1Api(local_cluster.api)
    nodes.patch_node("small", {"spec": {"unschedulable": True}})
    yield PYTHON_IMAGE
    nodes.patch_node("small", {"spec": {"unschedulable": False}})


@pytest.fixture(scope="module")
def index(
    kfp_backend: Backend, kfp_surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give a package index without TLS that all runs' steps trust."""
    variables = {"HF_ENDPOINT": kfp_surroundings.hub.url}
    with package_index(tmp_path_factory.mktemp("index"), kfp_backend.cluster.host) as url:
        kfp_backend.admit(variables={**variables, "PIP_TRUSTED_HOST": urlsplit(url).netloc})
        yield url
        kfp_backend.admit(variables=variables)


@pytest.fixture(scope="module")
def compiled(kfp_backend: Backend, python_image: str, index: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder with the pipelines as anybody compiles them, but for where Python and packages come from."""
    folder = tmp_path_factory.mktemp("compiled")
    program = Path(sys.executable).with_name("modelcar")
    options = ["--for", kfp_backend.compiled_for, "--python-image", python_image, "--index-url", index]
    subprocess.run([program, "compile", "--output", folder, *options], check=True)
    return folder


@pytest.fixture(scope="module")
def parameters(kfp_surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Publish a model, and give what a person fills in for it."""
    kfp_surroundings.hub.publish(MODEL, tiny_llama(tmp_path_factory.mktemp("model") / "model"))
    service = {"serve_as": SERVICE, "connection": MIRROR_SECRET}
    return {"model": MODEL, "model_registry": kfp_surroundings.entries.url, **service}


@pytest.fixture(scope="module")
def with_serving(
    kfp_backend: Backend,
    kfp_surroundings: Surroundings,
    local_cluster: LocalCluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Run KServe, and let runs of the project serve what they have put into the mirror."""
    project = kfp_backend.namespace
    kubectl = [kubectl_program(), f"--kubeconfig={local_cluster.kubeconfig}"]
    with kserve(local_cluster), small_requests(project), gpus(local_cluster):
        server, _ = push_images(local_cluster, kfp_surroundings.mirror, tmp_path_factory.mktemp("server"), {})
        write_runtime(project, server)
        subprocess.run([*kubectl, "apply", "-k", MANIFESTS / "serving"], check=True, capture_output=True)
        yield
        # While KServe is still there to take its finalizer away.
        objects = client.CustomObjectsApi(project.api)
        objects.delete_collection_namespaced_custom_object(*SERVICES, project.name, PLURAL)
        until(lambda: not services(project), "the service is gone")
        subprocess.run([*kubectl, "delete", "-k", MANIFESTS / "serving"], check=True, capture_output=True)


def services(project: Namespace) -> list[Any]:
    found = client.CustomObjectsApi(project.api).list_namespaced_custom_object(*SERVICES, project.name, PLURAL)
    return list(found["items"])


@pytest.mark.parametrize("name", ["model-to-registry-streaming", "model-to-registry"])
def test_a_pipeline_with_its_code_serves_the_model_below_argos_limit(
    name: str,
    kfp_backend: Backend,
    compiled: Path,
    parameters: dict[str, Any],
    kfp_surroundings: Surroundings,
    with_serving: None,
) -> None:
    """All steps that a run can have: the second one moves the first one's service to its own image."""
    pipeline = Pipeline.upload(kfp_backend, compiled / f"{name}.yaml", f"{name} with its code")
    places = {
        "target": f"{kfp_surroundings.target.host}/embedded/{name}:1",
        "mirror_target": f"{kfp_surroundings.mirror.host}/embedded/{name}:1",
    }

    run = pipeline.start(name, {**parameters, **places}, service_account=SERVING_ACCOUNT)
    sizes = []
    while run.read().state not in ENDED:
        sizes.append(run.workflow_bytes())
        time.sleep(2)

    run.succeeds()
    print(f"{name}: its Workflow has {sizes[0]} bytes at the beginning, {max(sizes)} at most")
    assert max(sizes) < ARGO_BYTES
    assert kfp_surroundings.mirror.has_tag(f"embedded/{name}")
    (service,) = services(kfp_backend.namespace)
    assert service["spec"]["predictor"]["model"]["storageUri"].startswith(
        f"oci://{kfp_surroundings.mirror.host}/embedded/{name}@sha256:"
    )
    assert {one["status"] for one in service["status"]["conditions"] if one["type"] == "Ready"} == {"True"}
    assert PROMPT in run.log("serve")
    assert re.search(rf"it answered.*{PROMPT}", run.log("report"))
