"""Executor pods as Kubeflow's backend makes them, with our real component in them, and the Jobs that they start."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes import client

from modelcar.cluster.run_state import RUN_LABEL
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import CLAIM_PATH, pod, run_in
from tests.kubernetes.programs.build import kubectl_program
from tests.kubernetes.waiting import PATIENCE_SECONDS, until

MANIFESTS = Path(__file__).parents[2] / "manifests"
ACCOUNT = "pipelines"

COMPONENT = """
import json, sys
from kfp import dsl
from modelcar.components.build_in_job import build_in_job
given = json.loads(sys.argv[1])
config = given.pop("task_config", None)
done = build_in_job.python_func(**given, task_config=dsl.TaskConfig(**config) if config else None)
print(json.dumps(done._asdict()))
"""
"""Runs the component's function as kfp's executor does, and tells its outputs on the last line."""


IMAGE_TO_NAME = "registry.example/modelcar@sha256:" + 64 * "0"
"""In manifests/, where the image of the build's Job has to be named."""


def take_back(namespace: Namespace) -> None:
    """Deletes what `applied` has put outside of the project."""
    api = namespace.cluster.api
    client.RbacAuthorizationV1Api(api).delete_cluster_role_binding(f"modelcar-node-reader:{namespace.name}")
    policies = client.AdmissionregistrationV1Api(api)
    for name in ("modelcar-build", "modelcar-build-exec", "modelcar-baseline"):
        for delete in (
            policies.delete_validating_admission_policy_binding,
            policies.delete_validating_admission_policy,
        ):
            with suppress(client.ApiException):
                delete(f"{name}.{namespace.name}")


def applied(folder: str, namespace: Namespace, place: Path) -> list[dict[str, Any]]:
    """Applies a folder of manifests/ as its README says: with the project and the pipelines' account filled in.

    Args:
        folder: Its name.
        namespace: The project.
        place: An empty directory.

    Returns:
        The objects.
    """
    shutil.copytree(MANIFESTS, place, dirs_exist_ok=True)
    file = place / folder / "kustomization.yaml"
    text = file.read_text().replace("namespace: modelcar", f"namespace: {namespace.name}")
    text = text.replace(IMAGE_TO_NAME, namespace.cluster.image)
    file.write_text(text.replace("value: pipeline-runner-dspa", f"value: {ACCOUNT}").replace("default-editor", ACCOUNT))
    kubeconfig = namespace.cluster.kubeconfig
    done = subprocess.run(
        [
            kubectl_program(),
            "--kubeconfig",
            str(kubeconfig),
            "apply",
            "-k",
            str(place / folder),
            "--output",
            "json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["items"])


@dataclass
class Run:
    """A pipeline run: what owns its pods, and their label.

    Attributes:
        namespace: Where it runs.
        id: Its id.
    """

    namespace: Namespace
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _owner: Any = None
    _attempts: int = 0

    def start(self) -> "Run":
        """Makes what stands for Argo's Workflow: an object that owns the run's pods and outlives each of them."""
        body = {"metadata": {"generateName": "workflow-", "labels": {RUN_LABEL: self.id}}}
        self._owner = self.namespace.core.create_namespaced_config_map(self.namespace.name, body)
        return self

    def delete(self) -> None:
        """Deletes the run, as Kubeflow does: by its Workflow."""
        self.namespace.core.delete_namespaced_config_map(self._owner.metadata.name, self.namespace.name)

    def attempt(self, image: str, arguments: Mapping[str, Any], **options: Any) -> str:
        """Starts the step's pod, the first or another one; gives its name.

        Args:
            image: The pod's image.
            arguments: The component's.
            **options: Further ones of tests.kubernetes.pods.pod.
        """
        self._attempts += 1
        name = f"executor-{self.id[:8]}-{self._attempts}"
        manifest = pod(name, ["python3", "-c", COMPONENT, json.dumps(arguments)], image, **options)
        manifest["metadata"]["labels"] = {RUN_LABEL: self.id}
        if self._owner is not None:
            owner = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True, "name": self._owner.metadata.name}
            manifest["metadata"]["ownerReferences"] = [{**owner, "uid": self._owner.metadata.uid}]
        manifest["spec"]["serviceAccountName"] = ACCOUNT
        manifest["spec"]["terminationGracePeriodSeconds"] = 5
        manifest["spec"]["containers"][0]["env"].append(
            {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        )
        self.namespace.create(manifest)
        return name

    def jobs(self) -> list[Any]:
        """The run's Jobs that are there now."""
        found = self.namespace.batch.list_namespaced_job(self.namespace.name, label_selector=f"{RUN_LABEL}={self.id}")
        return [job for job in found.items if not job.metadata.deletion_timestamp]

    def job_pods(self) -> list[Any]:
        """Pods of the run's Jobs, the oldest first."""
        selector = f"{RUN_LABEL}={self.id},batch.kubernetes.io/job-name"
        found = self.namespace.core.list_namespaced_pod(self.namespace.name, label_selector=selector).items
        return sorted(found, key=lambda each: each.metadata.creation_timestamp)

    def working_pod(self) -> Any:
        """Waits until a pod of the Job works that is not being deleted."""

        def found() -> Any:
            alive = [each for each in self.job_pods() if not each.metadata.deletion_timestamp]
            return next((each for each in alive if each.status.phase == "Running"), None)

        return until(found, lambda: [each.status for each in self.job_pods()])

    def outputs(self, name: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Waits for an attempt's good end; gives the component's outputs."""
        ended = self.namespace.finished(name, seconds)
        assert ended.status.phase == "Succeeded", self.namespace.told(name)
        return dict(json.loads(self.namespace.log(name).splitlines()[-1]))

    def error(self, name: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Waits for an attempt's bad end; gives the line that it left."""
        ended = self.namespace.finished(name, seconds)
        assert ended.status.phase == "Failed", self.namespace.told(name)
        message = ended.status.container_statuses[0].state.terminated.message or ""
        errors = [line for line in message.splitlines() if line.startswith("error: ")]
        assert errors, self.namespace.told(name)
        return str(errors[0])


def task_config(claim: str, login: str, **further: Any) -> dict[str, Any]:
    """What Kubeflow's driver hands over of a task with a claim and a registry's login."""
    trust = f"/var/run/secrets/modelcar/{login}"
    return {
        "env": [{"name": "SSL_CERT_FILE", "value": f"{trust}/ca.crt"}],
        "volumes": [
            {"name": claim, "persistentVolumeClaim": {"claimName": claim}},
            {"name": login, "secret": {"secretName": login, "optional": True}},
        ],
        "volume_mounts": [{"name": claim, "mountPath": CLAIM_PATH}, {"name": login, "mountPath": trust}],
        "resources": {"limits": {"ephemeral-storage": "256Mi"}, "requests": {"cpu": "10m", "memory": "64Mi"}},
        **further,
    }


def signal_step(namespace: Namespace, name: str) -> None:
    """Ends a step's process as Argo does when a run is cancelled: the pod itself is not deleted."""
    run_in(namespace.cluster.api, namespace.name, name, "kill -TERM 1")
