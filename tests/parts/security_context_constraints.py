"""OpenShift's SCCs, as far as they judge the pods of builds.

The rules are those of https://github.com/openshift/cluster-kube-apiserver-operator, bindata/bootkube/scc-manifests,
files scc-restricted-v2, -restricted-v3, -nested-container and -privileged; how they are applied is in
https://github.com/openshift/apiserver-library-go, pkg/securitycontextconstraints.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PROJECT_USERS = range(1000700000, 1000710000)
"""A project's own range, which OpenShift writes into its namespace's annotations."""


@dataclass(frozen=True)
class Constraints:
    """An SCC.

    Attributes:
        name: Its name.
        users: What runAsUser may be.
        groups: What fsGroup may be; None for any.
        capabilities: What may be added.
        seccomp: The profiles that there may be; None for any.
        needs_user_namespace: Whether the pod must have one of its own (userNamespaceLevel: RequirePodLevel).
        escalation: Whether allowPrivilegeEscalation may be true.
        privileged: Whether containers may be privileged.
    """

    name: str
    users: range
    groups: range | None
    capabilities: frozenset[str] = frozenset({"NET_BIND_SERVICE"})
    seccomp: frozenset[str] | None = frozenset({"RuntimeDefault"})
    needs_user_namespace: bool = False
    escalation: bool = False
    privileged: bool = False

    def refusals(self, pod: dict[str, Any]) -> list[str]:
        """Why it does not take a pod; empty if it does."""
        return list(self._refusals(pod["spec"]))

    def _refusals(self, spec: dict[str, Any]) -> Iterator[str]:
        whole = spec.get("securityContext") or {}
        if self.needs_user_namespace and spec.get("hostUsers") is not False:
            yield "spec.hostUsers: Invalid value: null: must be false"
        if self.groups is not None and "fsGroup" in whole and whole["fsGroup"] not in self.groups:
            yield f".spec.securityContext.fsGroup: Invalid value: {whole['fsGroup']} is not an allowed group"
        for container in spec["containers"]:
            own = {**whole, **(container.get("securityContext") or {})}
            if own.get("privileged") and not self.privileged:
                yield ".containers[0].privileged: Invalid value: true: Privileged containers are not allowed"
            if own.get("allowPrivilegeEscalation") and not self.escalation:
                yield ".containers[0].allowPrivilegeEscalation: Invalid value: true"
            if "runAsUser" in own and own["runAsUser"] not in self.users:
                yield f".containers[0].runAsUser: Invalid value: {own['runAsUser']}: must be in the ranges"
            added = set((own.get("capabilities") or {}).get("add") or ())
            if not self.privileged and added - self.capabilities:
                yield f".containers[0].capabilities.add: Invalid value: {sorted(added - self.capabilities)}"
            profile = (own.get("seccompProfile") or {}).get("type")
            if self.seccomp is not None and profile is not None and profile not in self.seccomp:
                yield f".containers[0].seccompProfile: Forbidden: {profile} is not an allowed seccomp profile"


ANY = range(1 << 31)
RESTRICTED_V2 = Constraints("restricted-v2", PROJECT_USERS, PROJECT_USERS)
RESTRICTED_V3 = Constraints("restricted-v3", range(1000, 65535), range(1000, 65535), needs_user_namespace=True)
NESTED_CONTAINER = Constraints(
    "nested-container",
    range(65535),
    range(65535),
    frozenset({"SETUID", "SETGID"}),
    seccomp=None,
    needs_user_namespace=True,
    escalation=True,
)
PRIVILEGED = Constraints("privileged", ANY, None, seccomp=None, escalation=True, privileged=True)


def admission(usable: tuple[Constraints, ...], pod: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Answers a request for a pod as OpenShift's admission does: one SCC that takes it is enough.

    Args:
        usable: The SCCs that the pod's account may use.
        pod: The pod.

    Returns:
        The status and the answer.
    """
    why = {scc.name: scc.refusals(pod) for scc in usable}
    if any(not refusals for refusals in why.values()):
        return 201, {**pod, "metadata": {"name": "modelcar-build-preflight-x"}}
    said = ", ".join(f"provider {name}: {refusal}" for name, refusals in why.items() for refusal in refusals)
    judged = f"unable to validate against any security context constraint: [{said}]"
    message = f'pods "modelcar-build-preflight-x" is forbidden: {judged}'
    return 403, {"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": message}
