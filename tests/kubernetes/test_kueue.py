"""Runs that wait in a queue of Kueue's: nothing starts without quota, everything with it, in pods and in a Job."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar.cluster import job as jobs
from modelcar.cluster.connection import Cluster
from modelcar.cluster.queue import QUEUE
from tests.kubernetes.conftest import KUEUE_QUEUE
from tests.kubernetes.kfp.backend import Backend
from tests.kubernetes.kfp.runs import Pipeline, Run
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.kubernetes.kueue import admitted, change_quota, kueue, make_queue, waiting_for
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import pod
from tests.kubernetes.waiting import until
from tests.parts.models import tiny_llama

MODEL = "example/queued"
NONE = {"cpu": "0", "memory": "0", "ephemeral-storage": "0"}
ENOUGH = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "8Gi"}


@pytest.fixture(scope="module")
def queue(local_cluster: LocalCluster, kfp_backend: Backend) -> Iterator[str]:
    """Run Kueue, with a queue that has no quota yet."""
    with kueue(local_cluster, kfp_backend.namespace):
        make_queue(kfp_backend.namespace, KUEUE_QUEUE, NONE)
        yield KUEUE_QUEUE


@pytest.fixture
def run(
    queue: str, kfp_backend: Backend, compiled_for_backend: Path, kfp_surroundings: Surroundings, tmp_path: Path
) -> Run:
    """Start a run whose build is in a Job."""
    pipeline = Pipeline.upload(kfp_backend, compiled_for_backend / "model-to-registry.yaml", "Queued")
    kfp_surroundings.hub.publish(MODEL, tiny_llama(tmp_path / "model"))
    given = {"model": MODEL, "target": f"{kfp_surroundings.target.host}/team/queued:1", "build_mode": "job"}
    return pipeline.start("queued", given)


def status(backend: Backend, run: Run) -> str:
    """Give what the command says of a run."""
    command = [Path(sys.executable).with_name("modelcar"), "status", "--server", backend.url, run.id]
    environment = {**os.environ, "KUBECONFIG": str(backend.cluster.kubeconfig), "NO_PROXY": "*", "COLUMNS": "200"}
    options = ["--namespace", backend.namespace.name]
    return subprocess.run([*command, *options], env=environment, check=True, capture_output=True, text=True).stdout


def gates(pod: Any) -> set[str]:
    return {gate.name for gate in pod.spec.scheduling_gates or ()}


def test_steps_and_job_wait_until_there_is_quota(
    run: Run, queue: str, kfp_backend: Backend, kfp_surroundings: Surroundings
) -> None:
    (waiting,) = run.wait_for(lambda run: [pod for pod in run.pods("preflight") if gates(pod)])
    assert "kueue.x-k8s.io/admission" in gates(waiting)
    assert admitted(kfp_backend.namespace) == set()
    assert f"waits in the queue {queue} to be admitted" in status(kfp_backend, run)

    change_quota(kfp_backend.namespace, queue, ENOUGH)
    # Which is deleted when it is done.
    run.wait_for(lambda run: {job.metadata.name for job in run.jobs()} & admitted(kfp_backend.namespace))
    run.succeeds()

    assert {pod.metadata.name for pod in run.pods()} <= admitted(kfp_backend.namespace)
    assert kfp_surroundings.target.has_tag("team/queued")


def start_job(project: Namespace, name: str, queue: str, requests: dict[str, str]) -> None:
    """Makes a Job that does nothing, in a queue."""
    spec = pod("", ["sleep", "infinity"], project.cluster.image, seccomp="", requests=requests)["spec"]
    body = {"metadata": {"name": name, "labels": {QUEUE: queue}}, "spec": {"suspend": True, "template": {"spec": spec}}}
    project.batch.create_namespaced_job(project.name, body)


def active_pods(project: Namespace, name: str) -> int:
    return int(project.batch.read_namespaced_job(name, project.name).status.active or 0)


def test_a_job_that_was_given_up_is_not_started_again(queue: str, kfp_backend: Backend) -> None:
    """Its step suspends it, for the report to read; Kueue would start it again where there is quota."""
    project, name = kfp_backend.namespace, "given-up"
    change_quota(project, queue, ENOUGH)
    start_job(project, name, queue, {"cpu": "10m"})
    until(lambda: active_pods(project, name) == 1, "Kueue admits the Job")

    jobs.suspend(Cluster(project.api, project.name), name)
    until(lambda: active_pods(project, name) == 0, "the Job has no pod")
    # Longer than Kueue takes to look again, which a change brings about.
    project.batch.patch_namespaced_job(name, project.name, {"metadata": {"annotations": {"looked": "at"}}})
    time.sleep(3)

    assert project.batch.read_namespaced_job(name, project.name).spec.suspend
    assert active_pods(project, name) == 0
    jobs.delete(Cluster(project.api, project.name), name)


def test_a_queue_must_count_the_nodes_disk_which_builds_request(queue: str, kfp_backend: Backend) -> None:
    """As docs/questions.md says."""
    project, name = kfp_backend.namespace, "on-disk"
    change_quota(project, queue, {resource: ENOUGH[resource] for resource in ("cpu", "memory")})
    start_job(project, name, queue, {"cpu": "10m", "ephemeral-storage": "1Mi"})

    until(lambda: "ephemeral-storage" in waiting_for(project, name), "Kueue says what the queue does not count")
    assert active_pods(project, name) == 0
    change_quota(project, queue, ENOUGH)

    until(lambda: active_pods(project, name) == 1, "Kueue admits the Job")
    jobs.delete(Cluster(project.api, project.name), name)
