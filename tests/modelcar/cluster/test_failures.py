"""Why a step failed, out of what a real cluster said of it."""

import pytest

from modelcar.cluster import remedies
from modelcar.cluster.failures import failures
from modelcar.cluster.queue import QUEUE
from modelcar.cluster.run_state import RunState, task_in
from tests.parts.run_states import FOLDER, as_json, run_state

CASES = {
    "evicted": (
        "build Evicted",
        [
            "build was evicted from node small: The node was low on resource: ephemeral-storage.",
            "(main used 1.4 GB, had asked for no ephemeral-storage, preflight had predicted 16.8 MB)",
        ],
        "oc label node <name> ai-build-node=true",
    ),
    "limit_overstepped": (
        "build Evicted",
        ["exceeds the total limit of containers 50Mi", "had asked for 50Mi of ephemeral-storage"],
        "Raise build_ephemeral_storage",
    ),
    "out_of_memory": ("build OOMKilled", ["container main needed more than its limit of 64Mi"], "Raise build_memory"),
    "no_label": (
        "build Unschedulable",
        ["didn't match Pod's node affinity/selector (it asks for the label ai-build-node=true)"],
        "`oc label node <name> ai-build-node=true`",
    ),
    "no_disk": (
        "build Unschedulable",
        ["0/2 nodes are available: 2 Insufficient ephemeral-storage (it asks for 160Gi of ephemeral-storage)"],
        "lower build_ephemeral_storage",
    ),
    "tainted": ("build Unschedulable", ["2 node(s) had untolerated taint(s)"], "oc get nodes --output custom-columns"),
    "no_claim": ("download Unschedulable", ['persistentvolumeclaim "nowhere" not found'], "oc get pvc"),
    "no_secret": ("register CreateContainerConfigError", ['secret "nowhere" not found'], "Make the secret"),
    "no_volume": ("mirror FailedMount", ['secret "nowhere" not found'], "Make the secret nowhere"),
    "no_image": ("mirror ErrImagePull", ["its image registry.invalid/none/none:1 cannot be pulled"], "now: none"),
    "deadline": ("build DeadlineExceeded", ["build ran longer than its deadline of 3 s"], "Run it again"),
    "job_deadline": ("build-in-job Unschedulable", ["didn't match Pod's node affinity/selector"], "oc label node"),
    "quota": (
        "build FailedCreate",
        ["exceeded quota: small", "requested: requests.ephemeral"],
        "oc describe quota small",
    ),
    "limit_range": (
        "build FailedCreate",
        ["maximum ephemeral-storage usage per Container is 1Gi"],
        "oc describe limitr",
    ),
    "privileged": ("build FailedCreate", ['violates PodSecurity "baseline:latest": privileged'], "oc label namespace"),
    "no_account": ("build FailedCreate", ['serviceaccount "modelcar-build" not found'], "oc create serviceaccount"),
    "own_error": ("build Error", ["build failed: a file is larger than max_layer_size. Raise it"], ""),
    "long_record": ("build Error", ["build failed: a long error."], ""),
    "node_lost": ("build-in-job DeletionByTaintManager", ["lost its node small: Taint manager"], "Run it again"),
}


@pytest.mark.parametrize("name", CASES)
def test_failure_is_named_with_its_remedy(name: str) -> None:
    expected, words, remedy = CASES[name]

    found = failures(run_state(name), node_need=16 << 20)

    # A Job that no pod of the run owns has but its own name.
    step = (
        found[0].step.split("-")[0]
        if found[0].step.startswith("build-") and "in-job" not in expected
        else found[0].step
    )
    assert f"{step} {found[0].reason}" == expected
    assert [part for part in words if part not in found[0].what] == []
    assert remedy in found[0].remedy
    assert "\n" not in found[0].what + found[0].remedy
    assert "preemption" not in found[0].what


def test_deadline_while_the_image_was_not_there_is_about_the_image() -> None:
    (pod,), events = as_json("no_image")["pods"], as_json("no_image")["events"]
    unknown = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "The container could not be located"}
    pod["status"]["containerStatuses"][0]["state"] = {"terminated": unknown}
    pod["status"] |= {"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active on the node longer"}

    (found,) = failures(run_state("no_image", pods=[pod]))
    assert (found.reason, found.step) == ("ErrImagePull", "mirror")
    assert found.what.startswith(
        "mirror could not start, for its image registry.invalid/none/none:1 cannot be pulled: "
    )
    assert [event["reason"] for event in events].count("Failed") > 0
    (found,) = failures(run_state("no_image", pods=[pod], events=[]))
    assert found.reason == "DeadlineExceeded"


CAUSE = "failed to resolve image: i/o timeout"
IMAGE = "registry.invalid/none/none:1"


