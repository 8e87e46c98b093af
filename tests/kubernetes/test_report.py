"""The report on failures that a real cluster makes, each in its own words and with what helps."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from modelcar.cluster.connection import Cluster
from modelcar.cluster.failures import Failure, failures
from modelcar.cluster.job import OUR_LABELS
from modelcar.cluster.run_state import RUN_LABEL, RunState
from modelcar.records.disk_usage import MAX_POINTS, Point
from modelcar.records.step_record import StepRecord
from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import pod, run_in
from tests.kubernetes.stats import ephemeral_bytes
from tests.kubernetes.waiting import PATIENCE_SECONDS, until
from tests.parts.run_pods import Run

NOWHERE = "registry.invalid/none/none:1"
GRANTED = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "report"},
    "rules": [
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["list"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list", "delete"]},
    ],
}
BOUND = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "report"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "report"},
    "subjects": [{"kind": "ServiceAccount", "name": "default"}],
}
REPORT = """
import sys, time
from modelcar.steps.report.page import EndedRun
from modelcar.steps.report.report import report
begun = time.monotonic()
done = report(EndedRun(sys.argv[1], "RUNNING", model="example/tiny-llama", target="quay.io/team/model:1"))
print(done.markdown)
print("seconds:", time.monotonic() - begun, "failed:", done.failed)
"""
FAILS = """
import sys
from modelcar.errors import BuildError
from modelcar.records.step_record import recorded
from modelcar.records.termination_message import exit_with_one_line
with recorded("build") as record, exit_with_one_line():
    record.moved_bytes = 17
    raise BuildError("a file is larger than max_layer_size", "Raise it")
"""


@pytest.fixture
def run(namespace: Namespace) -> Run:
    """Give a run without any pods."""
    return Run(namespace.api, namespace.name)


@pytest.fixture
def image(cluster: AnyCluster) -> str:
    """Give the image with our code."""
    return str(cluster.image)


@pytest.fixture
def reported(namespace: Namespace, image: str) -> Callable[[str], str]:
    """Give a function that reports on a run from within a pod of the namespace, and returns what it says."""

    def report(run_id: str) -> str:
        return namespace.run(pod("report", ["python3", "-c", REPORT, run_id], image))

    return report


def state_of(run: Run) -> RunState:
    return RunState.read(Cluster(run.core.api_client, run.namespace), run.id)


def failure(run: Run, reason: str, *, node_need: int = 0) -> Failure:
    """The first failure, as soon as it is the one that is expected."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    found: list[Failure] = []
    while time.monotonic() < deadline:
        state = state_of(run)
        found = failures(state, node_need)
        if found and found[0].reason == reason:
            return found[0]
        time.sleep(0.5)
    pods = [run.core.api_client.sanitize_for_serialization(pod.status) for pod in state.pods]
    raise AssertionError(f"not {reason}, but {found}\n{json.dumps(pods, indent=1)}")


def sh(image: str, script: str, **more: Any) -> dict[str, Any]:
    return {"image": image, "command": ["sh", "-c", script], **more}


def limits(**values: str) -> dict[str, Any]:
    quantities = {key.replace("_", "-"): value for key, value in values.items()}
    return {"resources": {"limits": quantities, "requests": quantities}}


def test_eviction_is_named_with_what_was_used_asked_for_and_predicted(run: Run, local_cluster: LocalCluster) -> None:
    write = "dd if=/dev/zero of=/tmp/$((n=n+1)) bs=1M 2>/dev/null"
    begin = "until [ -e /tmp/begin ]; do sleep 0.2; done"
    script = f"{write} count=1; {begin}; while {write} count=100; do sleep 0.3; done; sleep 600"
    build = {"nodeSelector": {"kubernetes.io/hostname": "small"}}
    name = run.pod("build", build, main=sh(local_cluster.image, script))
    # The kubelet tells what a pod used only if it has counted it before it evicts it.
    until(lambda: (ephemeral_bytes(local_cluster.api, "small", run.namespace, name) or 0) >= 1 << 20, "a count")
    run_in(local_cluster.api, run.namespace, name, "touch /tmp/begin")

    found = failure(run, "Evicted", node_need=16 << 20)

    assert found.step == "build"
    assert found.what.startswith("build was evicted from node small: The node was low on resource: ephemeral-storage.")
    # How much it is depends on what else is on the node's disk.
    used = r"main used [\d.]+ [MG]B, had asked for no ephemeral-storage, preflight had predicted 16.8 MB\)"
    assert re.search(used, found.what)
    assert "oc label node <name> ai-build-node=true" in found.remedy


def test_a_limit_that_was_overstepped_is_named(run: Run, image: str) -> None:
    script = "dd if=/dev/zero of=/tmp/file bs=1M count=200; sleep 600"
    run.pod("build", {}, main=sh(image, script, **limits(ephemeral_storage="50Mi")))

    found = failure(run, "Evicted")

    assert "50Mi" in found.what
    assert "had asked for 50Mi of ephemeral-storage" in found.what
    assert "Raise build_ephemeral_storage" in found.remedy


