"""Pods and Jobs as Kubeflow Pipelines and our build step make them: the same labels, annotations and containers."""

import uuid
from collections.abc import Mapping
from typing import Any

from kubernetes import client

from modelcar.cluster.run_state import NODE_NAME, RUN_LABEL, WORKFLOW_LABEL


class Run:
    """A run whose pods are made by hand.

    Args:
        api: The cluster's client.
        namespace: Where to make them.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        self.id = str(uuid.uuid4())
        self.namespace = namespace
        self.core = client.CoreV1Api(api)
        self.batch = client.BatchV1Api(api)
        self._workflow = f"model-to-registry-{self.id[:5]}"

    def pod(
        self, task: str, spec: Mapping[str, Any], *, main: Mapping[str, Any] | None = None, attempt: int = 0
    ) -> str:
        """Makes the executor pod of a task; gives its name."""
        name = f"{self._workflow}-retry-system-container-impl-{uuid.uuid4().int % 10**9}"
        annotations = {NODE_NAME: f"{self._workflow}.root.exit-handler-1.{task}.executor({attempt})"}
        labels = {RUN_LABEL: self.id, WORKFLOW_LABEL: self._workflow}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations, "labels": labels},
            "spec": _spec(spec, main or {}),
        }
        self.core.create_namespaced_pod(self.namespace, body)
        return name

    def job(
        self,
        task: str,
        spec: Mapping[str, Any],
        *,
        main: Mapping[str, Any],
        owner: str = "",
        job_spec: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Makes a Job that the executor pod of a task owns; gives its name."""
        name = f"{task}-{uuid.uuid4().hex[:8]}"
        metadata: dict[str, Any] = {"name": name, "labels": {RUN_LABEL: self.id, **(labels or {})}}
        if owner:
            pod = self.core.read_namespaced_pod(owner, self.namespace)
            reference = {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": pod.metadata.uid}
            metadata["ownerReferences"] = [reference]
        template = {
            "metadata": {"labels": {RUN_LABEL: self.id}},
            "spec": _spec(spec, main),
        }
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {"backoffLimit": 0, **(job_spec or {}), "template": template},
        }
        self.batch.create_namespaced_job(self.namespace, body)
        return name


def _spec(spec: Mapping[str, Any], main: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    return {**defaults, **spec, "containers": [{"name": "main", **main}, *spec.get("containers", [])]}
