"""Questions to the API server itself, which judges a pod without making it (a dry run)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors, server_message
from modelcar.cluster.job import BUILD_NAME, NESTED_POD_SECURITY, NESTED_SECURITY, Privilege
from modelcar.errors import ClusterError
from modelcar.steps.preflight.finding import Finding

JOB_NEEDS = (
    *(("batch", "jobs", "", verb) for verb in ("create", "get", "list", "watch", "patch", "delete")),
    *(("", "pods", "", verb) for verb in ("get", "list", "watch")),
    ("", "pods", "log", "get"),
)
"""Rights that a run needs to build in a Job: API group, resource, subresource, verb."""

_ABOUT_JOB, _ABOUT_POD = "build Job", "build pod"
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:(?P<namespace>[^:]+):(?P<name>[^:]+)")
_TRIAL = f"{BUILD_NAME}-preflight-"
_TRIAL_NAME = re.compile(rf'^pods "{_TRIAL}[^"]*" is forbidden: ')
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<requested>.*), used: .*, limited: (?P<limited>.*)"
)
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


_SECURITY: dict[Privilege, dict[str, Any]] = {
    "none": _RESTRICTED,
    "nested": NESTED_SECURITY,
    "privileged": {"privileged": True, "runAsUser": 0},
}


@dataclass(frozen=True)
class TrialPod:
    """A pod as the build's will be, to be judged.

    Attributes:
        resources: Its container's requests and limits, as Kubernetes' own JSON.
        service_account: Whose pod it is; empty for the namespace's default.
        privilege: What its container may do.
        image: Its container's image, for clusters that let only some registries' run.
        command: What its container would run, for clusters that let only some programs; empty for what is in the image.
    """

    resources: Mapping[str, Mapping[str, str]]
    service_account: str = ""
    privilege: Privilege = "none"
    image: str = "registry.invalid/unknown"
    command: Sequence[str] = ()

    def manifest(self) -> dict[str, Any]:
        """The pod, which is never made."""
        security = _SECURITY[self.privilege]
        container = {
            "name": "build",
            "image": self.image,
            "resources": self.resources,
            "securityContext": security,
            **({"command": list(self.command)} if self.command else {}),
        }
        spec: dict[str, Any] = {"containers": [container], "restartPolicy": "Never"}
        spec["automountServiceAccountToken"] = False
        if self.privilege == "nested":
            spec |= {"hostUsers": False, "securityContext": NESTED_POD_SECURITY}
        if self.service_account:
            spec["serviceAccountName"] = self.service_account
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": _TRIAL}, "spec": spec}


def check_jobs(cluster: Cluster) -> Finding:
    """Checks that the run's service account may start a Job and follow it."""
    refused = [need for need in JOB_NEEDS if not _may(cluster, *need)]
    if not refused:
        return Finding(_ABOUT_JOB, "ok", f"Jobs may be started in {cluster.namespace}")
    listed = ", ".join(
        f"{verb} {resource}{subresource and '/' + subresource}" for _, resource, subresource, verb in refused
    )
    user, option = _user(cluster)
    return Finding(
        _ABOUT_JOB,
        "refusal",
        f"{user} may not {listed} in {cluster.namespace}, so the build cannot be a Job",
        "Let it, or choose build_mode=pod",
        f"oc policy add-role-to-user edit {option} -n {cluster.namespace}",
    )


def check_pod(cluster: Cluster, pod: TrialPod) -> Finding:
    """Checks that the cluster would take a pod: its account, its privilege, the namespace's quotas and limits."""
    try:
        with api_errors("try the build's pod"):
            return _tried(cluster, pod)
    except ClusterError as error:
        return Finding.of(_ABOUT_POD, error, "warning" if error.may_pass else "refusal")


def _tried(cluster: Cluster, pod: TrialPod) -> Finding:
    from kubernetes import client

    try:
        made = cluster.core.create_namespaced_pod(
            cluster.namespace, pod.manifest(), dry_run="All", _request_timeout=REQUEST_SECONDS
        )
    except client.ApiException as error:
        if error.status not in (403, 422):
            raise
        return _refused(cluster.namespace, pod, _TRIAL_NAME.sub("", server_message(error)))
    account = pod.service_account or "default"
    if pod.privilege == "nested" and made.spec.host_users is not False:
        return Finding(
            _ABOUT_POD,
            "refusal",
            "this cluster gives pods no user namespace of their own (OpenShift does from 4.20 on)",
            "Choose build_mode=job, or builder=direct, which needs no privilege",
        )
    may = {"none": "", "nested": "pods with user namespaces of their own", "privileged": "privileged pods"}
    what = (
        f"{account} may run {may[pod.privilege]} in {cluster.namespace}"
        if may[pod.privilege]
        else "the cluster would take it"
    )
    return Finding(_ABOUT_POD, "ok", what)