@pytest.mark.parametrize(
    ("waiting", "event"),
    [
        ({"reason": "ErrImagePull", "message": CAUSE}, True),
        ({"reason": "ErrImagePull", "message": CAUSE}, False),
        ({"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{IMAGE}"'}, True),
        ({"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{IMAGE}": ErrImagePull: {CAUSE}'}, True),
        ({"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{IMAGE}": ErrImagePull: {CAUSE}'}, False),
        ({"reason": "ContainerCreating"}, True),
    ],
)
def test_a_failed_pull_is_one_sentence_whatever_comes_first(waiting: dict[str, str], event: bool) -> None:
    (pod,), events = as_json("no_image")["pods"], as_json("no_image")["events"]
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": waiting}
    for one in events:
        if one["message"].startswith("Failed to pull"):
            one["message"] = f'Failed to pull image "{IMAGE}": {CAUSE}'

    (found,) = failures(run_state("no_image", pods=[pod], events=events if event else []))

    assert (found.reason, found.step) == ("ErrImagePull", "mirror")
    assert found.what == f"mirror could not start, for its image {IMAGE} cannot be pulled: {CAUSE}"
    assert "image_pull_secret" in found.remedy


def test_eviction_names_the_container_that_used_most() -> None:
    (pod,) = as_json("evicted")["pods"]
    beside = "Container wait was using 1Mi, request is 0, has larger consumption of ephemeral-storage. "
    pod["status"]["message"] = pod["status"]["message"].replace("Container main", f"{beside}Container main")

    (found,) = failures(run_state("evicted", pods=[pod]))

    assert "(main used 1.4 GB, had asked for no ephemeral-storage)" in found.what


def test_every_state_that_is_kept_is_used() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == CASES.keys() | {"mended", "gone"}


@pytest.mark.parametrize(
    "name", ["evicted", "out_of_memory", "no_label", "no_disk", "deadline", "own_error", "node_lost"]
)
def test_without_leave_to_read_events_most_is_known_as_well(name: str) -> None:
    found = failures(run_state(name, events=[]), node_need=16 << 20)

    assert found[0].what == failures(run_state(name), node_need=16 << 20)[0].what


def test_what_a_later_attempt_mended_is_no_failure() -> None:
    first = [pod for pod in as_json("mended")["pods"] if "executor(0)" in str(pod["metadata"])]

    assert failures(run_state("mended")) == []
    (found,) = failures(run_state("mended", pods=first))
    assert (found.step, found.reason) == ("mirror", "Error")
    assert found.what == "mirror ended with exit code 1 (container main)"
    assert "oc logs model-to-registry-" in found.remedy


def test_pod_that_is_gone_is_known_by_its_events() -> None:
    found = failures(run_state("gone"))

    assert [failure.step for failure in found] == ["download", ""]
    assert found[1].what.startswith("a step found no node to run on: 0/2 nodes are available")


def test_what_a_job_says_goes_before_what_its_step_says_of_it() -> None:
    evicted, own = as_json("evicted"), as_json("own_error")
    (job,) = as_json("job_deadline")["jobs"]
    del job["status"]
    (pod,) = evicted["pods"]
    (executor,) = own["pods"]
    pod["metadata"]["labels"] = {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    job["metadata"]["ownerReferences"][0]["name"] = executor["metadata"]["name"]
    executor["metadata"]["annotations"]["workflows.argoproj.io/node-name"] = "w.root.build-in-job.executor(1)"

    (found,) = failures(run_state("evicted", pods=[executor, pod], jobs=[job]))

    assert (found.step, found.reason) == ("build-in-job", "Evicted")


def test_records_of_a_job_replace_that_of_the_step_that_waited_for_it() -> None:
    (executor,) = as_json("own_error")["pods"]
    (job,) = as_json("job_deadline")["jobs"]
    job["metadata"]["ownerReferences"][0]["name"] = executor["metadata"]["name"]
    pod = {**executor, "metadata": {**executor["metadata"], "name": "inner"}}
    pod["metadata"]["labels"] = {"batch.kubernetes.io/job-name": job["metadata"]["name"]}

    assert len(run_state("own_error", pods=[executor]).records()) == 1
    assert len(run_state("own_error", pods=[executor, pod], jobs=[job]).records()) == 1


def test_job_whose_first_pod_was_deleted_still_belongs_to_its_step() -> None:
    state = as_json("job_deadline")
    (job,) = state["jobs"]
    job["metadata"]["ownerReferences"][0]["name"] = "another-attempt-which-is-gone"
    job["metadata"]["labels"]["app.kubernetes.io/component"] = "build"

    assert [each.step for each in failures(run_state("job_deadline", jobs=[job]))] == ["build-in-job"]


@pytest.mark.parametrize(
    ("host_users", "scc"), [(None, "privileged"), (True, "privileged"), (False, "nested-container")]
)
def test_refusal_by_openshift_is_answered_with_its_own_command(host_users: bool | None, scc: str) -> None:
    state = as_json("privileged")
    message = (
        'Error creating: pods "build-" is forbidden: unable to validate against any security context constraint: []'
    )
    state["events"] = [{**event, "message": message} for event in state["events"] if event["reason"] == "FailedCreate"]
    state["jobs"][0]["spec"]["template"]["spec"] |= {"serviceAccountName": "modelcar-build", "hostUsers": host_users}

    (found,) = failures(run_state("privileged", events=state["events"], jobs=state["jobs"]))

    namespace = state["jobs"][0]["metadata"]["namespace"]
    assert f"`oc adm policy add-scc-to-user {scc} -z modelcar-build -n {namespace}`" in found.remedy


def test_taint_with_its_name_gives_the_toleration() -> None:
    message = (
        "0/3 nodes are available: 3 node(s) had untolerated taint {nvidia.com/gpu: present}. preemption: 0/3 nodes"
    )

    assert '`tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]`' in remedies.for_scheduling(message, None)


def test_every_reason_of_the_scheduler_gets_a_remedy() -> None:
    message = (
        "1 Insufficient cpu, 1 Insufficient ephemeral-storage, 2 node(s) didn't match Pod's node affinity/selector"
    )

    remedy = remedies.for_scheduling(message, None)

    assert [part for part in ("build_cpu", "build_ephemeral_storage", "oc label node") if part not in remedy] == []
    assert remedies.for_scheduling("0/1 nodes are available: 1 Too many pods.", None)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("kueue.x-k8s.io/admission", "download waited in the queue builds and was not admitted"),
        ("kueue.x-k8s.io/topology", "download waited in the queue builds and was not admitted"),
        ("example.org/other", "download found no node to run on: Scheduling is blocked"),
    ],
)
def test_pod_that_waits_for_kueue_found_no_room_in_its_queue(gate: str, said: str) -> None:
    (pod,) = as_json("no_claim")["pods"]
    pod["metadata"]["labels"][QUEUE] = "builds"
    pod["spec"]["schedulingGates"] = [{"name": gate}]
    message = "Scheduling is blocked due to non-empty scheduling gates"
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": message}
    pod["status"] = {"phase": "Pending", "conditions": [gated]}

    (found,) = failures(run_state("no_claim", pods=[pod], events=[]))

    assert found.reason == "SchedulingGated"
    assert found.what.startswith(said)
    assert ("oc describe workloads" in found.remedy) == said.endswith("admitted")


def test_volume_held_elsewhere() -> None:
    message = 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other'

    assert "ReadWriteMany" in remedies.for_volume(message)


def test_what_argo_alone_knows_is_told() -> None:
    """Argo's words when the namespace's quota refuses a pod of the pipeline itself, as its controller writes them."""
    state = as_json("no_label")
    workflow = state["pods"][0]["metadata"]["labels"]["workflows.argoproj.io/workflow"]
    said = [
        'Error node {}.root.exit-handler-1.mirror.executor(0): pods "x" is forbidden: exceeded quota',
        "Failed node {}.root.exit-handler-1.mirror.executor: No more retries left",
        "Failed node {}.root.exit-handler-1: child 'x' failed",
    ]
    about = {"involvedObject": {"kind": "Workflow", "name": workflow}, "reason": "WorkflowNodeError"}
    events = [{**state["events"][0], **about, "message": message.format(workflow)} for message in said]

    (found,) = failures(run_state("no_label", pods=_done(state["pods"]), events=events))

    assert (found.step, found.what) == ("mirror", 'mirror failed: pods "x" is forbidden: exceeded quota')


def test_run_without_anything_left_has_no_failures() -> None:
    assert failures(RunState([], [], [])) == []


@pytest.mark.parametrize(
    ("node_name", "task"),
    [
        ("try-x7k2p.root.exit-handler-1.download.executor(0)", "download"),
        ("try-x7k2p.root.exit-handler-1.condition-2.build-in-job.executor", "build-in-job"),
        ("try-x7k2p.root.exit-handler-1.mirror-driver", "mirror"),
        ("try-x7k2p.root.exit-handler-1.onExit.report.executor", "report"),
        ("try-x7k2p.root-driver", "root"),
        ("some-pod", "some-pod"),
        ("executor", "executor"),
        ("", ""),
    ],
)
def test_task_is_read_from_the_name_of_the_node(node_name: str, task: str) -> None:
    assert task_in(node_name) == task


@pytest.mark.parametrize(
    ("quantity", "text"),
    [("4Gi", "4.3 GB"), ("1384496Ki", "1.4 GB"), (16 << 20, "16.8 MB"), ("0", "0 bytes"), ("much", "much")],
)
def test_quantities_are_readable(quantity: str | int, text: str) -> None:
    assert remedies.readable(quantity) == text


def _done(pods: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{**pod, "status": {"phase": "Succeeded"}} for pod in pods]