def test_too_little_memory_is_named(run: Run, image: str) -> None:
    script = "import time; held = bytearray(200 << 20); time.sleep(600)"
    main = {"image": image, "command": ["python3", "-c", script], **limits(memory="64Mi")}
    run.pod("build", {}, main=main)

    found = failure(run, "OOMKilled")

    assert found.what == (
        "build ran out of memory: container main needed more than its limit of 64Mi and was killed (OOMKilled)"
    )
    assert found.remedy.startswith("Raise build_memory")


def test_no_node_has_the_label(run: Run) -> None:
    run.pod("build", {"nodeSelector": {"ai-build-node": "true"}}, main={"image": NOWHERE})

    found = failure(run, "Unschedulable")

    assert "didn't match Pod's node affinity/selector" in found.what
    assert found.what.endswith("(it asks for the label ai-build-node=true)")
    assert "`oc label node <name> ai-build-node=true`" in found.remedy


def test_no_node_has_160gi(run: Run) -> None:
    run.pod("build", {}, main={"image": NOWHERE, **limits(ephemeral_storage="160Gi")})

    found = failure(run, "Unschedulable")

    assert "Insufficient ephemeral-storage" in found.what
    assert found.what.endswith("(it asks for 160Gi of ephemeral-storage)")
    assert "lower build_ephemeral_storage" in found.remedy


def test_claim_that_is_not_there(run: Run) -> None:
    volumes = [{"name": "claim", "persistentVolumeClaim": {"claimName": "nowhere"}}]
    run.pod("download", {"volumes": volumes}, main={"image": NOWHERE})

    found = failure(run, "Unschedulable")

    assert 'persistentvolumeclaim "nowhere" not found' in found.what
    assert "oc get pvc" in found.remedy


def test_secret_that_is_not_there(run: Run, image: str) -> None:
    reference = {"secretKeyRef": {"name": "nowhere", "key": "token"}}
    run.pod("register", {}, main=sh(image, "true", env=[{"name": "TOKEN", "valueFrom": reference}]))

    found = failure(run, "CreateContainerConfigError")

    assert found.what == 'register could not start container main: secret "nowhere" not found'
    assert f"`oc get secret -n {run.namespace}`" in found.remedy


def test_volume_that_cannot_be_mounted(run: Run, image: str) -> None:
    volumes = [{"name": "login", "secret": {"secretName": "nowhere"}}]
    mounts = [{"name": "login", "mountPath": "/login"}]
    run.pod("mirror", {"volumes": volumes}, main=sh(image, "true", volumeMounts=mounts))

    found = failure(run, "FailedMount")

    assert 'secret "nowhere" not found' in found.what
    assert "Make the secret nowhere" in found.remedy


def test_image_that_cannot_be_pulled(run: Run) -> None:
    run.pod("mirror", {}, main={"image": NOWHERE})

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := failures(state_of(run))) and time.monotonic() < deadline:
        time.sleep(0.5)

    assert found[0].reason == "ErrImagePull"
    assert f"its image {NOWHERE} cannot be pulled" in found[0].what
    assert "registry.invalid" in found[0].what.partition("pulled:")[2]
    assert "image_pull_secret; now: none" in found[0].remedy


def test_deadline(run: Run, image: str) -> None:
    run.pod("build", {"activeDeadlineSeconds": 3}, main=sh(image, "sleep 600"))

    found = failure(run, "DeadlineExceeded")

    assert found.what.startswith("build ran longer than its deadline of 3 s: Pod was active on the node longer")


def test_deadline_of_a_job_that_never_found_a_node(run: Run) -> None:
    owner = run.pod("build-in-job", {}, main={"image": NOWHERE})
    spec = {"nodeSelector": {"ai-build-node": "true"}}
    run.job("build", spec, main={"image": NOWHERE}, owner=owner, job_spec={"activeDeadlineSeconds": 3})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(job.status.conditions for job in state_of(run).jobs) and time.monotonic() < deadline:
        time.sleep(0.5)

    (found,) = failures(state_of(run))

    assert (found.step, found.reason) == ("build-in-job", "Unschedulable")
    assert "didn't match Pod's node affinity/selector" in found.what


def test_quota(run: Run, namespace: Namespace) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.ephemeral-storage": "1Gi"}}}
    namespace.core.create_namespaced_resource_quota(namespace.name, quota)
    run.job("build", {}, main={"image": NOWHERE, **limits(ephemeral_storage="2Gi")})

    found = failure(run, "FailedCreate")

    assert "exceeded quota: small, requested: requests.ephemeral-storage=2Gi" in found.what
    assert f"`oc describe quota small -n {namespace.name}`" in found.remedy


def test_limit_range(run: Run, namespace: Namespace) -> None:
    largest = {"type": "Container", "max": {"ephemeral-storage": "1Gi"}}
    body = {"metadata": {"name": "small"}, "spec": {"limits": [largest]}}
    namespace.core.create_namespaced_limit_range(namespace.name, body)
    run.job("build", {}, main={"image": NOWHERE, **limits(ephemeral_storage="2Gi")})

    found = failure(run, "FailedCreate")

    assert "maximum ephemeral-storage usage per Container is 1Gi, but limit is 2Gi" in found.what
    assert "oc describe limitrange" in found.remedy


