"""A short-lived pod that looks at a claim, for what only a pod can see."""

import inspect
import json
import time
from contextlib import suppress
from typing import Any

import urllib3
from kubernetes import client

from modelcar import pod
from modelcar.claim import listing
from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.errors import ClusterError

IMAGE = "registry.access.redhat.com/ubi9/python-311"
"""Image of the pipelines' steps, which nodes that ran one have."""

START_SECONDS, POLL_SECONDS = 300.0, 1.0
_NAME = "modelcar-downloads-"


def ask_claim(cluster: Cluster, claim: str, words: list[str], image: str = "") -> list[dict[str, Any]]:
    """Lists or removes the downloads on a claim.

    Args:
        cluster: The cluster, and the project that has the claim.
        claim: The PersistentVolumeClaim's name.
        words: A model and the beginning of a commit, to remove; none to list.
        image: Image with Python 3.11 or newer. Default: the steps' own.

    Raises:
        ClusterError: The pod may not be made, does not start, or failed.
    """
    with api_errors(f"look at the claim {claim}", "Let your account create pods: oc auth can-i create pods"):
        cluster.core.read_namespaced_persistent_volume_claim(claim, cluster.namespace, _request_timeout=REQUEST_SECONDS)
        made = cluster.core.create_namespaced_pod(
            cluster.namespace, _pod(claim, words, image or IMAGE), _request_timeout=REQUEST_SECONDS
        )
    name = made.metadata.name
    try:
        with api_errors(f"say how the pod {name} is doing"):
            return _answer(cluster, name)
    finally:
        with suppress(client.ApiException, urllib3.exceptions.HTTPError, OSError):
            cluster.core.delete_namespaced_pod(
                name, cluster.namespace, grace_period_seconds=0, _request_timeout=REQUEST_SECONDS
            )


def _answer(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = cluster.core.read_namespaced_pod(name, cluster.namespace, _request_timeout=REQUEST_SECONDS)
        if found.status.phase in ("Succeeded", "Failed"):
            break
        if time.monotonic() > deadline:
            waits = [one.state.waiting for one in found.status.container_statuses or [] if one.state.waiting]
            why = next((f": {one.reason} {one.message or ''}" for one in waits), "")
            raise ClusterError(
                f"the pod that looks at the claim did not start within {START_SECONDS:.0f} s{why}",
                "A claim of ReadWriteOnce can be looked at while no run on another node has it; try again later",
            )
        time.sleep(POLL_SECONDS)
    log = cluster.core.read_namespaced_pod_log(
        name, cluster.namespace, _request_timeout=REQUEST_SECONDS, _preload_content=False
    ).data.decode(errors="replace")
    try:
        answer: list[dict[str, Any]] = json.loads(log)
    except ValueError:
        raise ClusterError(f"the pod that looks at the claim failed: {log.strip()[-300:]}") from None
    return answer


def _pod(claim: str, words: list[str], image: str) -> dict[str, Any]:
    mount = str(pod.CLAIM_MOUNT)
    limited = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "main",
        "image": image,
        "command": ["python3", "-c", inspect.getsource(listing), mount, *words],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": limited,
        "volumeMounts": [{"name": "claim", "mountPath": mount}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": _NAME, "labels": {"app.kubernetes.io/managed-by": "modelcar"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 600,
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
