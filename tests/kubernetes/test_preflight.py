"""What preflight asks of a real API server: nodes under load, permissions, dry runs, claims; and from within a pod."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from modelcar.cluster.connection import Cluster
from modelcar.steps.preflight import admission, claims, nodes
from modelcar.steps.preflight.admission import TrialPod
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.nodes import Need, requests_of
from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest
from tests.kubernetes.conftest import AnyCluster, Label
from tests.kubernetes.image import TINY_IMAGE
from tests.kubernetes.load import beat, fake_node, loaded
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import pod
from tests.kubernetes.waiting import PATIENCE_SECONDS, until
from tests.parts.hub import Hub
from tests.parts.registries import BasicAuthRegistry

NODES, PODS = 500, 10_000
BEARS_ALL = {"operator": "Exists"}
RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"ephemeral-storage": "2Gi"}}
MODEL = "example/tiny-llama"


@pytest.fixture
def administrator(namespace: Namespace) -> Cluster:
    """Give the cluster to somebody who may do everything."""
    return Cluster(namespace.api, namespace.name)


LogInAs = Callable[[str], Cluster]


@pytest.fixture
def log_in_as(namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogInAs:
    """Give a function that makes a service account and lets this process be it, by way of a kubeconfig."""

    def logged_in(name: str) -> Cluster:
        namespace.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        request = {"spec": {"expirationSeconds": 3600}}
        token = namespace.core.create_namespaced_service_account_token(name, namespace.name, request).status.token
        settings = namespace.api.configuration
        context = {"cluster": "c", "user": "u", "namespace": namespace.name}
        config = {
            "current-context": "c",
            "clusters": [
                {"name": "c", "cluster": {"server": settings.host, "certificate-authority": settings.ssl_ca_cert}}
            ],
            "contexts": [{"name": "c", "context": context}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        file = tmp_path / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(file))
        found = Cluster.find()
        assert found is not None
        return found

    return logged_in


def grant(namespace: Namespace, account: str, *rules: dict[str, Any]) -> None:
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace.name}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": account}}
    namespace.create({**role, "kind": "Role", "rules": list(rules)})
    namespace.create({**role, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]})


@contextmanager
def reading_nodes(namespace: Namespace, account: str, *resources: str) -> Iterator[None]:
    """Lets a service account list what belongs to no namespace, or to all."""
    rbac = client.RbacAuthorizationV1Api(namespace.api)
    name = f"{namespace.name}-{account}"
    rule = {"apiGroups": [""], "resources": list(resources), "verbs": ["list"]}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace.name}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    rbac.create_cluster_role({"metadata": {"name": name}, "rules": [rule]})
    rbac.create_cluster_role_binding({"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})
    try:
        yield
    finally:
        rbac.delete_cluster_role_binding(name)
        rbac.delete_cluster_role(name)


def eventually(check: Callable[[], Finding], verdict: str) -> Finding:
    """The finding, once the API server's caches know what was just made."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (finding := check()).verdict != verdict and time.monotonic() < deadline:
        time.sleep(0.1)
    assert finding.verdict == verdict, finding
    return finding


