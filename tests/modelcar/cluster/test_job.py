"""A Job as it is sent to Kubernetes: what it takes over from the task and the step's pod, its name, and its end."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kubernetes import client

from modelcar import pod
from modelcar.bootstrap.command import Bootstrapped
from modelcar.cluster.executor import Executor
from modelcar.cluster.hindrance import START_SECONDS, hindrance
from modelcar.cluster.job import Work, manifest
from modelcar.cluster.run_state import RunState
from modelcar.cluster.task import TaskConfig
from modelcar.errors import PlanError
from modelcar.image.request import ImageRequest
from modelcar.steps.build import BuildRequest

LOGIN = {"name": "login", "mountPath": "/var/run/secrets/modelcar/target"}
CA = {"name": "custom-ca", "mountPath": "/kfp/certs"}
POD: dict[str, Any] = {
    "metadata": {
        "name": "executor",
        "uid": "pod-uid",
        "namespace": "team",
        "labels": {"pipeline/runid": "run-1"},
        "ownerReferences": [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "name": "model-to-registry-x",
                "uid": "workflow-uid",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    },
    "spec": {
        "serviceAccountName": "pipeline-runner-dspa",
        "imagePullSecrets": [{"name": "pull"}],
        "securityContext": {"fsGroup": 1000700000, "seLinuxOptions": {"level": "s0:c27,c4"}},
        "volumes": [
            {"name": "login", "secret": {"secretName": "modelcar-target-registry", "optional": True}},
            {"name": "custom-ca", "configMap": {"name": "ca"}},
            {"name": "unused", "secret": {"secretName": "of-another-container"}},
            {"name": "kfp-launcher", "emptyDir": {}},
            {"name": "kube-api-access", "projected": {"sources": []}},
        ],
        "containers": [
            {"name": "wait", "image": "argoexec", "volumeMounts": [{"name": "unused", "mountPath": "/x"}]},
            {
                "name": "main",
                "image": "registry.example/steps:1",
                "env": [
                    {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "ARGO_TEMPLATE", "value": "{}"},
                    {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
                ],
                "volumeMounts": [
                    LOGIN,
                    CA,
                    {"name": "kfp-launcher", "mountPath": "/kfp-launcher"},
                    {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
                ],
                "securityContext": {"runAsUser": 1000700000, "allowPrivilegeEscalation": False},
            },
        ],
    },
}


def given(**fields: Any) -> TaskConfig:
    return TaskConfig.from_task_config(dsl.TaskConfig(**fields))


def work(**changes: Any) -> Work:
    wanted = BuildRequest(directory=Path("/modelcar/x"), image=ImageRequest("quay.io/x/y:1"))
    settings = {
        "step": "build",
        "command": ["python3", "-P", "-m", "modelcar.steps.build_in_job", wanted.model_dump_json()],
        "task": given(),
        "service_account": "modelcar-build",
    }
    return Work(**{**settings, **changes})


def made(**changes: Any) -> dict[str, Any]:
    return manifest(work(**changes), Executor(POD))


def pod_of(job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = job["spec"]["template"]["spec"]
    return spec, spec["containers"][0]


def test_what_was_not_set_is_empty_and_what_was_set_is_taken_as_it_is() -> None:
    assert TaskConfig.from_task_config(None) == TaskConfig.from_task_config(dsl.TaskConfig()) == TaskConfig()
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
    task = given(
        resources={"limits": {"ephemeral-storage": "2Gi"}},
        node_selector={"ai-build-node": "true"},
        tolerations=[{"key": "infra", "operator": "Exists"}],
        affinity=affinity,
        env=[{"name": "A", "value": "1"}],
        volumes=[{"name": "modelcar", "persistentVolumeClaim": {"claimName": "modelcar"}}],
        volume_mounts=[{"name": "modelcar", "mountPath": "/modelcar"}],
    )

    spec, container = pod_of(made(task=task))

    assert spec["nodeSelector"] == {"ai-build-node": "true"}
    assert spec["affinity"] == affinity
    assert spec["tolerations"][0] == {"key": "infra", "operator": "Exists"}
    assert container["resources"] == {"limits": {"ephemeral-storage": "2Gi"}}
    assert {"name": "A", "value": "1"} in container["env"]
    assert {"name": "modelcar", "persistentVolumeClaim": {"claimName": "modelcar"}} in spec["volumes"]
    assert {"name": "modelcar", "mountPath": "/modelcar"} in container["volumeMounts"]


def test_a_claim_that_is_mounted_twice_is_one_volume() -> None:
    volume = {"name": "modelcar", "persistentVolumeClaim": {"claimName": "modelcar"}}
    mounts = [{"name": "modelcar", "mountPath": path} for path in ("/modelcar", "/modelcar", "/other")]

    task = given(volumes=[volume, volume], volume_mounts=mounts)

    assert task.volumes == [volume]
    assert [mount["mountPath"] for mount in task.volume_mounts] == ["/modelcar", "/other"]


def test_single_settings_give_what_the_task_configuration_would() -> None:
    named = TaskConfig.from_parameters(
        claim="models",
        node_selector={"ai-build-node": "true"},
        tolerations=[{"key": "infra"}],
        cpu="500m",
        memory="1Gi",
    )

    assert named == given(
        resources={"requests": {"cpu": "500m", "memory": "1Gi"}},
        node_selector={"ai-build-node": "true"},
        tolerations=[{"key": "infra"}],
        volumes=[{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
        volume_mounts=[{"name": "models", "mountPath": "/modelcar"}],
    )
    assert TaskConfig.from_parameters() == TaskConfig()
    with pytest.raises(PlanError, match=r"node_selector\.ai-build-node is True.*\"ai-build-node\": \"true\""):
        TaskConfig.from_parameters(node_selector={"ai-build-node": True})  # type: ignore[dict-item]


def test_a_setting_goes_before_the_tasks_and_limits_the_storage() -> None:
    task = given(resources={"limits": {"ephemeral-storage": "9Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}})

    joined = TaskConfig.from_parameters(cpu="2").joined(task).with_ephemeral_storage("3Gi")

    assert joined.resources == {
        "requests": {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "3Gi"},
        "limits": {"ephemeral-storage": "3Gi"},
    }
    assert task.with_ephemeral_storage("") == task


def test_the_job_takes_over_what_the_steps_pod_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/kfp/certs/ca.crt")

    spec, container = pod_of(made())

    assert container["image"] == "registry.example/steps:1"
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert container["volumeMounts"] == [LOGIN, CA]
    assert [volume["name"] for volume in spec["volumes"]] == ["login", "custom-ca"]
    assert container["env"] == [
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "SSL_CERT_FILE", "value": "/kfp/certs/ca.crt"},
    ]
    assert pod_of(made(image="other:1"))[1]["image"] == "other:1"


def test_authorities_that_the_launcher_joined_are_joined_in_the_job_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "/tmp/ca-bundle-2245173925.crt")

    _, container = pod_of(
        made(command=["sh", "-c", 'echo "$SSL_CERT_FILE" "$REQUESTS_CA_BUNDLE"; cat "$SSL_CERT_FILE"'])
    )

    assert [entry["name"] for entry in container["env"]] == ["HTTPS_PROXY"]
    authority = tmp_path / "ca.crt"
    authority.write_text("the cluster's own\n")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [str(authority) if part == "/kfp/certs/ca.crt" else part for part in container["command"]]
    first, *bundle = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    one, other = first.split()
    assert one == other != "/tmp/ca-bundle-2245173925.crt"
    assert bundle[-1] == "the cluster's own"


def test_it_is_privileged_only_if_that_is_asked_for() -> None:
    spec, container = pod_of(made())
    assert container["securityContext"] == {"runAsUser": 1000700000, "allowPrivilegeEscalation": False}
    assert spec["securityContext"] == POD["spec"]["securityContext"]

    spec, container = pod_of(made(privilege="privileged"))
    assert container["securityContext"] == {"privileged": True, "runAsUser": 0}
    assert spec["securityContext"] == {"fsGroup": 1000700000}


def test_nested_it_is_any_user_of_a_user_namespace_of_its_pods_own() -> None:
    """As OpenShift's SCC nested-container wants it: hostUsers false, users and groups from 0 to 65534, any seccomp."""
    spec, container = pod_of(made(privilege="nested"))

    assert spec["hostUsers"] is False
    assert spec["securityContext"] == {"fsGroup": 0, "fsGroupChangePolicy": "OnRootMismatch"}
    security = container["securityContext"]
    assert "privileged" not in security
    assert (security["runAsUser"], security["runAsGroup"], security["runAsNonRoot"]) == (1000, 0, True)
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["allowPrivilegeEscalation"] is False
    assert security["seccompProfile"] == {"type": "Unconfined"}
    assert [pod_of(made(privilege=other))[0].get("hostUsers") for other in ("none", "privileged")] == [None, None]


