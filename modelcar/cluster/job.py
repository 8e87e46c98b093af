"""A step's work as a Job: the Job itself, and how it is started or adopted, and deleted."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from modelcar.bootstrap.command import command_for_other_pod
from modelcar.cluster.authorities import trust_cluster_authorities
from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.cluster.executor import Executor
from modelcar.cluster.queue import QUEUE
from modelcar.cluster.run_state import RUN_LABEL
from modelcar.cluster.task import Json, TaskConfig
from modelcar.errors import ClusterError
from modelcar.retries import retrying

CONTAINER = "main"
"""Argo's name for a step's own container, so that whoever reads pods finds it."""

OUR_LABELS = {"app.kubernetes.io/name": "modelcar", "app.kubernetes.io/managed-by": "modelcar-pipelines"}

DELETE_SECONDS = (0.3, 0.7)
"""Time-outs of the deletion on the way out: a step that is cancelled is killed after 0.2 to 1.0 s."""

_HASH_DIGITS = 16
_REPLACEMENTS = 5
_UNREACHABLE_SECONDS = 60
_KEPT_SECONDS = 24 * 3600
Privilege = Literal["none", "nested", "privileged"]
"""Rights that a Job's container has beyond the step's own: none; to make user namespaces within one of the pod's own
(OpenShift's SCC `nested-container`, from 4.20 on); or all, as the node's root."""

# -P: in an image that begins in /, the claim's directory would be found first, for it is called modelcar.
BUILD_PROGRAM = ("python3", "-P", "-m", "modelcar.steps.build_in_job")
"""Program of a build in a Job, before its request; manifests/cluster lets privileged pods run no other."""

BUILD_NAME = "modelcar-build"
"""Beginning of the names of builds' Jobs and pods, and of no others; manifests/cluster lets nobody into such a pod."""

_GIVEN_UP = "modelcar-pipelines/given-up"
"""Annotation of a Job that failed and shall make no further pod. Kueue suspends Jobs as well, until it admits them."""

_DISRUPTIONS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_ON_THE_CLAIM = ("fsGroup", "fsGroupChangePolicy", "supplementalGroups")


NESTED_POD_SECURITY: Json = {"fsGroup": 0, "fsGroupChangePolicy": "OnRootMismatch"}
"""The claim's files belong to group 0 there: users and groups of a project's range are not in the pod's namespace. That
has 0 to 65535 (Kubernetes), and `nested-container` takes 0 to 65534."""

NESTED_SECURITY: Json = {
    "runAsUser": 1000,
    "runAsGroup": 0,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "Unconfined"},
}
"""An ordinary user of the pod's own user namespace, who is nobody on the node. It has more than other steps in that no
seccomp profile forbids buildah to make a user namespace. It is not root: without CAP_SETFCAP a root may not map itself
into a namespace that it makes (user_namespaces(7), since Linux 5.12)."""


@dataclass(frozen=True)
class Work:
    """The work of a Job, and its place.

    Attributes:
        step: The step's name, such as `build`.
        command: What its container runs; our code is handed on with it.
        task: What was set on the task.
        service_account: The service account of its pod.
        image: Its image; empty for that of the step's own pod.
        privilege: What its container may do.
        deadline_seconds: How long it may take, waiting for a node included.
    """

    step: str
    command: Sequence[str]
    task: TaskConfig
    service_account: str
    image: str = ""
    privilege: Privilege = "none"
    deadline_seconds: int = 12 * 3600

    def name(self, run_id: str) -> str:
        """The Job's name: the same for the same work in the same run, so that a second attempt finds the first's."""
        # Variables may differ from attempt to attempt, as those do that a backend's plugins set.
        task = self.task.model_dump_json(exclude={"env"})
        inputs = [run_id, self.step, *self.command, task, self.service_account, self.image]
        digest = hashlib.sha256(json.dumps([*inputs, self.privilege]).encode()).hexdigest()
        return f"modelcar-{self.step}-{digest[:_HASH_DIGITS]}"


def manifest(work: Work, executor: Executor) -> Json:
    """The Job, as Kubernetes' own JSON."""
    labels = {**OUR_LABELS, "app.kubernetes.io/component": work.step, RUN_LABEL: executor.run_id}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": work.name(executor.run_id),
            # Kueue counts the Job, and so its pod must not be counted again.
            "labels": {**labels, **executor.queue},
            "ownerReferences": executor.owners,
        },
        "spec": {
            # A pod counts as failed when its node was lost, the pod was evicted by the API or preempted. It is replaced
            # then, without a podFailurePolicy: with one, a pod is replaced only once it has ended for sure, which the
            # pod on a node that is gone never does. A build that fails by itself is not tried again: the step that
            # watches suspends the Job before the replacement's turn comes.
            "backoffLimit": _REPLACEMENTS,
            "activeDeadlineSeconds": work.deadline_seconds,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {"metadata": _pod_metadata(labels), "spec": _pod(work, executor)},
        },
    }


def _pod_metadata(labels: dict[str, str]) -> Json:
    # Istio's proxy would outlive the work, and the Job would never end. Kubeflow does so with its own pods.
    without_proxy = {"sidecar.istio.io/inject": "false"}
    return {"labels": {**labels, **without_proxy}, "annotations": without_proxy}