def test_privileged_is_refused(run: Run, namespace: Namespace) -> None:
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    namespace.core.patch_namespace(namespace.name, enforced)
    run.job("build", {}, main={"image": NOWHERE, "securityContext": {"privileged": True}})

    found = failure(run, "FailedCreate")

    assert 'violates PodSecurity "baseline:latest": privileged' in found.what
    assert f"oc label namespace {namespace.name} pod-security.kubernetes.io/enforce=privileged" in found.remedy
    assert "build_mode=pod" in found.remedy


def test_service_account_that_is_not_there(run: Run) -> None:
    run.job("build", {"serviceAccountName": "modelcar-build"}, main={"image": NOWHERE})

    found = failure(run, "FailedCreate")

    assert 'serviceaccount "modelcar-build" not found' in found.what
    assert "oc create serviceaccount modelcar-build" in found.remedy


def test_own_error_comes_with_the_record(run: Run, image: str) -> None:
    run.pod("build", {}, main={"image": image, "command": ["python3", "-c", FAILS]})

    found = failure(run, "Error")

    assert found.what == "build failed: a file is larger than max_layer_size. Raise it"
    (record,) = state_of(run).records()
    assert (record.step, record.failed, record.moved_bytes) == ("build", True, 17)
    assert record.disk[0].node


def test_longest_record_survives_in_a_pod_with_four_containers(run: Run, image: str) -> None:
    record = StepRecord(step="build", start=1_780_000_000.1, end=1_780_009_000.1, failed=True)
    record.disk = [Point(seconds=n * 150.1, claim=10**9 - n, node=10**8 - n) for n in range(MAX_POINTS)]
    text = f"error: {'a long error. ' * 60}\n{record.line()}\n"
    beside = {"image": image, "command": ["sh", "-c", "sleep 1"]}
    spec = {
        "initContainers": [{"name": name, **beside} for name in ("init", "kfp-launcher")],
        "containers": [{"name": "wait", **beside}],
    }
    env = [{"name": "TEXT", "value": text}]
    run.pod("build", spec, main=sh(image, 'printf %s "$TEXT" >/dev/termination-log; exit 1', env=env))

    found = failure(run, "Error")

    assert found.what.startswith("build failed: a long error. a long error.")
    (kept,) = state_of(run).records()
    assert kept.disk[-1].seconds == record.disk[-1].seconds
    assert len(kept.disk) >= 20


def test_what_a_later_attempt_mended_is_no_failure(run: Run, namespace: Namespace, image: str) -> None:
    first = run.pod("mirror", {}, main=sh(image, "exit 1"))
    namespace.finished(first)
    assert [each.step for each in failures(state_of(run))] == ["mirror"]
    time.sleep(1)
    second = run.pod("mirror", {}, main=sh(image, "exit 0"), attempt=1)
    namespace.finished(second)

    assert failures(state_of(run)) == []


def test_pod_that_is_gone_is_known_by_its_events(run: Run, namespace: Namespace) -> None:
    kept = run.pod("download", {"nodeSelector": {"somewhere": "else"}}, main={"image": NOWHERE})
    gone = run.pod("build", {"nodeSelector": {"ai-build-node": "true"}}, main={"image": NOWHERE})
    failure(run, "Unschedulable")
    namespace.wait(gone, lambda pod: any(each.type == "PodScheduled" for each in pod.status.conditions or []))
    while not namespace.events(gone):
        time.sleep(0.2)
    for name in (gone, kept):
        namespace.core.delete_namespaced_pod(name, namespace.name, grace_period_seconds=0)
    run.pod("download", {"nodeSelector": {"somewhere": "else"}}, main={"image": NOWHERE}, attempt=1)
    failure(run, "Unschedulable")

    found = failures(state_of(run))

    assert "a step found no node to run on: 0/" in found[-1].what


def test_report_reads_and_tidies_with_little_permission(
    run: Run, namespace: Namespace, image: str, reported: Callable[[str], str]
) -> None:
    namespace.create(GRANTED, BOUND)
    namespace.finished(run.pod("build", {}, main={"image": image, "command": ["python3", "-c", FAILS]}))
    run.job("build", {}, main=sh(image, "sleep 600"), labels=OUR_LABELS)

    said = reported(run.id)

    assert "# The run failed at *build*" in said
    assert "build failed: a file is larger than max\\_layer\\_size. Raise it" in said
    assert "Could not" not in said
    assert namespace.batch.list_namespaced_job(namespace.name, label_selector=f"{RUN_LABEL}={run.id}").items == []
    assert float(said.rpartition("seconds: ")[2].split()[0]) < 10


def test_report_without_any_permission_says_so(run: Run, reported: Callable[[str], str]) -> None:
    said = reported(run.id)

    assert "Could not be read: the cluster refused to list pods" in said
    assert "Could not remove the run's Jobs" in said
    assert said.rstrip().endswith("failed: False")