@pytest.mark.parametrize(
    "words",
    [
        "failed to set MOUNT_ATTR_IDMAP on /modelcar: invalid argument (maybe the filesystem used supports no idmap "
        "mounts on this kernel?)",
        "mount_setattr `/modelcar`: Invalid argument: idmapped mounts are not supported",
    ],
)
def test_claim_that_no_user_namespace_can_mount_is_named_with_the_remedy(words: str) -> None:
    waiting = [{"name": "main", "state": {"waiting": {"reason": "CreateContainerError", "message": words}}}]
    statuses = [{**one, "ready": False, "restartCount": 0, "image": "x", "imageID": ""} for one in waiting]

    found = hindrance(RunState([pod_with(phase="Pending", containerStatuses=statuses)], [job_with()], []), 10, 1800)

    assert found is not None
    assert "cannot be mounted in a user namespace of the pod's own" in str(found.error)
    assert "build_mode=job" in str(found.error)


def test_it_waits_in_the_queue_that_the_step_waited_in() -> None:
    labels = {**POD["metadata"]["labels"], "kueue.x-k8s.io/queue-name": "builds"}
    job = manifest(work(), Executor({**POD, "metadata": {**POD["metadata"], "labels": labels}}))

    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "builds"
    # Its pod is counted with it.
    assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]
    assert "kueue.x-k8s.io/queue-name" not in made()["metadata"]["labels"]


