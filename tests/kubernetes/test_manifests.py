"""manifests/, judged by the API server: accepted as they are, and giving just what is needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from modelcar.steps.preflight.admission import JOB_NEEDS
from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.executors import ACCOUNT, MANIFESTS, applied, take_back
from tests.kubernetes.namespace import Namespace

NEEDED = {("batch", "jobs", "", verb) for verb in ("create", "get", "list", "watch", "patch", "delete")} | {
    *(("", "pods", "", verb) for verb in ("create", "get", "list", "watch")),
    ("", "pods", "log", "get"),
    *(("", "events", "", verb) for verb in ("list", "watch")),
    ("", "persistentvolumeclaims", "", "get"),
}
REFUSED = (
    ("", "secrets", "", "get"),
    ("", "pods", "", "delete"),
    ("", "pods", "exec", "create"),
    ("", "serviceaccounts", "token", "create"),
    ("rbac.authorization.k8s.io", "rolebindings", "", "create"),
    ("security.openshift.io", "securitycontextconstraints", "", "use"),
)


@pytest.fixture(params=["openshift", "kubernetes"])
def manifests(
    request: pytest.FixtureRequest, namespace: Namespace, cluster: AnyCluster, tmp_path: Path
) -> Iterator[str]:
    """Apply one of the two sets, and give its name."""
    applied(request.param, namespace, tmp_path / "manifests")
    yield request.param
    take_back(namespace)


def may(
    namespace: Namespace, account: str, need: tuple[str, str, str, str], everywhere: bool = False, name: str = ""
) -> bool:
    group, resource, subresource, verb = need
    attributes = {"group": group, "resource": resource, "subresource": subresource, "verb": verb, "name": name}
    if not everywhere:
        attributes["namespace"] = namespace.name
    user = f"system:serviceaccount:{namespace.name}:{account}"
    review: Any = {"spec": {"user": user, "resourceAttributes": attributes}}
    return bool(client.AuthorizationV1Api(namespace.api).create_subject_access_review(review).status.allowed)


def test_they_give_what_the_steps_need_and_no_more(manifests: str, namespace: Namespace) -> None:
    assert set(JOB_NEEDS) <= NEEDED
    assert [need for need in sorted(NEEDED) if not may(namespace, ACCOUNT, need)] == []
    assert [need for need in REFUSED if may(namespace, ACCOUNT, need)] == []
    assert [need for need in sorted(NEEDED) if may(namespace, "modelcar-build", need)] == []
    assert may(namespace, ACCOUNT, ("", "nodes", "", "list"), everywhere=True)
    assert may(namespace, ACCOUNT, ("", "pods", "", "list"), everywhere=True)
    assert not may(namespace, ACCOUNT, ("", "nodes", "", "patch"), everywhere=True)
    assert not may(namespace, ACCOUNT, ("", "events", "", "list"), everywhere=True)


def test_all_names_are_of_the_project_that_was_named_once(manifests: str, namespace: Namespace) -> None:
    rbac = client.RbacAuthorizationV1Api(namespace.api)
    bindings = rbac.list_namespaced_role_binding(namespace.name).items
    bindings.append(rbac.read_cluster_role_binding(f"modelcar-node-reader:{namespace.name}"))

    subjects = {(subject.name, subject.namespace) for binding in bindings for subject in binding.subjects}

    assert subjects <= {(account, namespace.name) for account in (ACCOUNT, NARROW, "modelcar-build")}
    assert namespace.core.read_namespaced_service_account("modelcar-build", namespace.name)
    assert namespace.core.read_namespaced_persistent_volume_claim("modelcar", namespace.name)
    labels = namespace.core.read_namespace(namespace.name).metadata.labels
    enforced = labels.get("pod-security.kubernetes.io/enforce")
    assert enforced == ("privileged" if manifests == "kubernetes" else None)


def test_the_secrets_are_of_shapes_that_the_server_takes(namespace: Namespace) -> None:
    for secret in yaml.safe_load_all((MANIFESTS / "secrets.example.yaml").read_text()):
        namespace.core.create_namespaced_secret(namespace.name, secret, dry_run="All")


def test_every_file_has_its_reason() -> None:
    reasons = (MANIFESTS / "README.md").read_text()
    for file in MANIFESTS.rglob("*.yaml"):
        assert file.name in reasons, f"manifests/README.md says nothing of {file.name}"


NARROW = "modelcar-pipeline"
LAUNCHERS = {
    *(("argoproj.io", "workflowtaskresults", "", verb) for verb in ("create", "patch")),
    ("", "configmaps", "", "get"),
    ("", "secrets", "", "get"),
    ("argoproj.io", "workflows", "", "get"),
}
"""What Argo's and Kubeflow's own parts of a step's pod ask the API server for, Secret and ConfigMap by name; and the
run's own Workflow, from which each step takes its code."""


def test_narrow_account_has_what_the_steps_need_and_no_more(manifests: str, namespace: Namespace) -> None:
    by_name = {"configmaps": "kfp-launcher", "secrets": "mlpipeline-minio-artifact"}
    assert [need for need in sorted(NEEDED) if not may(namespace, NARROW, need)] == []
    assert [need for need in sorted(LAUNCHERS) if not may(namespace, NARROW, need, name=by_name.get(need[1], ""))] == []
    assert [need for need in REFUSED if may(namespace, NARROW, need)] == []
    for need in (("", "secrets", "", "list"), ("", "configmaps", "", "list"), ("argoproj.io", "workflows", "", "list")):
        assert not may(namespace, NARROW, need)
    assert not may(namespace, NARROW, ("", "secrets", "", "get"), name="modelcar-target-registry")
    assert may(namespace, NARROW, ("", "nodes", "", "list"), everywhere=True)
