"""The buildah pipeline on a real Kubeflow Pipelines: uploaded and started as a person would, by the stock client."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from modelcar.cluster.queue import QUEUE
from tests.kubernetes.conftest import KUEUE_QUEUE
from tests.kubernetes.kfp import project
from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.kfp.objects import STORE_SECRET
from tests.kubernetes.kfp.runs import ENDED, Pipeline, Run
from tests.kubernetes.kfp.surroundings import MIRROR_SECRET, TARGET_SECRET, Surroundings
from tests.kubernetes.kfp.whole_run import DISK, MODEL, NODE_LABEL, TAINT, WholeRun, node_for_builds
from tests.parts.models import tiny_llama

NARROW = "modelcar-pipeline"
"""As manifests/namespace/pipeline-account.yaml calls it."""


@pytest.fixture
def pipeline(whole_run: WholeRun) -> Pipeline:
    return whole_run.pipeline


@pytest.fixture
def parameters(whole_run: WholeRun) -> dict[str, Any]:
    return whole_run.parameters


@pytest.fixture
def first(whole_run: WholeRun) -> Run:
    return whole_run.run


@pytest.fixture(scope="module")
def labelled(kfp_backend: Backend, whole_run: WholeRun) -> Iterator[str]:
    """Give a node the label that builds ask for."""
    with node_for_builds(kfp_backend) as node:
        yield node


def test_the_model_is_in_both_registries_and_has_an_entry(first: Run, kfp_surroundings: Surroundings) -> None:
    pushed = kfp_surroundings.target.digest("team/whole-way", "1.0")
    found = requests.get(
        f"{kfp_surroundings.entries.url}/api/model_registry/v1alpha3/model_artifacts", timeout=600
    ).json()["items"]

    assert kfp_surroundings.mirror.digest("models/whole-way", "1.0") == pushed
    assert [item["uri"] for item in found if pushed in item["uri"]], found


def test_the_report_has_read_from_the_image_how_it_is_served(first: Run) -> None:
    """The registries give nothing to those without a login."""
    assert "Could not" not in first.log("report")


def test_the_build_has_its_node_its_claim_and_its_disk(first: Run, labelled: str) -> None:
    spec = first.pod("build").spec
    (main,) = [container for container in spec.containers if container.name == "main"]
    claims = {
        volume.persistent_volume_claim.claim_name: volume.name
        for volume in spec.volumes
        if volume.persistent_volume_claim
    }
    mounted = {mount.name: mount.mount_path for mount in main.volume_mounts}

    assert spec.node_selector == {NODE_LABEL: "true"}
    assert spec.node_name == labelled
    assert TAINT in [{key: getattr(each, key) for key in TAINT} for each in spec.tolerations]
    assert mounted[claims[project.CLAIM]] == "/modelcar"
    assert main.resources.limits["ephemeral-storage"] == DISK
    assert main.resources.requests["ephemeral-storage"] == DISK
    assert (main.resources.requests["cpu"], main.resources.requests["memory"]) == ("1", "1Gi")


def test_every_step_waits_in_the_queue_that_was_named(first: Run) -> None:
    assert {pod.metadata.labels.get(QUEUE) for pod in first.pods()} == {KUEUE_QUEUE}


def test_only_steps_that_log_in_have_a_login(first: Run) -> None:
    secrets = {
        task: {volume.secret.secret_name for volume in first.pod(task).spec.volumes if volume.secret} - {STORE_SECRET}
        for task in ("preflight", "download", "build", "mirror", "register", "report")
    }

    both = {TARGET_SECRET, MIRROR_SECRET}
    assert secrets == {
        "preflight": {
            *both,
            "huggingface-token",
            "modelcar-model-registry",
            "modelcar-signing-key",
            "modelcar-source",
        },
        "download": {"huggingface-token", "modelcar-source"},
        "build": {TARGET_SECRET, "modelcar-signing-key"},
        "mirror": both,
        "register": {*both, "modelcar-model-registry"},
        "report": both,
    }


def test_a_retried_run_downloads_only_what_is_missing(
    kfp_backend: Backend,
    pipeline: Pipeline,
    parameters: dict[str, Any],
    kfp_surroundings: Surroundings,
    tmp_path: Path,
    labelled: str,
) -> None:
    hub, claim = kfp_surroundings.hub, kfp_backend.cluster.look_into(f"{PROJECT}-{project.CLAIM}")
    model = tiny_llama(tmp_path / "model", seed=3)
    hub.publish("example/interrupted", model)
    *others, late = sorted(model.glob("model-*.safetensors"))
    # Tried again until the others are there; then it fails for good.
    hub.status(f"/{late.name}", 503, times=None)
    target = f"{kfp_surroundings.target.host}/team/interrupted:1.0"
    given = {**parameters, "model": "example/interrupted", "target": target, "mirror_target": ""}
    run = pipeline.start("interrupted", given)
    place = "example--interrupted/*"
    run.wait_for(lambda _: all(list(claim.glob(f"{place}/{shard.name}")) for shard in others))
    hub.faults.clear()
    hub.status(f"/{late.name}", 404, times=None)
    assert run.ended() == "FAILED"
    assert late.name in run.log("download")
    assert run.pods("report")[-1].status.phase == "Succeeded"
    hub.faults.clear()
    served = hub.bytes_served

    run.retry()
    run.wait_for(lambda run: run.read().state not in ENDED)

    assert run.succeeds()
    assert late.stat().st_size <= hub.bytes_served - served < late.stat().st_size + (64 << 10)
    assert kfp_surroundings.target.digest("team/interrupted", "1.0")


def test_again_it_ends_soon_and_moves_no_weights(
    first: Run, pipeline: Pipeline, parameters: dict[str, Any], kfp_surroundings: Surroundings
) -> None:
    served = kfp_surroundings.hub.bytes_served

    second = pipeline.start("second", parameters).succeeds()

    assert kfp_surroundings.hub.bytes_served - served < 1 << 20
    assert {pod_task for pod_task in ("download", "build", "mirror", "register") if second.pods(pod_task)} == set()
    assert second.pods("report")


def test_two_runs_at_once_on_one_claim_and_target_both_end_well(
    pipeline: Pipeline, parameters: dict[str, Any], kfp_surroundings: Surroundings, tmp_path: Path, labelled: str
) -> None:
    """The dashboard's form for schedules allows ten at once, and nothing keeps two people from it."""
    hub, target = kfp_surroundings.hub, kfp_surroundings.target
    hub.publish("example/at-once", tiny_llama(tmp_path / "model", seed=5))
    given = {**parameters, "model": "example/at-once", "target": f"{target.host}/team/at-once:1", "mirror_target": ""}
    runs = [pipeline.start(f"at once {number}", given) for number in range(2)]

    reports = [run.succeeds().log("report") for run in runs]

    image = f"{target.host}/team/at-once@{target.digest('team/at-once')}"
    assert [image in report for report in reports] == [True, True], reports