@pytest.mark.parametrize("given_up", [False, True])
def test_a_job_that_waits_to_be_admitted_is_none_that_was_given_up(given_up: bool) -> None:
    job = made()
    job["metadata"] |= {"namespace": "team", "labels": {"kueue.x-k8s.io/queue-name": "builds"}}
    job["metadata"]["annotations"] = {"modelcar-pipelines/given-up": "true"} if given_up else {}
    job["spec"]["suspend"] = True

    waits = hindrance(RunState([], [read("V1Job", {**job, "status": {}})], []), 10, 1800)

    assert (waits is None) is given_up
    if waits:
        assert "waits in the queue builds to be admitted" in str(waits.error)
        assert waits.patience == 1800


def test_it_ends_by_itself_and_belongs_to_the_run_and_to_the_step() -> None:
    job = made(deadline_seconds=3600)

    assert job["spec"]["activeDeadlineSeconds"] == 3600
    assert job["spec"]["ttlSecondsAfterFinished"] > 3600
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels["pipeline/runid"] == "run-1"
    workflow, pod = job["metadata"]["ownerReferences"]
    assert (workflow["kind"], workflow["uid"]) == ("Workflow", "workflow-uid")
    assert (pod["kind"], pod["uid"]) == ("Pod", "pod-uid")
    assert "blockOwnerDeletion" not in {*workflow, *pod}
    assert "podFailurePolicy" not in job["spec"]


