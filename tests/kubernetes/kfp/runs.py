"""Pipelines and runs, by the stock client and as a person would: upload a file, fill in the form, start."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenacity import retry, retry_if_exception, stop_after_attempt, wait_fixed

from tests.kubernetes.kfp.backend import Backend
from tests.kubernetes.waiting import PATIENCE_SECONDS

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
_AFTER_SECONDS = 120.0
"""Seconds in which something may still come of a run that has ended, such as its retry's beginning."""

RUN_LABEL = "pipeline/runid"
_WORKFLOWS = ("argoproj.io", "v1alpha1")
_NODE_NAME = "workflows.argoproj.io/node-name"
_TASK_OF_POD = re.compile(r"\.([^.]+)\.executor(\(\d+\))?$")


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that was uploaded.

    Attributes:
        backend: Where to.
        id: Its id.
        version: The id of its version.
    """

    backend: Backend
    id: str
    version: str

    @classmethod
    def upload(cls, backend: Backend, file: Path, name: str) -> "Pipeline":
        """Uploads a compiled pipeline."""
        uploaded = backend.client().upload_pipeline(str(file), pipeline_name=name)
        versions = backend.client().list_pipeline_versions(uploaded.pipeline_id).pipeline_versions
        return cls(backend, uploaded.pipeline_id, versions[0].pipeline_version_id)

    def start(self, name: str, parameters: Mapping[str, Any], service_account: str = "") -> "Run":
        """Starts a run with what was filled in; all else has its default.

        Args:
            name: The run's name.
            parameters: What was filled in.
            service_account: The account of its pods; empty for the backend's own.
        """
        client = self.backend.client()
        experiment = client.create_experiment("tests")
        run = client.run_pipeline(
            experiment.experiment_id,
            name,
            params=dict(parameters),
            pipeline_id=self.id,
            version_id=self.version,
            service_account=service_account or None,
        )
        return Run(self.backend, run.run_id)


@retry(
    retry=retry_if_exception(lambda error: getattr(error, "status", None) == 404),
    stop=stop_after_attempt(3),
    wait=wait_fixed(1),
    reraise=True,
)
def _get_run(client: Any, run: str) -> Any:
    return client.get_run(run)


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        backend: Where it is.
        id: Its id.
    """

    backend: Backend
    id: str

    def read(self) -> Any:
        """All that the API tells of it, which now and then says that it is not there (modelcar.cli.server.client)."""
        return _get_run(self.backend.client(), self.id)

    def ended(self, seconds: float = PATIENCE_SECONDS) -> str:
        """Waits until it has ended.

        Args:
            seconds: How long to wait.

        Returns:
            Its state, such as SUCCEEDED.

        Raises:
            AssertionError: The time is up; tells of the tasks and their pods.
        """
        client = self.backend.client()
        deadline = time.monotonic() + seconds
        while (state := _get_run(client, self.id).state) not in ENDED:
            assert time.monotonic() < deadline, f"still {state} after {seconds:.0f} s:\n{self.told()}"
            time.sleep(0.5)
        return str(state)

    def succeeds(self, seconds: float = PATIENCE_SECONDS) -> "Run":
        """Waits until it has ended, well."""
        state = self.ended(seconds)
        assert state == "SUCCEEDED", self.told()
        return self

    def wait_for(self, condition: Callable[["Run"], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        """Asks again and again until the answer is true, and returns it; of an ended run, only a while longer."""
        now = time.monotonic()
        deadline, going = now + seconds, now
        while not (answer := condition(self)):
            now = time.monotonic()
            going = going if self.read().state in ENDED else now
            assert now < min(deadline, going + _AFTER_SECONDS), f"not so:\n{self.told()}"
            time.sleep(0.3)
        return answer

    def tasks(self) -> dict[str, str]:
        """The tasks' states by their names, as the API tells them."""
        details = self.read().run_details
        return {task.display_name: task.state for task in (details.task_details if details else None) or ()}

    def pods(self, task: str = "") -> list[Any]:
        """The pods of its tasks' own work, the oldest first.

        Args:
            task: Only those of this task, one for each attempt.
        """
        core = self.backend.namespace.core
        found = core.list_namespaced_pod(self.backend.namespace.name, label_selector=f"{RUN_LABEL}={self.id}").items
        mine = [pod for pod in found if self._task_of(pod) and task in ("", self._task_of(pod))]
        return sorted(mine, key=lambda pod: str(pod.metadata.creation_timestamp))

    def pod(self, task: str) -> Any:
        """The pod of a task that was tried once."""
        (pod,) = self.pods(task)
        return pod

    def log(self, task: str) -> str:
        """What the last attempt of a task has said."""
        core = self.backend.namespace.core
        pod = self.pods(task)[-1]
        return str(core.read_namespaced_pod_log(pod.metadata.name, self.backend.namespace.name, container="main"))

    def jobs(self) -> list[Any]:
        """Jobs that its tasks have started and that are still there."""
        batch = self.backend.namespace.batch
        return list(
            batch.list_namespaced_job(self.backend.namespace.name, label_selector=f"{RUN_LABEL}={self.id}").items
        )

    def job_pods(self) -> list[Any]:
        """The pods of those Jobs."""
        core = self.backend.namespace.core
        selector = f"{RUN_LABEL}={self.id},batch.kubernetes.io/job-name"
        return list(core.list_namespaced_pod(self.backend.namespace.name, label_selector=selector).items)

    def workflow_bytes(self) -> int:
        """Returns the size of Argo's Workflow as it is now: the run's definition and what became of each step."""
        from kubernetes import client

        objects = client.CustomObjectsApi(self.backend.namespace.api)
        found = objects.list_namespaced_custom_object(
            *_WORKFLOWS, self.backend.namespace.name, "workflows", label_selector=f"{RUN_LABEL}={self.id}"
        )
        (workflow,) = found["items"]
        return len(json.dumps(workflow, separators=(",", ":"), ensure_ascii=False).encode())

    def terminate(self) -> None:
        """Stops it, as the button does."""
        self.backend.client().terminate_run(self.id)

    def retry(self) -> None:
        """Runs again what failed, as the button does."""
        self.backend.client().runs.run_service_retry_run(self.id)

    def told(self) -> str:
        """All that is known of it, for an error message."""
        run = self.read()
        lines = [f"run {self.id}: {run.state} {run.error}", json.dumps(self.tasks(), indent=1)]
        core = self.backend.namespace.core
        for pod in core.list_namespaced_pod(self.backend.namespace.name, label_selector=f"{RUN_LABEL}={self.id}").items:
            lines.append(
                f"== {pod.metadata.annotations.get(_NODE_NAME)}: {pod.status.phase} {pod.status.message or ''}"
            )
            if pod.status.phase != "Succeeded":
                lines.append(self._said(pod)[-3000:])
        return "\n".join(lines)

    def _said(self, pod: Any) -> str:
        from kubernetes import client

        try:
            return str(
                self.backend.namespace.core.read_namespaced_pod_log(
                    pod.metadata.name, self.backend.namespace.name, container="main"
                )
            )
        except client.ApiException as error:
            return "\n".join([str(error.body), *self.backend.namespace.events(pod.metadata.name)])

    @staticmethod
    def _task_of(pod: Any) -> str:
        found = _TASK_OF_POD.search((pod.metadata.annotations or {}).get(_NODE_NAME, ""))
        return found[1] if found else ""
