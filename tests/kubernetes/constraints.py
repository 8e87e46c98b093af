"""OpenShift's SCCs as an admission policy, for clusters that have none: a pod needs one that takes it as it is."""

from typing import Any

from tests.parts.security_context_constraints import Constraints

_NAME = "modelcar-test-constraints"
GROUP = ("admissionregistration.k8s.io", "v1")
POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
MESSAGE = "unable to validate against any security context constraint"


def policy(for_all: tuple[Constraints, ...], granted: tuple[Constraints, ...], namespace: str) -> dict[str, Any]:
    """Returns the policy.

    Args:
        for_all: SCCs that every account may use.
        granted: SCCs that an account may use if it has the right to.
        namespace: Whose pods are judged.
    """
    rules = [*(_taken_by(scc) for scc in for_all), *(f"{_may_use(scc)} && {_taken_by(scc)}" for scc in granted)]
    own = {"name": "namespace", "expression": f"request.namespace == '{namespace}'"}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    validation = {"expression": " || ".join(f"({rule})" for rule in rules), "message": MESSAGE}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [pods]},
        "matchConditions": [own],
        "validations": [validation],
    }
    return _object("ValidatingAdmissionPolicy", spec)


def binding() -> dict[str, Any]:
    """Returns what puts the policy into force."""
    return _object("ValidatingAdmissionPolicyBinding", {"policyName": _NAME, "validationActions": ["Deny"]})


def role(scc: Constraints) -> dict[str, Any]:
    """Returns the role that lets an account use an SCC, called as OpenShift calls it."""
    rule = {
        "apiGroups": ["security.openshift.io"],
        "resources": ["securitycontextconstraints"],
        "resourceNames": [scc.name],
        "verbs": ["use"],
    }
    return {"metadata": {"name": f"system:openshift:scc:{scc.name}"}, "rules": [rule]}


def _object(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "/".join(GROUP), "kind": kind, "metadata": {"name": _NAME}, "spec": spec}


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