def _pod(work: Work, executor: Executor) -> Json:
    task = work.task.joined(executor.settings)
    container = {
        "name": CONTAINER,
        "image": work.image or executor.image,
        "command": trust_cluster_authorities(
            command_for_other_pod(work.command), (mount["mountPath"] for mount in task.volume_mounts)
        ),
        "env": task.env,
        "resources": task.resources,
        "volumeMounts": task.volume_mounts,
        "securityContext": _container_security(work, executor),
        # Should it not even come to our own words, such as when pip fails.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "restartPolicy": "Never",
        "serviceAccountName": work.service_account,
        "nodeSelector": task.node_selector,
        "tolerations": _tolerations(task.tolerations),
        "affinity": task.affinity,
        "securityContext": _pod_security(work, executor),
        "containers": [container],
        "volumes": task.volumes,
        **({"hostUsers": False} if work.privilege == "nested" else {}),
        **executor.pull,
    }


def _tolerations(given: list[Json]) -> list[Json]:
    """The task's, and a minute's patience with a lost node instead of the cluster's five: a build resumes cheaply."""
    named = {toleration.get("key") for toleration in given}
    return given + [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _UNREACHABLE_SECONDS}
        for key in _DISRUPTIONS
        if key not in named
    ]


def _pod_security(work: Work, executor: Executor) -> Json:
    # A privileged container gets no SELinux label and no user of the project's range; the claim's groups stay.
    given = executor.pod_security
    if work.privilege == "nested":
        return dict(NESTED_POD_SECURITY)
    return {name: given[name] for name in _ON_THE_CLAIM if name in given} if work.privilege == "privileged" else given


def _container_security(work: Work, executor: Executor) -> Json:
    if work.privilege == "nested":
        return dict(NESTED_SECURITY)
    # Only a root is privileged: the image's own user would still need a user namespace.
    return {"privileged": True, "runAsUser": 0} if work.privilege == "privileged" else executor.container_security


@retrying
def start(cluster: Cluster, work: Work, executor: Executor) -> Any:
    """Starts the Job, or adopts the one that an earlier attempt of the same task has started.

    A Job that failed, or that was given up, makes room for a new one.

    Returns:
        The Job.

    Raises:
        ClusterError: The cluster refused it.
    """
    from kubernetes import client

    body = manifest(work, executor)
    name = body["metadata"]["name"]
    remedy = "Let this step's service account work with Jobs (manifests/namespace)"
    with api_errors(f"start the Job {name}", remedy):
        try:
            job = cluster.batch.create_namespaced_job(cluster.namespace, body, _request_timeout=REQUEST_SECONDS)
        except client.ApiException as error:
            if error.status != 409:
                raise
            return _adopted(cluster, name, executor)
    print(f"the {work.step} runs as Job {name}", flush=True)
    return job


def _adopted(cluster: Cluster, name: str, executor: Executor) -> Any:
    found = cluster.batch.read_namespaced_job(name, cluster.namespace, _request_timeout=REQUEST_SECONDS)
    if found.metadata.deletion_timestamp or _is_given_up(found) or condition(found, "Failed"):
        delete(cluster, name)
        raise ClusterError(f"the Job {name} of an earlier attempt is still being deleted", may_pass=True)
    # The pods of earlier attempts stay named as owners; Kubernetes strikes out those that are gone.
    owners = {"metadata": {"ownerReferences": executor.owners}}
    job = cluster.batch.patch_namespaced_job(name, cluster.namespace, owners, _request_timeout=REQUEST_SECONDS)
    print(f"an earlier attempt of this step has started the Job {name}; this one goes on with it", flush=True)
    return job


def _is_given_up(job: Any) -> bool:
    return _GIVEN_UP in (job.metadata.annotations or {})


def queue_of(job: Any) -> str:
    """Returns the queue in which a Job waits to be admitted; empty if it waits in none."""
    return str((job.metadata.labels or {}).get(QUEUE, "")) if job.spec.suspend and not _is_given_up(job) else ""


def condition(job: Any, kind: str) -> Any | None:
    """A condition of a Job, if it holds."""
    conditions = job.status.conditions or []
    return next((each for each in conditions if each.type == kind and each.status == "True"), None)


def suspend(cluster: Cluster, name: str) -> None:
    """Keeps a Job from making another pod, and leaves it and its failed pod for the report.

    It leaves its queue as well: Kueue starts again what is suspended in one, as soon as there is room for it.
    """
    with suppress(ClusterError), api_errors(f"suspend the Job {name}"):
        metadata = {"annotations": {_GIVEN_UP: "true"}, "labels": {QUEUE: None}}
        body = {"metadata": metadata, "spec": {"suspend": True}}
        cluster.batch.patch_namespaced_job(name, cluster.namespace, body, _request_timeout=REQUEST_SECONDS)


def delete(cluster: Cluster, name: str, seconds: tuple[float, float] = REQUEST_SECONDS) -> None:
    """Deletes a Job and, behind it, its pods. That it is gone already is as good.

    Raises:
        ClusterError: The cluster refused.
    """
    from kubernetes import client

    with api_errors(f"delete the Job {name}", f"Delete it: kubectl delete job {name} -n {cluster.namespace}"):
        try:
            cluster.batch.delete_namespaced_job(
                name, cluster.namespace, propagation_policy="Background", _request_timeout=seconds
            )
        except client.ApiException as error:
            if error.status != 404:
                raise


def delete_jobs(cluster: Cluster, run_id: str) -> list[str]:
    """Deletes the Jobs that a run has left.

    Args:
        cluster: Where the run was.
        run_id: The run's id, the value of the label `pipeline/runid`.

    Returns:
        Their names.

    Raises:
        ClusterError: The cluster refused.
    """
    ours = ",".join(f"{name}={value}" for name, value in {RUN_LABEL: run_id, **OUR_LABELS}.items())
    with api_errors("list the run's Jobs"):
        found = cluster.batch.list_namespaced_job(
            cluster.namespace, label_selector=ours, _request_timeout=REQUEST_SECONDS
        )
    names = [job.metadata.name for job in found.items]
    for name in names:
        delete(cluster, name)
    return names