def test_large_cluster_is_looked_through(
    namespace: Namespace,
    administrator: Cluster,
    log_in_as: LogInAs,
    hub: Hub,
    model: Path,
    basic_registry: BasicAuthRegistry,
    log_in: Callable[..., Path],
) -> None:
    """Whatever is asked: a node with room, the nodes to label, room where pods have reserved it; and all checks."""
    hub.publish(MODEL, model)
    log_in(basic_registry)
    log_in_as("runner")
    label = {"modelcar.test/build": namespace.name}
    found: dict[str, Finding] = {}
    seconds: dict[str, float] = {}
    run = RunRequest(
        model=MODEL,
        target=f"{basic_registry.host}/{namespace.name}/a:1",
        build_mode="job",
        node_selector={**label, "ai-build-node": "true"},
        tolerations=[BEARS_ALL],
    )
    with (
        loaded(namespace.api, namespace.name, NODES, PODS, labels=label) as names,
        reading_nodes(namespace, "runner", "nodes", "pods"),
    ):
        for name, selector, storage in (
            ("room", label, "60Gi"),
            ("label", {**label, "ai-build-node": "true"}, "60Gi"),
            ("reserved", label, "61Gi"),
        ):
            beat(namespace.api, names[: nodes.MAX_NODES_LOOKED_AT])
            begun = time.monotonic()
            (found[name],) = nodes.check(administrator, Need(selector, [BEARS_ALL], {"ephemeral-storage": storage}))
            seconds[name] = round(time.monotonic() - begun, 2)
        reserved = nodes.read_reserved(administrator, names[0])
        beat(namespace.api, names[: nodes.MAX_NODES_LOOKED_AT])
        begun = time.monotonic()
        whole = preflight(run)
        seconds["all"] = round(time.monotonic() - begun, 2)
    print(f"{NODES} nodes and {PODS} pods, seconds: {seconds}")

    each = PODS // NODES
    assert reserved["ephemeral-storage"] == each * 2 * 2**30 * 1000
    assert (reserved["cpu"], reserved["pods"]) == (each * 200, each * 1000)
    assert {name: finding.verdict for name, finding in found.items()} == {
        "room": "ok",
        "label": "refusal",
        "reserved": "warning",
    }
    assert f"at least {nodes.NODES_AT_ONCE} of {NODES + 2} nodes would run the build" in found["room"].what
    assert found["label"].command in [finding.command for finding in whole.refusals]
    assert found["label"].command == f"oc label node {names[nodes.NODES_AT_ONCE - 1]} ai-build-node=true"
    assert found["reserved"].what.startswith("running pods have reserved the ephemeral-storage")


def container(**requests: str) -> dict[str, Any]:
    return {"image": TINY_IMAGE, "resources": {"requests": requests, "limits": requests}}