def _refused(namespace: str, pod: TrialPod, words: str) -> Finding:
    """A refusal as a finding, by which of the API server's judges spoke."""
    account = pod.service_account or "default"
    scc, pods = ("nested-container", "nested") if pod.privilege == "nested" else ("privileged", "privileged")
    grant = f"oc adm policy add-scc-to-user {scc} -z {account} -n {namespace}"
    if 'cannot create resource "pods"' in words:
        return Finding(
            _ABOUT_POD, "warning", f"it cannot be tried here: {words}", "Whether it may run shows when it does"
        )
    if "error looking up service account" in words:
        return Finding(
            _ABOUT_POD,
            "refusal",
            f"there is no service account {account} in {namespace}",
            "Make it, and let it run privileged pods, or choose build_mode=pod",
            f"oc create serviceaccount {account} -n {namespace}\n{grant}",
        )
    if "security context constraint" in words:
        return Finding(
            _ABOUT_POD,
            "refusal",
            f"{account} may not run {pods} pods in {namespace}: {words}",
            "An administrator can let it; or choose build_mode=pod, or builder=direct, which needs no privilege",
            grant,
        )
    if "violates PodSecurity" in words:
        return Finding(
            _ABOUT_POD,
            "refusal",
            f"{namespace} takes no privileged pods: {words}",
            "An administrator can let it; or choose build_mode=pod, or builder=direct, which needs no privilege",
            f"oc label namespace {namespace} pod-security.kubernetes.io/enforce=privileged --overwrite",
        )
    if "quota" in words:
        return _over_quota(namespace, words)
    if " usage per " in words:
        return Finding(
            _ABOUT_POD,
            "refusal",
            f"a LimitRange of {namespace} forbids it: {words}",
            "Ask for what it allows (build_cpu, build_memory, build_ephemeral_storage)",
            f"oc describe limitrange -n {namespace}",
        )
    return Finding(_ABOUT_POD, "refusal", f"the cluster refuses it: {words}")


def _over_quota(namespace: str, words: str) -> Finding:
    """More than the quota has at all never fits; more than it has left just now does later."""
    match = _QUOTA.search(words)
    waits = match is not None and _all_below(_amounts(match["requested"]), _amounts(match["limited"]))
    return Finding(
        _ABOUT_POD,
        "warning" if waits else "refusal",
        f"a quota of {namespace} {'is used up for now' if waits else 'forbids it'}: {words}",
        "The build will wait for other pods to end" if waits else "Ask for less, or have the quota raised",
        f"oc describe quota {match['name'] if match else ''} -n {namespace}".replace("  ", " "),
    )


def _all_below(requested: Mapping[str, Any], limited: Mapping[str, Any]) -> bool:
    return bool(requested) and all(name in limited and amount <= limited[name] for name, amount in requested.items())


def _amounts(listed: str) -> dict[str, Any]:
    """`cpu=1,memory=2Gi` as amounts."""
    from kubernetes.utils.quantity import parse_quantity

    pairs: Iterable[tuple[str, str, str]] = (pair.strip().partition("=") for pair in listed.split(","))
    return {name: parse_quantity(quantity) for name, _, quantity in pairs}


def _may(cluster: Cluster, group: str, resource: str, subresource: str, verb: str) -> bool:
    attributes = {
        "namespace": cluster.namespace,
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "verb": verb,
    }
    review = {"spec": {"resourceAttributes": attributes}}
    with api_errors("say what this run may do"):
        answer = cluster.auth.create_self_subject_access_review(review, _request_timeout=REQUEST_SECONDS)
    return bool(answer.status.allowed)


def _user(cluster: Cluster) -> tuple[str, str]:
    """Returns our own user, for a person and as an option of `oc`."""
    from kubernetes import client

    with api_errors("say who this run is"):
        review: Any = client.AuthenticationV1Api(cluster.api).create_self_subject_review(
            client.V1SelfSubjectReview(), _request_timeout=REQUEST_SECONDS
        )
    name = str(review.status.user_info.username)
    account = _SERVICE_ACCOUNT.fullmatch(name)
    if account is None:
        return name, name
    # oc takes -z for an account of the namespace that -n names.
    own = account["namespace"] == cluster.namespace
    return f"the service account {account['name']}", f"-z {account['name']}" if own else name
