"""What may run as the build's account, judged by the API server with the policies of manifests/."""

import copy
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client

from modelcar.cluster import authorities
from modelcar.cluster.connection import Cluster
from modelcar.cluster.executor import Executor
from modelcar.cluster.job import BUILD_PROGRAM, Privilege, Work, manifest
from modelcar.cluster.task import TaskConfig
from modelcar.steps.build_in_job import SERVICE_ACCOUNT
from modelcar.steps.preflight.admission import TrialPod, check_pod
from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.executors import applied, take_back
from tests.kubernetes.namespace import Namespace

Json = dict[str, Any]
PROGRAM = [*BUILD_PROGRAM, '{"directory": "/modelcar/example--m/0"}']
OTHER_ACCOUNT = "default"


@pytest.fixture(scope="module", params=["kubernetes", "openshift"])
def folder(request: pytest.FixtureRequest) -> str:
    """Name one of the two sets of manifests."""
    return str(request.param)


@pytest.fixture(scope="module")
def project(cluster: AnyCluster, folder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """Give a namespace with what manifests/ put there, once the API server goes by it."""
    namespace = Namespace(f"test-{uuid.uuid4().hex[:8]}", cluster)
    namespace.core.create_namespace({"metadata": {"name": namespace.name}})
    applied(folder, namespace, tmp_path_factory.mktemp("manifests"))
    # A policy holds a moment after it was made.
    while not refused(namespace, build_pod("registry.example/other:1")):
        time.sleep(0.1)
    yield namespace
    take_back(namespace)
    namespace.remove_pods()
    namespace.core.delete_namespace(namespace.name)


def refused(namespace: Namespace, made: Json) -> str:
    """Offer an object to the API server; give its words if it refuses, else nothing."""
    offer: Callable[..., Any] = (
        namespace.batch.create_namespaced_job if made["kind"] == "Job" else namespace.core.create_namespaced_pod
    )
    try:
        offer(namespace.name, made, dry_run="All")
    except client.ApiException as error:
        return str(error.body)
    return ""


def build_job(image: str, *, privileged: bool = True, command: list[str] | None = None) -> Json:
    """Make the Job as our own step does."""
    mounts = [{"name": "models", "mountPath": "/modelcar"}]
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
    env = [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, {"name": "HF_ENDPOINT", "value": "http://hub"}]
    task = TaskConfig(volumes=volumes, volume_mounts=mounts, env=env)
    step = {
        "metadata": {"name": "step", "uid": "0"},
        "spec": {"containers": [{"name": "main", "image": image, "securityContext": {"runAsUser": 1000700000}}]},
    }
    work = Work("build", command or PROGRAM, task, SERVICE_ACCOUNT, privilege="privileged" if privileged else "none")
    job = manifest(work, Executor(step))
    job["metadata"].pop("ownerReferences")
    return job


def build_pod(image: str, *, privileged: bool = True) -> Json:
    """Make the pod of such a Job."""
    template = build_job(image, privileged=privileged)["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "modelcar-build-0123456789abcdef-x7x7x"},
        "spec": template["spec"],
    }


def test_our_own_job_and_its_pod_are_let_in(project: Namespace, cluster: AnyCluster) -> None:
    for privileged in (True, False):
        assert refused(project, build_job(cluster.image, privileged=privileged)) == ""
        assert refused(project, build_pod(cluster.image, privileged=privileged)) == ""


def test_another_job_image_is_refused_by_the_api_server(project: Namespace, cluster: AnyCluster) -> None:
    for image in ("registry.example/evil:1", f"{cluster.image}-evil", "localhost/modelcar", ""):
        if image:
            said = refused(project, build_job(image))
            assert f"modelcar-build may not run the image {image}, only {cluster.image}: " in said
            assert "may not run the image" in refused(project, build_pod(image))


def test_authorities_that_the_launcher_joined_are_let_in(
    project: Namespace, cluster: AnyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/tmp/joined-by-the-launcher")
    command = authorities.trust_cluster_authorities(PROGRAM, ["/kfp/certs"])
    assert command[:2] == ["sh", "-ec"]

    assert refused(project, build_job(cluster.image, command=command)) == ""
    for place, other in ((2, "exec evil"), (3, "/modelcar/evil"), (0, "bash")):
        changed = [*command[:place], other, *command[place + 1 :]]
        assert "only the build that its image holds" in refused(project, build_job(cluster.image, command=changed))


COMMANDS = {
    "a shell": ["sh", "-c", "id"],
    "other code": ["python3", "-c", "print()"],
    "another module": ["python3", "-P", "-m", "http.server", "{}"],
    "a module of the working directory": [PROGRAM[0], *PROGRAM[2:]],
    "another option": ["python3", "-i", *PROGRAM[2:]],
    "a file": ["python3", "-P", "/modelcar/evil.py", "modelcar.steps.build_in_job", "{}"],
    "more arguments": [*PROGRAM, "more"],
    "fewer": PROGRAM[:4],
    "none": [],
    "our code in the arguments": ["sh", "-ec", "bootstrap", "archive", "packages", "version", *PROGRAM],
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_another_command_is_refused_where_it_would_be_privileged(
    kind: str, project: Namespace, cluster: AnyCluster
) -> None:
    made = build_pod(cluster.image)
    made["spec"]["containers"][0]["command"] = COMMANDS[kind]

    assert "only the build that its image holds" in refused(project, made)


def put(path: str, value: Any) -> Callable[[Json], None]:
    """Make a change: a dotted path below the pod's specification, where `main` is its container."""

    def change(made: Json) -> None:
        *way, last = path.split(".")
        place = made["spec"]
        for name in way:
            place = place["containers"][0] if name == "main" else place.setdefault(name, {})
        if isinstance(value, list) and isinstance(place.get(last), list):
            place[last] = place[last] + value
        else:
            place[last] = value

    return change


OTHER = {"name": "other", "image": "registry.example/other:1"}
CHANGES: dict[str, tuple[Callable[[Json], None], str]] = {
    "arguments": (put("main.args", ["-c", "import evil"]), "only the build that its image holds"),
    "a second container": (put("containers", [OTHER]), "one container"),
    "a container before it": (put("initContainers", [OTHER]), "one container"),
    "the node's network": (put("hostNetwork", True), "the node's network"),
    "the node's processes": (put("hostPID", True), "the node's network"),
    "the node's memory": (put("hostIPC", True), "the node's network"),
    "a directory of the node": (put("volumes", [{"name": "v", "hostPath": {"path": "/"}}]), "nothing of the node"),
    "files of the network": (put("volumes", [{"name": "v", "nfs": {"server": "x", "path": "/"}}]), "nothing of the"),
    "a mount over programs": (
        put("main.volumeMounts", [{"name": "models", "mountPath": "/usr/lib/python3"}]),
        "take the place of a program",
    ),
    "a mount beside it": (
        put("main.volumeMounts", [{"name": "models", "mountPath": "/modelcar/../usr/bin"}]),
        "take the place of a program",
    ),
    "a setting that loads a library": (
        put("main.volumeMounts", [{"name": "models", "mountPath": "/etc/ssl/openssl.cnf"}]),
        "take the place of a program",
    ),
    "the settings beside the certificates": (
        put("main.volumeMounts", [{"name": "models", "mountPath": "/etc/ssl"}]),
        "take the place of a program",
    ),
    "Red Hat's settings of the same": (
        put("main.volumeMounts", [{"name": "models", "mountPath": "/etc/pki/tls"}]),
        "take the place of a program",
    ),
    "a mount that looks so": (
        put("main.volumeMounts", [{"name": "models", "mountPath": "/modelcar-evil"}]),
        "take the place of a program",
    ),
    "PYTHONPATH": (put("main.env", [{"name": "PYTHONPATH", "value": "/modelcar"}]), "it was given: "),
    "LD_PRELOAD": (put("main.env", [{"name": "LD_PRELOAD", "value": "/modelcar/x.so"}]), "LD_PRELOAD"),
    "PATH": (put("main.env", [{"name": "PATH", "value": "/modelcar"}]), "it was given: "),
    "a home on the claim": (put("main.env", [{"name": "HOME", "value": "/modelcar"}]), "it was given: "),
    "a home from elsewhere": (
        put("main.env", [{"name": "HOME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        "it was given: ",
    ),
    "variables from elsewhere": (put("main.envFrom", [{"configMapRef": {"name": "x"}}]), "it was given: "),
    "a working directory": (put("main.workingDir", "/modelcar"), "no working directory"),
    "a hook": (put("main.lifecycle", {"postStart": {"exec": {"command": ["evil"]}}}), "no working directory"),
    "a probe": (put("main.livenessProbe", {"exec": {"command": ["evil"]}}), "no working directory"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_would_lead_to_other_code_or_to_the_node_is_refused(
    change: str, project: Namespace, cluster: AnyCluster
) -> None:
    alter, words = CHANGES[change]
    for made in (build_pod(cluster.image), build_job(cluster.image)):
        template = made if made["kind"] == "Pod" else made["spec"]["template"]
        alter(template)
        assert words in refused(project, made)


@pytest.mark.parametrize(
    "rights",
    [{"capabilities": {"add": ["SYS_ADMIN"]}}, {"capabilities": {"add": ["CHOWN"]}}, {"procMount": "Unmasked"}],
)
def test_single_capabilities_are_refused(rights: Json, project: Namespace, cluster: AnyCluster) -> None:
    made = build_pod(cluster.image, privileged=False)
    made["spec"]["containers"][0]["securityContext"].update(rights)

    said = refused(project, made)

    assert "may have no single capabilities" in said or "procMount" in said


def test_a_pod_of_another_name_is_refused(project: Namespace, cluster: AnyCluster) -> None:
    made = build_pod(cluster.image)
    made["metadata"]["name"] = "other"

    assert "must be called modelcar-build-" in refused(project, made)


def test_a_job_of_the_build_starts_its_pod_and_nobody_is_let_into_it(
    project: Namespace, cluster: AnyCluster, folder: str
) -> None:
    if folder == "openshift":
        pytest.skip("its namespace is opened by an SCC, which this cluster has not")
    job = build_job(cluster.image)
    job["spec"]["template"]["spec"] |= {"volumes": [], "activeDeadlineSeconds": 60}
    job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = []
    made = project.batch.create_namespaced_job(project.name, job)
    name = made.metadata.name
    while not (pods := project.core.list_namespaced_pod(project.name, label_selector=f"job-name={name}").items):
        events = project.core.list_namespaced_event(project.name).items
        assert not [event.message for event in events if event.reason == "FailedCreate"]

    pod = pods[0].metadata.name
    assert pod.startswith("modelcar-build-")
    for method in (project.core.connect_get_namespaced_pod_exec, project.core.connect_get_namespaced_pod_attach):
        with pytest.raises(client.ApiException) as raised:
            method(pod, project.name, **({"command": "id"} if "exec" in method.__name__ else {}))
        assert "nobody may run commands in a pod of modelcar-build" in str(raised.value.body)
    other = {"spec": {"containers": [{"name": "main", "image": "registry.example/evil:1"}]}}
    with pytest.raises(client.ApiException, match="may not run the image"):
        project.core.patch_namespaced_pod(pod, project.name, other)
    beside = {"spec": {"ephemeralContainers": [{**OTHER, "targetContainerName": "main"}]}}
    with pytest.raises(client.ApiException, match="one container"):
        project.core.patch_namespaced_pod_ephemeralcontainers(pod, project.name, beside)
    project.batch.delete_namespaced_job(name, project.name, propagation_policy="Background")


PRIVILEGES = {
    "privileged": (put("main.securityContext.privileged", True), "may be privileged"),
    "the node's network": (put("hostNetwork", True), "the node's network"),
    "a port of the node": (put("main.ports", [{"containerPort": 80, "hostPort": 80}]), "the node's network"),
    "a directory of the node": (put("volumes", [{"name": "v", "hostPath": {"path": "/"}}]), "directories of the node"),
    "a capability": (put("main.securityContext.capabilities", {"add": ["SYS_ADMIN"]}), "usual rights"),
    "no seccomp": (put("securityContext.seccompProfile", {"type": "Unconfined"}), "usual rights"),
    "a sysctl": (put("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]), "usual rights"),
}


@pytest.mark.parametrize("privilege", PRIVILEGES)
def test_no_other_account_gets_what_the_namespace_is_open_for(privilege: str, project: Namespace, folder: str) -> None:
    if folder == "openshift":
        pytest.skip("there the SCCs see to it")
    alter, words = PRIVILEGES[privilege]
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "other"},
        "spec": {"serviceAccountName": OTHER_ACCOUNT, "containers": [copy.deepcopy(OTHER)]},
    }
    assert refused(project, made) == ""

    alter(made)

    assert words in refused(project, made)


@pytest.mark.parametrize(
    ("privilege", "command", "verdict"),
    [
        ("privileged", (*BUILD_PROGRAM, "{}"), "ok"),
        ("nested", (*BUILD_PROGRAM, "{}"), "ok"),
        ("nested", (), "ok"),
        # A step that brings its code along has its Job do so, which a privileged one may not.
        ("privileged", (), "refusal"),
    ],
)
def test_what_preflight_tries_is_judged_as_the_build_is(
    privilege: Privilege, command: tuple[str, ...], verdict: str, project: Namespace, cluster: AnyCluster
) -> None:
    trial = TrialPod({}, SERVICE_ACCOUNT, privilege, cluster.image, command)

    found = check_pod(Cluster(project.api, project.name), trial)

    assert found.verdict == verdict, found
    assert verdict == "ok" or "modelcar compile --image" in found.what