SIDECAR = {"restartPolicy": "Always"}
SHAPES: dict[str, dict[str, Any]] = {
    "two-containers": {"containers": [container(cpu="300m"), container(cpu="200m", memory="64Mi")]},
    "large-init": {"initContainers": [container(cpu="2")], "containers": [container(cpu="500m")]},
    "sidecar": {
        "initContainers": [{**container(cpu="100m"), **SIDECAR}, container(cpu="700m")],
        "containers": [container(cpu="500m")],
    },
    "late-sidecar": {
        "initContainers": [container(cpu="700m"), {**container(cpu="400m"), **SIDECAR}],
        "containers": [container(cpu="500m")],
    },
    "whole-pod": {"containers": [container(cpu="100m")], "resources": {"requests": {"cpu": "900m"}}},
    "limits-only": {"containers": [{"image": TINY_IMAGE, "resources": {"limits": {"cpu": "350m"}}}]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_requests_are_counted_as_the_scheduler_counts_them(shape: str, namespace: Namespace) -> None:
    """On a node that has just enough, and on one that lacks a thousandth of a processor."""
    spec = {
        name: [dict(one) for one in parts] if isinstance(parts, list) else parts
        for name, parts in SHAPES[shape].items()
    }
    for number, one in enumerate(spec.get("initContainers", []) + spec["containers"]):
        one["name"] = f"c{number}"
    made = namespace.core.create_namespaced_pod(
        namespace.name, {"metadata": {"generateName": "x-"}, "spec": spec}, dry_run="All", _preload_content=False
    ).json()
    milli = requests_of(made["spec"])["cpu"]
    enough, short = f"{namespace.name}-enough", f"{namespace.name}-short"
    try:
        for name, cpu in ((enough, milli), (short, milli - 1)):
            allocatable = {"cpu": f"{cpu}m", "memory": "1Gi", "pods": "10"}
            namespace.core.create_node(fake_node(name, allocatable, {"kubernetes.io/hostname": name}))
            placed = {**spec, "nodeSelector": {"kubernetes.io/hostname": name}, "tolerations": [BEARS_ALL]}
            namespace.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": placed})

        assert namespace.wait(enough, lambda pod: pod.spec.node_name).spec.node_name == enough
        waiting = namespace.wait(short, lambda pod: pod.status.conditions)
        assert "1 Insufficient cpu" in waiting.status.conditions[0].message
    finally:
        namespace.core.delete_collection_namespaced_pod(namespace.name, grace_period_seconds=0)
        for name in (enough, short):
            namespace.core.delete_node(name)


def test_missing_label_is_named_with_the_command_that_sets_it(
    namespace: Namespace, administrator: Cluster, label: Label
) -> None:
    need = Need({"ai-build-node": namespace.name}, (), {"ephemeral-storage": "8Gi"})

    (refused,) = nodes.check(administrator, need)
    assert refused.verdict == "refusal"
    _, _, _, node, what = refused.command.split()
    key, value = what.split("=")

    label(node, key, value)
    (found,) = nodes.check(administrator, need)
    assert (found.verdict, node in found.what) == ("ok", True)


def test_too_large_a_request_is_refused_with_the_largest_node(administrator: Cluster) -> None:
    (refused,) = nodes.check(administrator, Need({}, (), {"ephemeral-storage": "160Gi"}))

    assert refused.verdict == "refusal"
    assert "with too little ephemeral-storage (160Gi requested)" in refused.what
    assert refused.command.startswith("oc describe node ")


def test_no_permission_to_list_nodes_is_a_warning(namespace: Namespace, log_in_as: LogInAs) -> None:
    cluster = log_in_as("runner")
    need = Need({}, (), {"ephemeral-storage": "1Gi"})

    (finding,) = nodes.check(cluster, need)
    assert finding.verdict == "warning"
    assert "refused to list the nodes (403 Forbidden)" in finding.what

    with reading_nodes(namespace, "runner", "nodes"):
        eventually(lambda: nodes.check(cluster, need)[0], "ok")
        judged, unseen = nodes.check(cluster, need)
        assert (judged.verdict, unseen.verdict) == ("ok", "warning")
        assert "refused to list the pods of all namespaces (403" in unseen.what
    with reading_nodes(namespace, "runner", "nodes", "pods"):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found := nodes.check(cluster, need)) != 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [one.verdict for one in found] == ["ok"]


def test_account_that_may_start_no_job_is_named_with_the_command(namespace: Namespace, log_in_as: LogInAs) -> None:
    cluster = log_in_as("runner")

    refused = admission.check_jobs(cluster)
    assert refused.verdict == "refusal"
    assert refused.what.startswith("the service account runner may not create jobs, get jobs")
    assert refused.command == f"oc policy add-role-to-user edit -z runner -n {namespace.name}"

    jobs = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]}
    pods = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list", "watch"]}
    grant(namespace, "runner", jobs, pods)
    eventually(lambda: admission.check_jobs(cluster), "ok")


def test_pod_that_may_not_be_tried_is_a_warning(log_in_as: LogInAs) -> None:
    finding = admission.check_pod(log_in_as("runner"), TrialPod(RESOURCES))

    assert finding.verdict == "warning"
    assert 'cannot create resource "pods"' in finding.what