@pytest.fixture
def in_job(parameters: dict[str, Any], kfp_surroundings: Surroundings) -> dict[str, Any]:
    """Give what a person fills in for a build in a Job, of an image that is not there yet."""
    target = f"{kfp_surroundings.target.host}/team/in-job:{time.monotonic_ns()}"
    return {**parameters, "target": target, "mirror_target": "", "model_registry": "", "build_mode": "job"}


def test_a_job_gets_what_the_build_would_have_had(
    first: Run, pipeline: Pipeline, in_job: dict[str, Any], labelled: str
) -> None:
    run = pipeline.start("in a Job", in_job)
    (worker,) = run.wait_for(lambda run: run.job_pods())
    (job,) = run.jobs()
    run.succeeds()

    spec = worker.spec
    (container,) = spec.containers
    (claim,) = [volume.persistent_volume_claim for volume in spec.volumes if volume.persistent_volume_claim]
    assert run.jobs() == []
    # Kueue counts the Job, and so not its pod as well.
    assert job.metadata.labels[QUEUE] == KUEUE_QUEUE
    assert QUEUE not in worker.metadata.labels
    assert spec.node_selector == {NODE_LABEL: "true"}
    assert TAINT in [{key: getattr(each, key) for key in TAINT} for each in spec.tolerations]
    assert claim.claim_name == project.CLAIM
    assert spec.service_account_name == "modelcar-build"
    assert container.security_context.privileged
    assert container.resources.requests["ephemeral-storage"] == DISK
    assert container.resources.limits["ephemeral-storage"] == DISK
    assert (container.resources.requests["cpu"], container.resources.requests["memory"]) == ("1", "1Gi")
    (main,) = [each for each in run.pod("build-in-job").spec.containers if each.name == "main"]
    assert "ephemeral-storage" not in (main.resources.limits or {})
    assert not run.pods("build")
    assert not first.pods("build-in-job")


def test_the_narrow_account_is_enough_for_a_build_in_a_user_namespace(
    pipeline: Pipeline, in_job: dict[str, Any], labelled: str
) -> None:
    run = pipeline.start("narrow", {**in_job, "build_mode": "nested"}, service_account=NARROW)
    (worker,) = run.wait_for(lambda run: run.job_pods())
    run.succeeds()

    assert worker.spec.host_users is False
    assert {pod.spec.service_account_name for pod in run.pods()} == {NARROW}
    assert run.jobs() == []
    for task in ("preflight", "report"):
        assert "forbidden" not in run.log(task)


def test_a_terminated_run_leaves_no_job(
    kfp_backend: Backend, pipeline: Pipeline, in_job: dict[str, Any], labelled: str
) -> None:
    core = kfp_backend.namespace.core
    run = pipeline.start("terminated", in_job)
    run.wait_for(lambda run: run.pods("download"))
    core.patch_node(labelled, {"metadata": {"labels": {NODE_LABEL: None}}})
    try:
        run.wait_for(lambda run: run.jobs())
        run.terminate()

        # What a person sees in the end, as of a run that failed by itself.
        assert run.ended() == "FAILED"
        assert "CANCELING" in [each.state for each in run.read().state_history]
        assert run.jobs() == []
        assert f"{MODEL} is " not in run.log("report")
    finally:
        core.patch_node(labelled, {"metadata": {"labels": {NODE_LABEL: "true"}}})
