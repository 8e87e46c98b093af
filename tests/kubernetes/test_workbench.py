"""`modelcar` in a workbench: a pod that may use its project's pipeline server, and may look nothing up."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kubernetes import client

from modelcar.cli.server.discovery import DEFAULT_NAME, GROUP, PLURAL, service_name
from tests.kubernetes.image import write_image_with
from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.kfp.proxy import Proxied, pipeline_server
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.notebooks import EXECUTE, filled_in
from tests.kubernetes.pods import pod
from tests.kubernetes.waiting import PATIENCE_SECONDS
from tests.parts.certificates import CertificateAuthority

ACCOUNT = "workbench"
MODEL = "example/from-a-workbench"
BUNDLE = "workbench-trusted-ca-bundle"
IMAGE = "localhost/workbench:test"
BOOKS, BOOKS_FOLDER = "notebooks", "/notebooks"
BUNDLE_FOLDER = "/etc/pki/tls/custom-certs"
"""Where OpenShift AI mounts authorities into a workbench (odh-notebook-controller)."""

RIGHTS = {"apiGroups": [GROUP], "resources": [f"{PLURAL}/api"], "resourceNames": [DEFAULT_NAME], "verbs": ["get"]}
"""All that a workbench has (odh-notebook-controller, the role `ds-pipeline-user-access-dspa`)."""


@pytest.fixture
def server(kfp_backend: Backend, tmp_path: Path) -> Iterator[Proxied]:
    """Give a pipeline server as OpenShift AI has it, and a workbench's account, whose pods trust its certificate."""
    authority = CertificateAuthority(tmp_path / "authority")
    certificate = authority.issue("server", [f"{service_name()}.{PROJECT}.svc"])
    core, rbac = kfp_backend.namespace.core, client.RbacAuthorizationV1Api(kfp_backend.cluster.api)
    metadata = {"name": ACCOUNT}
    role: Any = {"metadata": metadata, "rules": [RIGHTS]}
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": PROJECT}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
    binding: Any = {"metadata": metadata, "roleRef": reference, "subjects": subjects}
    core.create_namespaced_service_account(PROJECT, {"metadata": metadata})
    rbac.create_namespaced_role(PROJECT, role)
    rbac.create_namespaced_role_binding(PROJECT, binding)
    data = {"ca-bundle.crt": authority.cert_file.read_text()}
    core.create_namespaced_config_map(PROJECT, {"metadata": {"name": BUNDLE}, "data": data})
    with pipeline_server(kfp_backend, certificate) as proxied:
        yield proxied
    core.delete_namespaced_config_map(BUNDLE, PROJECT)
    rbac.delete_namespaced_role_binding(ACCOUNT, PROJECT)
    rbac.delete_namespaced_role(ACCOUNT, PROJECT)
    core.delete_namespaced_service_account(ACCOUNT, PROJECT)


def workbench(backend: Backend, name: str, command: Sequence[str], image: str = "") -> dict[str, Any]:
    """A pod of the workbench's account that runs one command, and finds services by their names."""
    manifest = pod(name, command, image or backend.cluster.image, seccomp="")
    spec = manifest["spec"]
    spec["serviceAccountName"] = ACCOUNT
    spec["hostAliases"] = [{"ip": backend.cluster.host, "hostnames": [f"{service_name()}.{PROJECT}.svc"]}]
    spec["volumes"].append({"name": "bundle", "configMap": {"name": BUNDLE}})
    spec["containers"][0]["volumeMounts"].append({"name": "bundle", "mountPath": BUNDLE_FOLDER})
    return manifest


@pytest.fixture
def run_words(kfp_backend: Backend, kfp_surroundings: Surroundings, model: Path) -> list[str]:
    """Give the words that submit a run of a published model."""
    kfp_surroundings.hub.publish(MODEL, model)
    words = ["submit", "--streaming", "--for", kfp_backend.compiled_for, "--image", kfp_backend.cluster.image]
    return [*words, "--model", MODEL, "--target", f"{kfp_surroundings.target.host}/workbench/model:1"]