def test_a_lost_node_is_waited_for_a_minute_unless_the_task_says_otherwise() -> None:
    def seconds(tolerations: list[dict[str, Any]]) -> dict[str, Any]:
        spec = pod_of(made(task=given(tolerations=tolerations)))[0]
        return {each["key"]: each.get("tolerationSeconds") for each in spec["tolerations"]}

    ours = {"node.kubernetes.io/not-ready": 60, "node.kubernetes.io/unreachable": 60}
    theirs = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 900}
    assert seconds([]) == ours
    assert seconds([theirs]) == {**ours, "node.kubernetes.io/not-ready": 900}


def test_only_the_same_work_in_the_same_run_has_the_same_name() -> None:
    name = made()["metadata"]["name"]
    others = [
        made(task=given(node_selector={"a": "b"})),
        made(privilege="privileged"),
        made(privilege="nested"),
        made(command=["python3", "-P", "-m", "modelcar.steps.build_in_job", "{}"]),
        made(service_account="other"),
        manifest(work(), Executor({**POD, "metadata": {**POD["metadata"], "labels": {"pipeline/runid": "run-2"}}})),
    ]
    next_attempt = {**POD, "metadata": {**POD["metadata"], "name": "executor-2", "uid": "other-uid"}}

    assert manifest(work(), Executor(next_attempt))["metadata"]["name"] == name
    assert made(task=given(env=[{"name": "ATTEMPT", "value": "2"}]))["metadata"]["name"] == name
    assert len({name, *(other["metadata"]["name"] for other in others)}) == len(others) + 1
    assert name.startswith("modelcar-build-")
    # Kubernetes makes the pods' names and labels of it.
    assert len(name) < 53


def test_our_code_goes_with_it_where_the_step_was_given_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = pod_of(made())[1]["command"]
    (tmp_path / "requirements.txt").write_text("pydantic==2\n")
    monkeypatch.setenv(pod.REQUIREMENTS, str(tmp_path / "requirements.txt"))
    job = made()
    carried = pod_of(job)[1]["command"]

    assert plain[:4] == ["python3", "-P", "-m", "modelcar.steps.build_in_job"]
    assert BuildRequest.model_validate_json(plain[4]).image.target == "quay.io/x/y:1"
    parts = Bootstrapped.parse(carried)
    assert parts is not None
    assert parts.command == plain
    assert parts.requirements == "pydantic==2"
    # Kubernetes' own limit for an object is 1.5 MiB.
    assert len(json.dumps(job)) < 400_000


PLACED = {"namespace": "team", "creationTimestamp": "2026-01-01T00:00:00Z"}


def job_with(**status: Any) -> Any:
    return read("V1Job", {**made(), "metadata": {**made()["metadata"], **PLACED}, "status": status})


