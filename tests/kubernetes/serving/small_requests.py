"""An admission policy by which KServe's pods find room on a small machine: they request less than services ask for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client

from tests.kubernetes.namespace import Namespace
from tests.kubernetes.waiting import until

_GROUP = ("admissionregistration.k8s.io", "v1")
_POLICIES, _BINDINGS = "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"
_LABEL, _CONTAINER = "serving.kserve.io/inferenceservice", "kserve-container"
_REQUESTS = {"cpu": "100m", "memory": "512Mi"}


@contextmanager
def small_requests(namespace: Namespace) -> Iterator[None]:
    """Lowers what the servers of a namespace's services request; their limits stay."""
    objects, name = client.CustomObjectsApi(namespace.api), f"small-requests-{namespace.name}"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}
    binding = {"policyName": name, "matchResources": {"namespaceSelector": selector}}
    made = (
        (_POLICIES, "MutatingAdmissionPolicy", _policy()),
        (_BINDINGS, "MutatingAdmissionPolicyBinding", binding),
    )
    for plural, kind, spec in made:
        body = {"apiVersion": "/".join(_GROUP), "kind": kind, "metadata": {"name": name}, "spec": spec}
        objects.create_cluster_custom_object(*_GROUP, plural, body)
    try:
        until(lambda: _is_in_force(namespace), "the policy is in force")
        yield
    finally:
        for plural, _, _ in reversed(made):
            objects.delete_cluster_custom_object(*_GROUP, plural, name)


def _policy() -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    condition = f"has(object.metadata.labels) && '{_LABEL}' in object.metadata.labels"
    return {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "server", "expression": condition}],
        "reinvocationPolicy": "Never",
        "failurePolicy": "Fail",
        "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": _replaced(what, size)}}
            for what, size in _REQUESTS.items()
        ],
    }


def _replaced(what: str, size: str) -> str:
    path = f'"/spec/containers/" + string(i) + "/resources/requests/{what}"'
    patch = f'JSONPatch{{op: "replace", path: {path}, value: "{size}"}}'
    return f'object.spec.containers.transformList(i, c, c.name == "{_CONTAINER}", {patch})'


def _is_in_force(namespace: Namespace) -> bool:
    asked = {"requests": {"cpu": "2", "memory": "1Gi"}}
    container = {"name": _CONTAINER, "image": "probe", "resources": asked}
    metadata = {"name": f"probe-{time.monotonic_ns()}", "labels": {_LABEL: "probe"}}
    body = {"metadata": metadata, "spec": {"containers": [container]}}
    made: Any = namespace.core.create_namespaced_pod(namespace.name, body, dry_run="All")
    return bool(made.spec.containers[0].resources.requests["cpu"] == _REQUESTS["cpu"])
