"""manifests/default-account: a project's runs get the narrow account, whoever starts them."""

import subprocess
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.programs.build import kubectl_program
from tests.kubernetes.waiting import until

FOLDER = Path(__file__).parents[2] / "manifests" / "default-account"
WORKFLOW = ("argoproj.io", "v1alpha1")


@pytest.fixture
def workflows(cluster: AnyCluster) -> Iterator[None]:
    """Define Argo's Workflow, unless a pipeline server has done so."""
    extensions = client.ApiextensionsV1Api(cluster.api)
    name = "workflows.argoproj.io"
    if name in {one.metadata.name for one in extensions.list_custom_resource_definition().items}:
        yield
        return
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Workflow", "plural": "workflows", "singular": "workflow", "listKind": "WorkflowList"}
    spec = {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": [version]}
    extensions.create_custom_resource_definition({"metadata": {"name": name}, "spec": spec})
    until(lambda: is_served(cluster), "workflows are served")
    yield
    extensions.delete_custom_resource_definition(name)


def is_served(cluster: AnyCluster) -> bool:
    """Tell whether some can be created: they can be listed a moment before."""
    body = {"apiVersion": "/".join(WORKFLOW), "kind": "Workflow", "metadata": {"generateName": "run-"}, "spec": {}}
    custom = client.CustomObjectsApi(cluster.api)
    try:
        custom.create_namespaced_custom_object(*WORKFLOW, "default", "workflows", body, dry_run="All")
    except client.ApiException as error:
        if error.status in (404, 503):
            return False
        raise
    return True


@pytest.fixture
def policy(workflows: None, cluster: AnyCluster) -> Iterator[None]:
    """Apply the policy."""
    kubectl = [kubectl_program(), f"--kubeconfig={cluster.kubeconfig}"]
    subprocess.run([*kubectl, "apply", "-k", FOLDER], check=True, capture_output=True)
    yield
    subprocess.run([*kubectl, "delete", "-k", FOLDER], check=True, capture_output=True)


def account_of(namespace: Namespace, spec: dict[str, Any]) -> str:
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "run-"},
        "spec": spec,
    }
    made = until(lambda: created(namespace, body), "a workflow can be created")
    return str(made["spec"].get("serviceAccountName", ""))


def created(namespace: Namespace, body: dict[str, Any]) -> Any:
    """Create one for a try; None where the policy does not know of workflows yet, which it learns by and by."""
    custom = client.CustomObjectsApi(namespace.api)
    try:
        return custom.create_namespaced_custom_object(*WORKFLOW, namespace.name, "workflows", body, dry_run="All")
    except client.ApiException as error:
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        raise


def test_runs_of_a_labelled_project_get_the_narrow_account(policy: None, namespace: Namespace) -> None:
    given = {"serviceAccountName": "pipeline-runner-dspa"}
    assert account_of(namespace, given) == "pipeline-runner-dspa"

    namespace.core.patch_namespace(namespace.name, {"metadata": {"labels": {"modelcar-default-account": "true"}}})
    # The API server takes a moment to notice label and policy.
    until(lambda: account_of(namespace, given) == "modelcar-pipeline", "label and policy are in force")

    assert account_of(namespace, {"serviceAccountName": "chosen"}) == "chosen"
    assert account_of(namespace, {}) == ""