def test_privilege_is_refused_by_pod_security_and_granted_by_the_command(
    namespace: Namespace, administrator: Cluster
) -> None:
    wanted = TrialPod(RESOURCES, "modelcar-build", privilege="privileged")
    missing = admission.check_pod(administrator, wanted)
    assert missing.what == f"there is no service account modelcar-build in {namespace.name}"
    assert missing.command.splitlines() == [
        f"oc create serviceaccount modelcar-build -n {namespace.name}",
        f"oc adm policy add-scc-to-user privileged -z modelcar-build -n {namespace.name}",
    ]
    namespace.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "modelcar-build"}})
    eventually(lambda: admission.check_pod(administrator, wanted), "ok")

    level = "pod-security.kubernetes.io/enforce"
    namespace.core.patch_namespace(namespace.name, {"metadata": {"labels": {level: "restricted"}}})
    refused = eventually(lambda: admission.check_pod(administrator, wanted), "refusal")
    assert "must not set securityContext.privileged=true" in refused.what
    *command, setting, overwrite = refused.command.split()
    assert (command, overwrite) == (["oc", "label", "namespace", namespace.name], "--overwrite")
    assert admission.check_pod(administrator, replace(wanted, privilege="none")).verdict == "ok"

    namespace.core.patch_namespace(namespace.name, {"metadata": {"labels": dict([setting.split("=")])}})
    eventually(lambda: admission.check_pod(administrator, wanted), "ok")


def test_limit_range_speaks_before_the_build(namespace: Namespace, administrator: Cluster) -> None:
    limit = {"type": "Container", "max": {"ephemeral-storage": "1Gi"}}
    namespace.create({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [limit]}})

    refused = eventually(lambda: admission.check_pod(administrator, TrialPod(RESOURCES)), "refusal")

    assert "maximum ephemeral-storage usage per Container is 1Gi, but limit is 2Gi" in refused.what
    assert refused.command == f"oc describe limitrange -n {namespace.name}"


def test_cluster_that_runs_only_some_images_judges_the_builds_own(namespace: Namespace, administrator: Cluster) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    expression = "object.spec.containers.all(c, c.image.startsWith('quay.io/'))"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}
    policies = client.AdmissionregistrationV1Api(namespace.api)
    validation = {"expression": expression, "message": "take images from quay.io"}
    policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
    binding = {
        "policyName": namespace.name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    named = {"metadata": {"name": namespace.name}}
    policies.create_validating_admission_policy({**named, "spec": policy})
    policies.create_validating_admission_policy_binding({**named, "spec": binding})
    try:
        refused = eventually(lambda: admission.check_pod(administrator, TrialPod(RESOURCES)), "refusal")
        assert "take images from quay.io" in refused.what
        allowed = TrialPod(RESOURCES, image="quay.io/team/steps:1")
        assert admission.check_pod(administrator, allowed).verdict == "ok"
    finally:
        policies.delete_validating_admission_policy_binding(namespace.name)
        policies.delete_validating_admission_policy(namespace.name)


def test_quota_that_never_fits_is_refused_and_one_that_is_used_up_waits(
    namespace: Namespace, administrator: Cluster
) -> None:
    hard = {"requests.cpu": "1", "limits.ephemeral-storage": "1Gi"}
    namespace.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}})
    refused = eventually(lambda: admission.check_pod(administrator, TrialPod(RESOURCES)), "refusal")
    assert "exceeded quota: q, requested: limits.ephemeral-storage=2Gi" in refused.what
    assert refused.command == f"oc describe quota q -n {namespace.name}"

    hard["limits.ephemeral-storage"] = "3Gi"
    namespace.core.patch_namespaced_resource_quota("q", namespace.name, {"spec": {"hard": hard}})
    eventually(lambda: admission.check_pod(administrator, TrialPod(RESOURCES)), "ok")
    namespace.create(_takes_half())
    waiting = eventually(lambda: admission.check_pod(administrator, TrialPod(RESOURCES)), "warning")
    assert "a quota" in waiting.what
    assert "used up for now" in waiting.what
    used = namespace.core.read_namespaced_resource_quota("q", namespace.name).status.used
    assert used["limits.ephemeral-storage"] == "1536Mi"


def _takes_half() -> dict[str, Any]:
    made = pod("half", ["true"], TINY_IMAGE, node_selector={"modelcar.test/none": "x"})
    made["spec"]["containers"][0]["resources"] = {
        "requests": {"cpu": "1m"},
        "limits": {"ephemeral-storage": "1536Mi", "cpu": "1m"},
    }
    return made


