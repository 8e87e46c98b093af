"""What all runs' pods get here: OpenShift's restrictions, services' names, and variables such as HF_ENDPOINT."""

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any

from kubernetes import client

from tests.kubernetes.machine import MachineError
from tests.kubernetes.pods import RANDOM_USER

_NAME = "modelcar-test-pipelines"
# Not those of Jobs that a run's steps make: they have a service account, and so an SCC, of their own.
_RUN_PODS = "has(object.metadata.labels) && 'workflows.argoproj.io/workflow' in object.metadata.labels"
_ACTIVE_SECONDS = 600.0
_DOMAINS = ("", ".svc", ".svc.cluster.local")
_GROUP = ("admissionregistration.k8s.io", "v1")
# The client library is older than these kinds, and takes them as it takes anybody's own.
_POLICIES, _BINDINGS = "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"


def admit(api: Any, project: str, *, seccomp: str, services: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Says what becomes of the pods of all runs that start from now on.

    As OpenShift's SCC `restricted` does, it takes all privileges from them, and makes them run as a random user.

    Args:
        api: The cluster.
        project: Where the runs are.
        seccomp: The nodes' profile that they get (tests.kubernetes.seccomp).
        services: The project's services and their addresses, which pods could not ask for: there is no DNS.
        variables: Environment variables of each step.
    """
    forget(api)
    hosts = {address: [f"{name}.{project}{domain}" for domain in _DOMAINS] for name, address in services.items()}
    objects = client.CustomObjectsApi(api)
    for kind, manifest in ((_POLICIES, _policy(seccomp, hosts, variables)), (_BINDINGS, _binding(project))):
        objects.create_cluster_custom_object(*_GROUP, kind, manifest)
    # The API server takes a moment to notice them.
    deadline = time.monotonic() + _ACTIVE_SECONDS
    while not _is_active(api, project):
        if time.monotonic() > deadline:
            raise MachineError("the admission policy has no effect")
        time.sleep(0.2)


def _is_active(api: Any, project: str) -> bool:
    metadata = {"generateName": "probe-", "labels": {"workflows.argoproj.io/workflow": "probe"}}
    container = {"name": "main", "image": "probe", "securityContext": {}}
    body = {"metadata": metadata, "spec": {"containers": [container]}}
    made = client.CoreV1Api(api).create_namespaced_pod(project, body, dry_run="All")
    return made.spec.security_context.run_as_user == RANDOM_USER


def forget(api: Any) -> None:
    """Takes it back."""
    objects = client.CustomObjectsApi(api)
    for kind in (_BINDINGS, _POLICIES):
        with contextlib.suppress(client.ApiException):
            objects.delete_cluster_custom_object(*_GROUP, kind, _NAME)


def _policy(seccomp: str, hosts: Mapping[str, list[str]], variables: Mapping[str, str]) -> dict[str, Any]:
    profile = f'{{type: "Localhost", localhostProfile: {json.dumps(f"{seccomp}.json")}}}'
    added = ", ".join(
        f"Object.spec.containers.env{{name: {json.dumps(name)}, value: {json.dumps(value)}}}"
        for name, value in variables.items()
    )
    expression = f"""Object{{spec: Object.spec{{
        securityContext: Object.spec.securityContext{{
            runAsUser: {RANDOM_USER},
            seccompProfile: Object.spec.securityContext.seccompProfile{profile}
        }},
        containers: object.spec.containers.filter(c, c.name == "main").map(c, Object.spec.containers{{
            name: c.name, env: [{added}],
            securityContext: Object.spec.containers.securityContext{{allowPrivilegeEscalation: false}}
        }})
    }}}}"""
    return {
        "apiVersion": "/".join(_GROUP),
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": _NAME},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ]
            },
            "matchConditions": [{"name": "run", "expression": _RUN_PODS}],
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}},
                {"patchType": "JSONPatch", "jsonPatch": {"expression": _DROP}},
                {"patchType": "JSONPatch", "jsonPatch": {"expression": _know(hosts)}},
            ],
        },
    }


_DROP = """object.spec.containers.transformList(i, c, c.name == "main", JSONPatch{
    op: "add", path: "/spec/containers/" + string(i) + "/securityContext/capabilities",
    value: Object.spec.containers.securityContext.capabilities{drop: ["ALL"]}
})"""


def _know(hosts: Mapping[str, list[str]]) -> str:
    # Not as Object.spec.hostAliases: the API server (1.36) panics on a list of those.
    known = ", ".join(
        f'{{"ip": dyn({json.dumps(address)}), "hostnames": dyn({json.dumps(names)})}}'
        for address, names in hosts.items()
    )
    return f'[JSONPatch{{op: "add", path: "/spec/hostAliases", value: [{known}]}}]'


def _binding(project: str) -> dict[str, Any]:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": project}}
    return {
        "apiVersion": "/".join(_GROUP),
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": _NAME},
        "spec": {"policyName": _NAME, "matchResources": {"namespaceSelector": selector}},
    }
