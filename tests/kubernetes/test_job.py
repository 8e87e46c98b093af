"""The build as a Job, started by the real component in a pod with the rights of manifests/ and no others."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from modelcar.cluster.connection import Cluster
from modelcar.cluster.job import delete_jobs
from modelcar.records.step_record import records_in
from modelcar.steps.build_in_job import SCHEDULE_MINUTES
from tests.kubernetes.build_jobs import CLAIM, LOGIN, SHARD_BYTES, SHARDS, arguments, held_up
from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.constraints import in_force
from tests.kubernetes.executors import Run, applied, signal_step, task_config
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import pod
from tests.kubernetes.waiting import until
from tests.parts import security_context_constraints as sccs
from tests.parts.registries import BasicAuthRegistry


def test_a_privileged_job_builds_and_its_result_comes_back(
    project: Namespace, local_cluster: LocalCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    config = task_config(CLAIM, LOGIN, node_selector={"kubernetes.io/hostname": "large"})
    given = arguments(directory, registry, build_ephemeral_storage="300Mi", task_config=config)
    with held_up(registry):
        name = run.attempt(local_cluster.image, given)
        worker = run.working_pod()
        job = run.jobs()[0]

    outputs = run.outputs(name)

    spec_, main = worker.spec, worker.spec.containers[0]
    assert (spec_.node_name, spec_.service_account_name, spec_.restart_policy) == ("large", "modelcar-build", "Never")
    assert (main.image, main.security_context.privileged) == (local_cluster.image, True)
    assert main.resources.limits == {"ephemeral-storage": "300Mi"}
    assert main.resources.requests == {"cpu": "10m", "memory": "64Mi", "ephemeral-storage": "300Mi"}
    assert job.spec.active_deadline_seconds == 12 * 3600
    assert {owner.kind for owner in job.metadata.owner_references} == {"ConfigMap", "Pod"}
    assert outputs["image"].startswith(f"{registry.host}/team/model@sha256:")
    assert outputs["sent_bytes"] > 0.9 * SHARDS * SHARD_BYTES
    log = project.log(name)
    assert f"pod {worker.metadata.name} runs on node large" in log
    assert "layers for" in log
    record = records_in(project.pod(name).status.container_statuses[0].state.terminated.message)[-1]
    assert (record.step, record.image, record.failed) == ("build", outputs["image"], False)
    # As the Job's pod saw it; the step's own pod has no claim.
    assert record.disk
    assert all(point.claim is not None for point in record.disk)
    assert run.jobs() == []
    until(lambda: not run.job_pods())


def test_without_privilege_and_task_config_the_pods_own_settings_do(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    given = arguments(
        directory, registry, build_mode="", builder="auto", task_config=None, claim=CLAIM, build_cpu="20m"
    )
    with held_up(registry):
        name = run.attempt(cluster.image, given, logins=[LOGIN])
        worker = run.working_pod()

    outputs = run.outputs(name)

    assert not worker.spec.containers[0].security_context.privileged
    assert worker.spec.security_context.run_as_user == project.pod(name).spec.security_context.run_as_user
    assert worker.spec.containers[0].resources.requests["cpu"] == "20m"
    assert outputs["image"].startswith(f"{registry.host}/team/model@sha256:")


def test_a_job_outlives_its_steps_pod_and_the_next_attempt_adopts_it(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    given = arguments(directory, registry)
    with held_up(registry):
        first = run.attempt(cluster.image, given)
        worker = run.working_pod()
        project.core.delete_namespaced_pod(first, project.name)
        until(
            lambda: first not in [each.metadata.name for each in project.core.list_namespaced_pod(project.name).items]
        )
        # As long as the garbage collector takes for an object of which no owner is left.
        time.sleep(3)
        second = run.attempt(cluster.image, given)
        project.wait(second, lambda each: "goes on with it" in project.log(second) if running(each) else False)
        job = run.jobs()[0]

    outputs = run.outputs(second)

    assert outputs["sent_bytes"] > 0.9 * SHARDS * SHARD_BYTES
    assert {owner.name for owner in job.metadata.owner_references} >= {second}
    assert first not in {owner.name for owner in job.metadata.owner_references}
    assert f"pod {worker.metadata.name} runs" in project.log(second)
    assert run.jobs() == []


def test_a_cancelled_step_leaves_no_job(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    with held_up(registry):
        name = run.attempt(cluster.image, arguments(directory, registry))
        run.working_pod()
        signal_step(project, name)
        until(lambda: not run.jobs())
        until(lambda: not run.job_pods())

    assert project.finished(name).status.container_statuses[0].state.terminated.exit_code == 143
    assert "is deleted" in project.log(name)
    assert not registry.has_tag("team/model")


def test_a_deleted_run_takes_its_job_along(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    with held_up(registry):
        run.attempt(cluster.image, arguments(directory, registry))
        run.working_pod()
        run.delete()
        until(lambda: not run.jobs())


def test_jobs_that_are_left_are_deleted_by_the_runs_label(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run, other = Run(project).start(), Run(project).start()
    with held_up(registry):
        for each in (run, other):
            each.attempt(cluster.image, arguments(directory, registry, name=each.id))
            each.working_pod()

        deleted = delete_jobs(Cluster(project.api, project.name), run.id)

        assert len(deleted) == 1
        assert run.jobs() == []
        assert len(other.jobs()) == 1


def test_two_runs_at_once_on_one_claim_do_not_disturb_each_other(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    runs = [Run(project).start(), Run(project).start()]
    with held_up(registry):
        names = [run.attempt(cluster.image, arguments(directory, registry, name=run.id)) for run in runs]
        workers = {run.working_pod().metadata.name for run in runs}

    done = [run.outputs(name) for run, name in zip(runs, names, strict=True)]

    assert len(workers) == 2
    assert len({outputs["image"].split("@")[1] for outputs in done}) == 1
    listed = pod("look", ["ls", "-a", f"{directory}/.modelcar"], cluster.image, claim=CLAIM)
    assert "build-" not in project.run(listed)


def test_a_lost_nodes_build_ends_on_another(
    project: Namespace, local_cluster: LocalCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    with held_up(registry):
        # The step itself stays on the node that is not lost.
        name = run.attempt(local_cluster.image, arguments(directory, registry), node="small")
        lost = run.working_pod()
        if lost.spec.node_name == "small":
            pytest.skip("the scheduler put both pods on one node")
        node = local_cluster.nodes[lost.spec.node_name]
        node.stop_kubelet()
        try:
            until(lambda: len(run.job_pods()) > 1)
            worker = run.working_pod()
        finally:
            node.start_kubelet()

    outputs = run.outputs(name)

    assert worker.spec.node_name == "small"
    assert outputs["image"].startswith(f"{registry.host}/team/model@sha256:")
    assert "waiting: " in project.log(name)
    assert run.jobs() == []


def test_privilege_that_the_namespace_refuses_is_explained_at_once(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    project.core.patch_namespace(project.name, {"metadata": {"labels": labels}})
    run = Run(project).start()

    name = run.attempt(cluster.image, arguments(directory, registry), seccomp="")
    error = run.error(name)

    # And not only when the Job has waited for as long as it may for a node.
    ended = project.pod(name).status.container_statuses[0].state.terminated.finished_at
    assert (ended - run.jobs()[0].metadata.creation_timestamp).total_seconds() < SCHEDULE_MINUTES * 60
    assert 'violates PodSecurity "baseline:latest": privileged' in error
    assert f"label namespace {project.name} pod-security.kubernetes.io/enforce=privileged" in error
    assert run.jobs()[0].spec.suspend


def test_privilege_without_the_binding_is_refused_and_with_it_given(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry, tmp_path: Path
) -> None:
    run = Run(project).start()
    given = arguments(directory, registry)
    rbac = client.RbacAuthorizationV1Api(cluster.api)
    with in_force(project, (sccs.RESTRICTED_V2, sccs.RESTRICTED_V3), (sccs.NESTED_CONTAINER, sccs.PRIVILEGED)):
        refused = run.error(run.attempt(cluster.image, given, seccomp=""))
        assert run.jobs()[0].spec.suspend

        applied("openshift", project, tmp_path / "openshift")
        bindings = [each.metadata.name for each in rbac.list_namespaced_role_binding(project.name).items]
        outputs = run.outputs(run.attempt(cluster.image, given, seccomp=""))

    assert "unable to validate against any security context constraint" in refused
    assert f"oc adm policy add-scc-to-user privileged -z modelcar-build -n {project.name}" in refused
    assert "modelcar-build-privileged" in bindings
    assert outputs["image"].startswith(f"{registry.host}/team/model@sha256:")


def test_a_full_claim_is_named_and_the_download_kept(
    project: Namespace, local_cluster: LocalCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    claim = local_cluster.look_into(f"{project.name}-{CLAIM}")
    with held_up(registry):
        name = run.attempt(local_cluster.image, arguments(directory, registry))
        run.working_pod()
    until(lambda: list(claim.glob("**/.modelcar/build-*/probed/manifest.json")), lambda: project.told(name))
    with (claim / "filler").open("wb") as filler:
        while True:
            try:
                os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, 1 << 20)
            except OSError:
                break

    error = run.error(name)

    assert "is full" in error
    assert "the download is kept" in error
    assert not registry.has_tag("team/model")
    (claim / "filler").unlink()
    assert run.outputs(run.attempt(local_cluster.image, arguments(directory, registry)))["image"]


def test_the_watch_survives_a_restart_of_the_api_server(
    project: Namespace, local_cluster: LocalCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    with held_up(registry):
        name = run.attempt(local_cluster.image, arguments(directory, registry))
        worker = run.working_pod()
        local_cluster.plane.stop_api_server()
        try:
            time.sleep(5)
        finally:
            local_cluster.plane.start_api_server()

    outputs = run.outputs(name)

    assert outputs["sent_bytes"] > 0.9 * SHARDS * SHARD_BYTES
    log = project.log(name)
    assert log.count(f"pod {worker.metadata.name} runs") == 1
    assert log.count("layers for") == 1


def test_a_job_waits_for_its_node_and_says_so(
    project: Namespace, local_cluster: LocalCluster, directory: str, registry: BasicAuthRegistry, label: Any
) -> None:
    selector = {"ai-build-node": project.name}
    config = task_config(CLAIM, LOGIN, node_selector=selector)
    run = Run(project).start()
    name = run.attempt(local_cluster.image, arguments(directory, registry, task_config=config))
    until(lambda: running(project.pod(name)) and "waiting: " in project.log(name), lambda: project.told(name))
    assert "didn't match Pod's node affinity/selector" in project.log(name)

    label("large", "ai-build-node", project.name)

    assert run.outputs(name)["image"]


def test_a_node_that_never_comes_is_given_up(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    given = arguments(directory, registry, build_ephemeral_storage="160Gi", schedule_minutes=0.1)

    error = run.error(run.attempt(cluster.image, given))

    assert "Insufficient ephemeral-storage" in error
    assert "build_ephemeral_storage" in error
    assert run.jobs()[0].spec.suspend
    assert run.job_pods() == []


def test_a_job_that_takes_too_long_is_ended_and_named(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    with held_up(registry):
        error = run.error(run.attempt(cluster.image, arguments(directory, registry, deadline_hours=0.01)))

    assert "ran longer than its deadline of 36 s" in error


def test_an_image_that_cannot_be_pulled_is_named(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry
) -> None:
    run = Run(project).start()
    given = arguments(directory, registry, job_image="Not An Image")

    error = run.error(run.attempt(cluster.image, given))

    assert "Not An Image" in error


def running(pod: Any) -> bool:
    return bool(pod.status.phase != "Pending")
