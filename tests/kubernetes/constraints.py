"""OpenShift's SCCs as an admission policy, for clusters that have none: a pod needs one that takes it as it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kubernetes import client

from modelcar.cluster.connection import Cluster
from modelcar.steps.preflight import admission
from modelcar.steps.preflight.admission import TrialPod
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.waiting import until
from tests.parts.security_context_constraints import Constraints

_GROUP = ("admissionregistration.k8s.io", "v1")
_POLICIES, _BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
MESSAGE = "unable to validate against any security context constraint"


@contextmanager
def in_force(namespace: Namespace, for_all: Sequence[Constraints], granted: Sequence[Constraints]) -> Iterator[None]:
    """Judges a namespace's pods as OpenShift judges them.

    Args:
        namespace: The namespace.
        for_all: SCCs that every account may use.
        granted: SCCs that an account may use if it has the right to (`grant`).
    """
    objects, rbac = client.CustomObjectsApi(namespace.api), client.RbacAuthorizationV1Api(namespace.api)
    name = f"constraints-{namespace.name}"
    made = (
        (_POLICIES, "ValidatingAdmissionPolicy", _policy(for_all, granted, namespace.name)),
        (_BINDINGS, "ValidatingAdmissionPolicyBinding", {"policyName": name, "validationActions": ["Deny"]}),
    )
    for plural, kind, spec in made:
        body = {"apiVersion": "/".join(_GROUP), "kind": kind, "metadata": {"name": name}, "spec": spec}
        objects.create_cluster_custom_object(*_GROUP, plural, body)
    there = {role.metadata.name for role in rbac.list_cluster_role().items}
    roles = [_role(scc) for scc in granted if _role_name(scc) not in there]
    for role in roles:
        rbac.create_cluster_role(role)
    try:
        here = Cluster(namespace.api, namespace.name)
        until(lambda: not is_taken(here, TrialPod({}, "default", "privileged")), "the policy is in force")
        yield
    finally:
        for plural, _, _ in reversed(made):
            objects.delete_cluster_custom_object(*_GROUP, plural, name)
        for role in roles:
            rbac.delete_cluster_role(role["metadata"]["name"])


def grant(namespace: Namespace, scc: Constraints, account: str) -> None:
    """Lets an account of the namespace use an SCC."""
    body: Any = {
        "metadata": {"name": f"uses-{scc.name}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _role_name(scc)},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace.name}],
    }
    client.RbacAuthorizationV1Api(namespace.api).create_namespaced_role_binding(namespace.name, body)


def is_taken(cluster: Cluster, pod: TrialPod) -> bool:
    """Tells whether a pod would be taken now."""
    return admission.check_pod(cluster, pod).verdict == "ok"


def _role_name(scc: Constraints) -> str:
    return f"system:openshift:scc:{scc.name}"


def _role(scc: Constraints) -> Any:
    rule = {
        "apiGroups": ["security.openshift.io"],
        "resources": ["securitycontextconstraints"],
        "resourceNames": [scc.name],
        "verbs": ["use"],
    }
    return {"metadata": {"name": _role_name(scc)}, "rules": [rule]}


def _policy(for_all: Sequence[Constraints], granted: Sequence[Constraints], namespace: str) -> dict[str, Any]:
    rules = [*(_taken_by(scc) for scc in for_all), *(f"{_may_use(scc)} && {_taken_by(scc)}" for scc in granted)]
    own = {"name": "namespace", "expression": f"request.namespace == '{namespace}'"}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    validation = {"expression": " || ".join(f"({rule})" for rule in rules), "message": MESSAGE}
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [pods]},
        "matchConditions": [own],
        "validations": [validation],
    }


def _may_use(scc: Constraints) -> str:
    account = "object.spec.?serviceAccountName.orValue('default')"
    what = "group('security.openshift.io').resource('securitycontextconstraints').namespace(request.namespace)"
    return f"authorizer.serviceAccount(request.namespace, {account}).{what}.name('{scc.name}').check('use').allowed()"


def _taken_by(scc: Constraints) -> str:
    whole, own = "object.spec.?securityContext", "each.?securityContext"
    parts = [_within(f"{own}.?runAsUser.or({whole}.?runAsUser)", scc.users)]
    if not scc.privileged:
        added = ", ".join(f"'{capability}'" for capability in sorted(scc.capabilities))
        parts.append(f"!{own}.?privileged.orValue(false)")
        parts.append(f"{own}.?capabilities.?add.orValue([]).all(one, one in [{added}])")
    if not scc.escalation:
        parts.append(f"!{own}.?allowPrivilegeEscalation.orValue(false)")
    if scc.seccomp is not None:
        given = f"{own}.?seccompProfile.?type.or({whole}.?seccompProfile.?type).orValue('RuntimeDefault')"
        parts.append(f"{given} in [{', '.join(repr(profile) for profile in sorted(scc.seccomp))}]")
    rules = [f"object.spec.containers.all(each, {' && '.join(parts)})"]
    if scc.groups is not None:
        rules.append(_within(f"{whole}.?fsGroup", scc.groups))
    if scc.needs_user_namespace:
        rules.append("!object.spec.?hostUsers.orValue(true)")
    return " && ".join(rules)


def _within(optional: str, allowed: range) -> str:
    value = f"{optional}.orValue({allowed.start})"
    return f"{value} >= {allowed.start} && {value} < {allowed.stop}"