def test_claim_is_looked_up(namespace: Namespace, administrator: Cluster) -> None:
    missing = claims.check(administrator, "models", 100 << 20)
    assert (missing.verdict, missing.what) == ("refusal", f"there is no claim models in {namespace.name}")
    assert '"storage":"1Gi"' in missing.command

    with namespace.claim("models", 200 << 20):
        assert claims.check(administrator, "models", 100 << 20).verdict == "ok"
        small = claims.check(administrator, "models", 300 << 20)
        assert small.verdict == "refusal"
        assert "the claim models has 209.7 MB, and the run needs 314.6 MB on it" in small.what
        assert small.command.startswith(f"oc patch pvc models -n {namespace.name} -p ")


def test_all_of_it_from_outside(
    namespace: Namespace,
    administrator: Cluster,
    log_in_as: LogInAs,
    hub: Hub,
    model: Path,
    basic_registry: BasicAuthRegistry,
    log_in: Callable[..., Path],
) -> None:
    hub.publish(MODEL, model)
    log_in(basic_registry)
    log_in_as("runner")
    run = RunRequest(
        model=MODEL,
        target=f"{basic_registry.host}/{namespace.name}/a:1",
        build_mode="job",
        builder="buildah",
        node_selector={"ai-build-node": namespace.name},
        build_ephemeral_storage="160Gi",
    )

    # The right to read nodes takes a moment to be in force.
    with reading_nodes(namespace, "runner", "nodes", "pods"):
        verdicts = until(lambda: _with_nodes({(one.about, one.verdict) for one in preflight(run).findings}))

    assert {("model", "ok"), ("target", "ok"), ("build Job", "refusal")} <= verdicts
    assert {("claim", "warning"), ("build pod", "warning")} <= verdicts


def _with_nodes(verdicts: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return verdicts if ("nodes", "refusal") in verdicts else set()


WITHIN = """
import json, sys
from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest

found = preflight(RunRequest(**json.loads(sys.argv[1])))
print(json.dumps([found.build_mode, [[one.about, one.verdict, one.what] for one in found.findings]]))
"""


@pytest.mark.parametrize(
    ("seccomp", "mode"), [("user-namespaces-allowed", "pod"), ("user-namespaces-forbidden", "nested")]
)
def test_all_of_it_from_within_a_pod(
    seccomp: str,
    mode: str,
    namespace: Namespace,
    cluster: AnyCluster,
    pod_hub: Hub,
    pod_registry: BasicAuthRegistry,
    model: Path,
) -> None:
    """As the step runs where nothing is missing, with its pod's own service account, logins and seccomp profile."""
    namespace.login("registry", pod_registry)
    pod_hub.publish(MODEL, model)
    target = f"{pod_registry.host}/{namespace.name}/a:1"
    run = {"model": MODEL, "target": target, "builder": "buildah", "claim": "models", "build_cpu": "100m"}
    jobs = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]}
    core = {
        "apiGroups": [""],
        "resources": ["pods", "pods/log", "persistentvolumeclaims"],
        "verbs": ["get", "list", "watch", "create"],
    }
    grant(namespace, "default", jobs, core)
    namespace.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "modelcar-build"}})
    command = ["python3", "-c", WITHIN, json.dumps(run)]

    with namespace.claim("models", 200 << 20), reading_nodes(namespace, "default", "nodes", "pods"):
        env = {"HF_ENDPOINT": pod_hub.url}
        said = namespace.run(pod("preflight", command, cluster.image, env=env, logins=["registry"], seccomp=seccomp))

    chosen, found = json.loads(said.splitlines()[-1])
    assert chosen == mode
    asked = ["build", "model", "target", "claim", "nodes", "build pod"]
    assert {about: verdict for about, verdict, _ in found if about in asked} == dict.fromkeys(asked, "ok")
    assert "refusal" not in {verdict for _, verdict, _ in found}
