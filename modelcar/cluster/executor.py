"""The executor pod: the pod of the step that runs just now, and what a Job of that step takes over from it."""

from dataclasses import dataclass
from typing import Any

from modelcar.cluster import authorities
from modelcar.cluster.connection import Cluster, api_errors
from modelcar.cluster.queue import QUEUE
from modelcar.cluster.run_state import RUN_LABEL
from modelcar.cluster.task import Json, TaskConfig
from modelcar.errors import ClusterError
from modelcar.retries import retrying

_MAIN = "main"
"""Argo's name for the container of the step itself."""

_BACKENDS_OWN = ("KFP_", "ARGO_")
_CREDENTIALS = ("secret", "configMap")
"""Kinds of volumes that hold registry logins and certificates."""


@dataclass(frozen=True)
class Executor:
    """The pod of this step.

    Attributes:
        pod: Itself, as the API server gives it.
    """

    pod: Json

    @classmethod
    def find(cls, cluster: Cluster) -> "Executor":
        """Reads this step's pod.

        Raises:
            ClusterError: This is no pod, or it may not be read.
        """
        pod = _own_pod(cluster)
        if pod is None:
            raise ClusterError(
                "this step cannot read its own pod, whose image and secrets a Job needs",
                "Let its service account read pods (manifests/namespace), or choose build_mode=pod",
            )
        return cls(cluster.api.sanitize_for_serialization(pod))

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def run_id(self) -> str:
        """The run that the pod belongs to; outside of a pipeline, the pod itself."""
        metadata = self.pod["metadata"]
        return str(metadata.get("labels", {}).get(RUN_LABEL) or metadata["uid"])

    @property
    def queue(self) -> dict[str, str]:
        """The label of the queue that Kueue counts this step's pod in, if any: its Job waits in the same."""
        labels = self.pod["metadata"].get("labels", {})
        return {QUEUE: labels[QUEUE]} if QUEUE in labels else {}

    @property
    def owners(self) -> list[Json]:
        """Owner references for a Job of this step: to what owns the pod, and to the pod.

        Kubernetes deletes an object when the last of its owners is gone. The run (Argo's Workflow) outlives this pod,
        so that the Job of a pod that got lost is there for the next attempt, yet goes with the run when that is
        deleted. A pod that nothing owns will have no next attempt; its Job goes with it. None of them has to wait for
        the Job to be gone, so blockOwnerDeletion is not set; it would take rights on the owners as well.
        """
        metadata = self.pod["metadata"]
        own = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        names = ("apiVersion", "kind", "name", "uid")
        return [*({name: owner[name] for name in names} for owner in metadata.get("ownerReferences", [])), own]

    @property
    def image(self) -> str:
        """The image of this step."""
        return str(self._container["image"])

    @property
    def pull(self) -> Json:
        """The pull secrets with which this pod got its images."""
        secrets = self.pod["spec"].get("imagePullSecrets", [])
        return {"imagePullSecrets": secrets} if secrets else {}

    @property
    def pod_security(self) -> Json:
        """The pod's security context: the groups and the SELinux label that this pod's files on the claim have."""
        return dict(self.pod["spec"].get("securityContext", {}))

    @property
    def container_security(self) -> Json:
        """The container's security context."""
        return dict(self._container.get("securityContext", {}))

    @property
    def settings(self) -> TaskConfig:
        """Variables, logins and certificates of this pod, which a TaskConfig never holds, or not on every backend."""
        volumes = {
            volume["name"]: volume
            for volume in self.pod["spec"].get("volumes", [])
            if any(kind in volume for kind in _CREDENTIALS)
        }
        mounts = [mount for mount in self._container.get("volumeMounts", []) if mount["name"] in volumes]
        used = {mount["name"] for mount in mounts}
        env = [entry for entry in self._container.get("env", []) if not entry["name"].startswith(_BACKENDS_OWN)]
        certificates = authorities.mounted_authorities(mount["mountPath"] for mount in mounts)
        env += [{"name": name, "value": file} for name, file in certificates.items()]
        return TaskConfig(
            env=env, volumes=[volume for name, volume in volumes.items() if name in used], volume_mounts=mounts
        )

    @property
    def _container(self) -> Any:
        containers = self.pod["spec"]["containers"]
        return next((container for container in containers if container["name"] == _MAIN), containers[0])


@retrying
def _own_pod(cluster: Cluster) -> Any | None:
    with api_errors("show this step's own pod"):
        return cluster.own_pod()