def pod_with(name: str = "pod-1", *, deleted: bool = False, **status: Any) -> Any:
    metadata: dict[str, Any] = {
        "name": name,
        "uid": name,
        "namespace": "team",
        "creationTimestamp": f"2026-01-01T00:00:0{name[-1]}Z",
        "labels": {"batch.kubernetes.io/job-name": made()["metadata"]["name"]},
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T01:00:00Z"
    spec = {**made()["spec"]["template"]["spec"], "nodeName": "node-1"}
    return read("V1Pod", {"metadata": metadata, "spec": spec, "status": status})


def read(kind: str, data: dict[str, Any]) -> Any:
    class Answer:
        def __init__(self) -> None:
            self.data = json.dumps(data)

    return client.ApiClient().deserialize(Answer(), kind)


def ended(code: int, message: str = "", reason: str = "Error") -> list[dict[str, Any]]:
    terminated = {"exitCode": code, "reason": reason, "message": message}
    return [
        {
            "name": "main",
            "image": "x",
            "imageID": "x",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": terminated},
        }
    ]


def waiting(reason: str, message: str) -> list[dict[str, Any]]:
    state = {"waiting": {"reason": reason, "message": message}}
    return [{"name": "main", "image": "x", "imageID": "x", "ready": False, "restartCount": 0, "state": state}]


def refused(message: str) -> Any:
    data = {
        "metadata": {"name": "e", "uid": "e", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "involvedObject": {"kind": "Job", "name": made()["metadata"]["name"]},
        "reason": "FailedCreate",
        "message": f'Error creating: pods "x" is forbidden: {message}',
        "type": "Warning",
    }
    return read("CoreV1Event", data)


def patience(state: RunState, waited: float = 0) -> tuple[str, float]:
    found = hindrance(state, waited, 1800)
    assert found is not None
    return str(found.error), found.patience


def test_a_job_that_works_is_not_hindered() -> None:
    running = pod_with(phase="Running", containerStatuses=[])
    assert hindrance(RunState([running], [job_with(active=1)], []), 10_000, 1800) is None
    assert hindrance(RunState([], [job_with()], []), 1, 1800) is None


@pytest.mark.parametrize(
    ("message", "remedy", "seconds"),
    [
        (
            "unable to validate against any security context constraint",
            "add-scc-to-user privileged -z modelcar-build",
            0,
        ),
        ('violates PodSecurity "baseline:latest": privileged', "enforce=privileged", 0),
        ('error looking up service account team/modelcar-build: serviceaccount "x" not found', "service account", 0),
        ("exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1", "oc describe quota small", 1800),
    ],
)
def test_a_refused_pod_is_final_unless_it_is_for_a_quota(message: str, remedy: str, seconds: float) -> None:
    error, left = patience(RunState([], [job_with()], [refused(message)]))

    assert message in error
    assert remedy in error
    assert left == seconds


def test_what_may_heal_has_its_time() -> None:
    unschedulable = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
    error, left = patience(RunState([pod_with(phase="Pending", conditions=unschedulable)], [job_with(active=1)], []))
    assert ("0/3 nodes" in error, left) == (True, 1800)

    pulls = pod_with(phase="Pending", containerStatuses=waiting("ErrImagePull", "no such host"))
    error, left = patience(RunState([pulls], [job_with(active=1)], []))
    assert ("no such host" in error, left) == (True, START_SECONDS)

    assert patience(RunState([], [job_with()], []), waited=500)[1] == 0


def test_a_build_that_failed_is_told_in_its_own_words_and_not_repeated() -> None:
    last = "error: the claim at /modelcar is full. Enlarge it.\n"
    failed = pod_with(phase="Failed", containerStatuses=ended(1, last))

    assert patience(RunState([failed], [job_with(failed=1)], [])) == ("the claim at /modelcar is full. Enlarge it.", 0)


@pytest.mark.parametrize("reason", ["DeletionByTaintManager", "EvictionByEvictionAPI", "PreemptionByScheduler"])
def test_a_disrupted_pod_is_waited_for_until_the_job_has_failed(reason: str) -> None:
    disrupted = [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "gone"}]
    pod = pod_with(phase="Failed", conditions=disrupted, containerStatuses=ended(143), deleted=True)
    failed = [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]

    assert patience(RunState([pod], [job_with(failed=1)], []))[1] == float("inf")
    assert patience(RunState([pod], [job_with(failed=6, conditions=failed)], []))[1] == 0


def test_an_eviction_for_the_disk_is_final() -> None:
    message = "The node was low on resource: ephemeral-storage."
    disrupted = [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}]
    pod = pod_with(phase="Failed", reason="Evicted", message=message, conditions=disrupted)

    error, left = patience(RunState([pod], [job_with(failed=1)], []))

    assert "was evicted from node node-1: The node was low on resource: ephemeral-storage" in error
    assert left == 0


def test_a_replacement_counts_and_not_the_pod_it_replaces() -> None:
    lost = pod_with("pod-1", phase="Running", deleted=True)
    fresh = pod_with("pod-2", phase="Running")

    assert hindrance(RunState([lost, fresh], [job_with(active=1)], []), 0, 1800) is None


def test_a_job_that_somebody_deleted_or_whose_time_is_up_is_named() -> None:
    assert "deleted" in patience(RunState([], [], []))[0]
    late = [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "was active too long"}]
    error, left = patience(RunState([], [job_with(conditions=late)], []))
    assert ("deadline" in error, left) == (True, 0)