def test_a_workbench_finds_its_server_and_follows_a_run_to_its_end(
    kfp_backend: Backend, kfp_surroundings: Surroundings, server: Proxied, run_words: list[str]
) -> None:
    try:
        said = kfp_backend.namespace.run(workbench(kfp_backend, "bench", ["modelcar", *run_words]))
    finally:
        kfp_backend.namespace.core.delete_namespaced_pod("bench", PROJECT)

    assert "Stream: done" in said
    assert kfp_surroundings.target.has_tag("workbench/model")
    assert set(server.accounts) == {(f"system:serviceaccount:{PROJECT}:{ACCOUNT}", 200)}


def test_an_account_that_may_not_use_the_server_is_told_so(
    kfp_backend: Backend, server: Proxied, run_words: list[str]
) -> None:
    client.RbacAuthorizationV1Api(kfp_backend.cluster.api).patch_namespaced_role(ACCOUNT, PROJECT, {"rules": []})
    kfp_backend.namespace.create(workbench(kfp_backend, "stranger", ["modelcar", *run_words]))
    try:
        ended = kfp_backend.namespace.finished("stranger")
        said = kfp_backend.namespace.log("stranger")
    finally:
        kfp_backend.namespace.core.delete_namespaced_pod("stranger", PROJECT)

    assert ended.status.phase == "Failed"
    assert {status for _, status in server.accounts} == {403}
    assert said.splitlines()[-1].startswith("error: ")
    assert "403" in said or "may not" in said


@pytest.fixture(scope="module")
def jupyter_image(local_cluster: LocalCluster) -> str:
    """Give an image in which notebooks run, on one of the nodes."""
    with tempfile.TemporaryDirectory(dir=local_cluster.folder) as place:
        archive = write_image_with(Path(place, "images.tar"), IMAGE, "nbclient", "nbformat", "ipykernel")
        local_cluster.nodes["large"].load(archive)
    return IMAGE


def test_notebooks_find_the_server_plan_run_and_read_the_report(
    kfp_backend: Backend,
    kfp_surroundings: Surroundings,
    server: Proxied,
    compiled_for_backend: Path,
    jupyter_image: str,
    model: Path,
) -> None:
    """With the workbench's rights alone: no address, no login to the object store, no leave to read pods."""
    kfp_surroundings.hub.publish(MODEL, model)
    target = f"{kfp_surroundings.target.host}/workbench/notebook:1"
    pipeline = "model-to-registry-streaming.yaml"
    run = filled_in("1", MODEL=MODEL, TARGET=target, PIPELINE=f"{BOOKS_FOLDER}/{pipeline}")
    books = {"run.ipynb": nbformat.writes(run), "report.ipynb": nbformat.writes(filled_in("3"))}
    data = {**books, pipeline: (compiled_for_backend / pipeline).read_text()}
    core = kfp_backend.namespace.core
    core.create_namespaced_config_map(PROJECT, {"metadata": {"name": BOOKS}, "data": data})
    said = {}
    try:
        for book in books:
            name = f"jupyter-{book.partition('.')[0]}"
            command = ["python3", "-c", EXECUTE, f"{BOOKS_FOLDER}/{book}", str(int(PATIENCE_SECONDS))]
            manifest = workbench(kfp_backend, name, command, jupyter_image)
            spec = manifest["spec"]
            spec["nodeSelector"] = {"kubernetes.io/hostname": "large"}
            spec["volumes"].append({"name": "books", "configMap": {"name": BOOKS}})
            spec["containers"][0]["volumeMounts"].append({"name": "books", "mountPath": BOOKS_FOLDER})
            spec["containers"][0]["env"].append({"name": "HF_ENDPOINT", "value": kfp_surroundings.hub.url})
            said[book] = kfp_backend.namespace.run(manifest)
            core.delete_namespaced_pod(name, PROJECT)
    finally:
        core.delete_namespaced_config_map(BOOKS, PROJECT)

    assert "a claim would need" in said["run.ipynb"]
    assert said["run.ipynb"].rstrip().endswith("SUCCEEDED")
    assert f"# {MODEL} is there" in said["report.ipynb"]
    assert "kind: InferenceService" in said["report.ipynb"]
    assert "no connection to the object store" in said["report.ipynb"]
    assert {account for account, _ in server.accounts} == {f"system:serviceaccount:{PROJECT}:{ACCOUNT}"}
