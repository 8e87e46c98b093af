"""Remedies for what a cluster refused or ended. Commands to paste stand between backquotes."""

import json
import re
import shlex
from typing import Any

from rich.filesize import decimal

AGAIN = "Run it again: what was downloaded and sent is kept, and the run goes on from there"
STREAM = "run model-to-registry-streaming, which writes to no disk at all"
EPHEMERAL = "ephemeral-storage"

_LABEL = {"ai-build-node": "true"}
"""Label of a node for builds in the manifests and the documentation, where the pod names no label itself."""

_TAINT = re.compile(r"untolerated taint \{(?P<key>[^:}]+): ?(?P<value>[^}]*)\}")
_QUOTA = re.compile(r"exceeded quota: (?P<name>[^,\s]+)|failed quota: (?P<failed>[^:\s]+)")
_MISSING = re.compile(r"(?P<kind>secret|configmap|serviceaccount|persistentvolumeclaim) \"(?P<name>[^\"]+)\" not found")


def readable(quantity: str | int) -> str:
    """A Kubernetes quantity of bytes, as people write it."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        return decimal(int(parse_quantity(quantity)))
    except ValueError:
        return str(quantity)


def asked(pod: Any, resource: str) -> str:
    """Returns what a pod's containers request of a resource; empty for nothing."""
    parts = [
        container.resources.requests[resource]
        for container in pod.spec.containers
        if container.resources and resource in (container.resources.requests or {})
    ]
    if len(parts) < 2:
        return f"{parts[0]} of {resource}" if parts else ""
    return f"{' + '.join(parts)} of {resource}"


def wants(pod: Any) -> str:
    """Says in words what a pod asks of a node."""
    resources = [asked(pod, name) for name in ("cpu", "memory", EPHEMERAL)]
    labels = ", ".join(f"{key}={value}" for key, value in (pod.spec.node_selector or {}).items())
    tolerated = ", ".join(
        each.key for each in pod.spec.tolerations or [] if each.key and "kubernetes.io" not in each.key
    )
    parts = [
        ", ".join(filter(None, resources)),
        labels and f"the label {labels}",
        tolerated and f"tolerating {tolerated}",
    ]
    return "it asks for " + ("; ".join(filter(None, parts)) or "no resources and no label")


def is_about_memory(eviction: str) -> bool:
    """Tells whether a pod was evicted for want of memory, and not of disk."""
    return "low on resource: memory" in eviction or "MemoryPressure" in eviction


def for_eviction(message: str, step: str) -> str:
    """Returns the remedy for an eviction."""
    if is_about_memory(message):
        return for_memory(step)
    if "exceed" in message:
        return "Raise build_ephemeral_storage above what it needs, or choose builder=direct, which writes to no disk"
    return f"Let it run where there is more disk: {_label_a_node(_LABEL)}. Or {STREAM}"


def for_memory(step: str) -> str:
    """Returns the remedy for the end of a container that had too little memory."""
    default = "the default limit of the project, if it was that (`oc get limitrange --output yaml`)"
    return f"Raise build_memory, or {default}" if "build" in step else f"Raise {default}"


def for_image(image: str, pod: Any) -> str:
    """Returns the remedy for an image that cannot be pulled."""
    secrets = ", ".join(each.name for each in pod.spec.image_pull_secrets or []) or "none"
    return (
        f"Check the image's name, and that its Secret may pull it (image_pull_secret; now: {secrets}). "
        f"Try `oc image info {shlex.quote(image)}`"
    )


_NOT_MAPPED = re.compile(r"id-?mapp?(ed)? mount|MOUNT_ATTR_IDMAP", re.IGNORECASE)
"""Words of runc, crun and containerd of a file system without idmapped mounts."""


def for_start(message: str, pod: Any) -> str:
    """Returns the remedy for a container that is not even made."""
    if missing := _MISSING.search(message):
        return (
            f"Make the {missing['kind']}, or name another one: `oc get {missing['kind']} -n {pod.metadata.namespace}`"
        )
    if _NOT_MAPPED.search(message):
        return (
            "The claim's file system cannot be mounted in a user namespace of the pod's own (NFS cannot): choose "
            "build_mode=job, or builder=direct, which needs no privilege"
        )
    if "runAsNonRoot" in message or "run as root" in message:
        return "The project forbids root: compile with --image and an image that names a user of its own"
    return see_log(pod)


