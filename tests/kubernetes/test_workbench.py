"""`modelcar` in a workbench: a pod that may use its project's pipeline server, and may look nothing up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from modelcar.cli.server.discovery import DEFAULT_NAME, GROUP, PLURAL, service_name
from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.kfp.proxy import Proxied, pipeline_server
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.kubernetes.pods import pod
from tests.parts.certificates import CertificateAuthority

ACCOUNT = "workbench"
MODEL = "example/from-a-workbench"
BUNDLE = "workbench-trusted-ca-bundle"
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


def workbench(backend: Backend, name: str, *words: str) -> dict[str, Any]:
    """A pod of the workbench's account that runs one command, and finds services by their names."""
    manifest = pod(name, ["modelcar", *words], backend.cluster.image, seccomp="")
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
        said = kfp_backend.namespace.run(workbench(kfp_backend, "bench", *run_words))
    finally:
        kfp_backend.namespace.core.delete_namespaced_pod("bench", PROJECT)

    assert "Stream: done" in said
    assert kfp_surroundings.target.has_tag("workbench/model")
    assert set(server.accounts) == {(f"system:serviceaccount:{PROJECT}:{ACCOUNT}", 200)}


def test_an_account_that_may_not_use_the_server_is_told_so(
    kfp_backend: Backend, server: Proxied, run_words: list[str]
) -> None:
    client.RbacAuthorizationV1Api(kfp_backend.cluster.api).patch_namespaced_role(ACCOUNT, PROJECT, {"rules": []})
    kfp_backend.namespace.create(workbench(kfp_backend, "stranger", *run_words))
    try:
        ended = kfp_backend.namespace.finished("stranger")
        said = kfp_backend.namespace.log("stranger")
    finally:
        kfp_backend.namespace.core.delete_namespaced_pod("stranger", PROJECT)

    assert ended.status.phase == "Failed"
    assert {status for _, status in server.accounts} == {403}
    assert said.splitlines()[-1].startswith("error: ")
    assert "403" in said or "may not" in said
