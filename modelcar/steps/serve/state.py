"""State of a service on the cluster: what KServe made of it, and how far its new pods are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.serving.pulls import read_pull

SERVICE_LABEL = "serving.kserve.io/inferenceservice"
"""KServe puts it on the Deployment and the pods of a service."""

SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
"""Annotation of the Deployment's pods: the storageUri that they were made for."""

SERVER = "kserve-container"
"""The container with the server; the others bring the model, or stand before the server."""


@dataclass(frozen=True)
class ServiceState:
    """A service, and what has become of it.

    Attributes:
        service: The InferenceService.
        deployment: KServe's Deployment for it; None if there is none yet.
        pods: Pods of the image that is asked for, the newest first.
        events: Events about them, the oldest first.
    """

    service: dict[str, Any]
    deployment: Any | None
    pods: Sequence[Any]
    events: Sequence[Any]

    @classmethod
    def read(cls, cluster: Cluster, service: dict[str, Any]) -> "ServiceState":
        """Asks the cluster.

        Args:
            cluster: The cluster.
            service: The InferenceService as it is now.

        Raises:
            ClusterError: The API server refused.
        """
        from kubernetes import client

        name, uri = service["metadata"]["name"], _model(service)["storageUri"]
        which: dict[str, Any] = {
            "label_selector": f"{SERVICE_LABEL}={name}",
            "_request_timeout": REQUEST_SECONDS,
        }
        with api_errors(f"say what became of {name}", "Let the run's account serve: oc apply -k manifests/serving"):
            deployments = client.AppsV1Api(cluster.api).list_namespaced_deployment(cluster.namespace, **which).items
            pods = cluster.core.list_namespaced_pod(cluster.namespace, **which).items
            ours = [pod for pod in pods if is_of(pod, uri) and not pod.metadata.deletion_timestamp]
            events = [event for pod in ours for event in _events(cluster, pod.metadata.name)]
        newest = sorted(ours, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)
        return cls(service, deployments[0] if deployments else None, newest, events)

    @property
    def is_ready(self) -> bool:
        """Tells whether all replicas are of this specification and ready, and KServe says so of the service."""
        conditions = {one["type"]: one["status"] for one in self.service.get("status", {}).get("conditions") or ()}
        return conditions.get("Ready") == "True" and _is_rolled_out(self.deployment, _model(self.service))

    @property
    def ready_pod(self) -> Any | None:
        """The newest pod that is ready."""
        return next((pod for pod in self.pods if (one := condition(pod, "Ready")) and one.status == "True"), None)

    @property
    def pull_seconds(self) -> float:
        """Seconds that pulling the model took; 0 where the node had it."""
        image = _model(self.service)["storageUri"].partition("://")[2]
        pulls = (read_pull(event.message or "") for event in self.events)
        return max((pull[1] for pull in pulls if pull and pull[0] == image), default=0.0)

    @property
    def start_seconds(self) -> float:
        """Seconds from the server's start until it was ready, as the kubelet saw it; 0 if it is not."""
        pod = self.ready_pod
        server = pod and next((one for one in pod.status.container_statuses or () if one.name == SERVER), None)
        ready = pod and condition(pod, "Ready")
        if not server or not ready or not server.state.running:
            return 0.0
        return max(float((ready.last_transition_time - server.state.running.started_at).total_seconds()), 0.0)


def condition(thing: Any, kind: str) -> Any | None:
    """Returns a condition of a pod or Deployment; None if it has none of that kind."""
    return next((one for one in thing.status.conditions or () if one.type == kind), None)


def _is_rolled_out(deployment: Any | None, model: dict[str, Any]) -> bool:
    """Tells so as `kubectl rollout status` does, of a Deployment that KServe has brought up to date."""
    if deployment is None:
        return False
    template, status = deployment.spec.template, deployment.status
    server = next((one for one in template.spec.containers if one.name == SERVER), None)
    written = (template.metadata.annotations or {}).get(SOURCE) == model["storageUri"]
    if not written or server is None or not set(model.get("args") or ()) <= set(server.args or ()):
        return False
    updated, wanted = status.updated_replicas or 0, deployment.spec.replicas
    seen = (status.observed_generation or 0) >= deployment.metadata.generation
    return seen and updated >= wanted and (status.replicas or 0) <= updated <= (status.available_replicas or 0)


def is_of(pod: Any, uri: str) -> bool:
    """Tells whether a pod serves what a storageUri names."""
    return bool((pod.metadata.annotations or {}).get(SOURCE) == uri)


def _model(service: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service["spec"]["predictor"]["model"]
    return found


def _events(cluster: Cluster, pod: str) -> list[Any]:
    listed = cluster.core.list_namespaced_event(
        cluster.namespace, field_selector=f"involvedObject.name={pod}", _request_timeout=REQUEST_SECONDS
    )
    return sorted(listed.items, key=lambda event: event.last_timestamp or event.metadata.creation_timestamp)