def for_scheduling(message: str, pod: Any | None) -> str:
    """Returns the remedy for having no node: a remedy for each of the scheduler's reasons.

    Args:
        message: The scheduler's message.
        pod: The pod, if it is still there.
    """
    selector = dict((pod.spec.node_selector if pod else None) or {})
    found = []
    if f"Insufficient {EPHEMERAL}" in message:
        found.append(
            "No node has that much disk left: lower build_ephemeral_storage (the build writes to the claim, not to the "
            f"node), or {STREAM}"
        )
    if "Insufficient cpu" in message or "Insufficient memory" in message:
        found.append("Lower build_cpu or build_memory, or wait until there is room")
    if "node affinity/selector" in message:
        found.append(f"Let a node have the label: {_label_a_node(selector or _LABEL)}")
    if taint := _TAINT.search(message):
        toleration = {"key": taint["key"], "operator": "Exists"}
        found.append(f"Tolerate the taint: `tolerations={json.dumps([toleration])}`")
    elif "untolerated taint" in message or "taints that the pod didn't tolerate" in message:
        found.append(
            "Name the nodes' taints in tolerations: "
            "`oc get nodes --output custom-columns=NAME:.metadata.name,TAINTS:.spec.taints`"
        )
    if "persistentvolumeclaim" in message or "PersistentVolumeClaim" in message or "PersistentVolume" in message:
        found.append("Look after the claim: `oc get pvc; oc describe pvc`")
    return ". ".join(found) or "Look at the nodes: `oc describe nodes`"


def for_volume(message: str) -> str:
    """Returns the remedy for a claim or Secret that cannot be mounted."""
    if "Multi-Attach" in message or "already used by" in message:
        return (
            "Another pod on another node holds the claim: wait until it has ended, or use a claim that is ReadWriteMany"
        )
    if missing := _MISSING.search(message):
        return f"Make the {missing['kind']} {missing['name']}, or name another one"
    return "Look after the claim and its volume: `oc describe pvc`"


def for_node(pod: Any) -> str:
    """Returns the remedy for a node that cannot start a pod."""
    return f"Look at the node: `oc describe node {pod.spec.node_name}`"


def for_refusal(message: str, job: Any) -> str:
    """Returns the remedy for the refusal of a Job's pod."""
    namespace, account = job.metadata.namespace, job.spec.template.spec.service_account_name or "default"
    if quota := _QUOTA.search(message):
        name = quota["name"] or quota["failed"]
        return (
            "Lower build_cpu, build_memory or build_ephemeral_storage, or have the quota raised: "
            f"`oc describe quota {name} -n {namespace}`"
        )
    if re.search(r"(maximum|minimum) \S+ usage per|max limit to request ratio", message):
        return f"Keep to the project's limits: `oc describe limitrange -n {namespace}`"
    otherwise = "or choose build_mode=pod or builder=direct, which need no privilege"
    if "security context constraint" in message:
        scc = "privileged" if job.spec.template.spec.host_users is not False else "nested-container"
        command = f"oc adm policy add-scc-to-user {scc} -z {account} -n {namespace}"
        return f"An administrator can allow it: `{command}`; {otherwise}"
    if "violates PodSecurity" in message:
        label = "pod-security.kubernetes.io/enforce=privileged"
        return f"An administrator can allow it: `oc label namespace {namespace} {label} --overwrite`; {otherwise}"
    if "error looking up service account" in message:
        return (
            f"Make the service account (manifests/): `oc create serviceaccount {account} -n {namespace}`; {otherwise}"
        )
    return f"See what refused it: `oc describe job {job.metadata.name} -n {namespace}`"


def see_log(pod: Any, container: str = "") -> str:
    """Returns where to read on."""
    part = f" -c {container}" if container else ""
    return f"See its log: `oc logs {pod.metadata.name}{part} -n {pod.metadata.namespace}`"


def _label_a_node(labels: dict[str, str]) -> str:
    command = " ".join(shlex.quote(f"{key}={value}") for key, value in labels.items())
    return f"`oc label node <name> {command}` and `node_selector={json.dumps(labels)}`"
