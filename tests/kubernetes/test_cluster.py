"""The cluster itself: it is a real one, can be disturbed as real ones are, and leaves nothing behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import urllib3
from kubernetes import client, watch

from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.image import TINY_IMAGE
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import CLAIM_PATH, pod
from tests.kubernetes.waiting import PATIENCE_SECONDS

LIST_PODS = """
from kubernetes import client, config
config.load_incluster_config()
namespace = open("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read()
try:
    print([pod.metadata.name for pod in client.CoreV1Api().list_namespaced_pod(namespace).items])
except client.ApiException as error:
    print(error.status, error.body)
"""
UP_AND_STAY = """
import os, sys, time
from pathlib import Path
from tests.kubernetes.local_cluster import LocalCluster
theirs, ours = os.pipe()
LocalCluster(Path(sys.argv[1])).up(tied_to=theirs)
time.sleep(600)
"""


def job(name: str, *command: str) -> dict[str, object]:
    template = pod(name, command, TINY_IMAGE)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": template["spec"]}, "backoffLimit": 2},
    }


def traces(folder: Path) -> list[str]:
    """What is left of a cluster outside its folder."""
    found = [str(process.pid) for process in psutil.process_iter() if _is_of(process, folder)]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    loops = json.loads(subprocess.check_output(["losetup", "--json", "--list"]) or b'{"loopdevices": []}')
    return found + [loop["name"] for loop in loops["loopdevices"] if str(folder) in loop["back-file"]]


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def network_and_groups(number: int) -> list[str]:
    """The network devices, routes and control groups of a cluster."""
    devices = [device.name for device in Path("/sys/class/net").iterdir() if device.name == f"modelcar{number}"]
    routes = [
        line for line in subprocess.check_output(["ip", "route"], text=True).splitlines() if f"10.{number}." in line
    ]
    groups = [str(group) for depth in ("", "*/") for group in Path("/sys/fs/cgroup").glob(f"{depth}modelcar{number}")]
    return devices + routes + groups


@pytest.fixture
def another(tmp_path: Path) -> Iterator[LocalCluster]:
    """Give a second cluster, not yet started."""
    another = LocalCluster(tmp_path / "another")
    yield another
    if another.folder.exists():
        another.down()


def test_a_cluster_leaves_no_trace(another: LocalCluster) -> None:
    another.up()
    number = another.network.number
    assert traces(another.folder)
    assert len(network_and_groups(number)) > 3
    another.make_claim("default", "models", 20 << 20)

    another.down()

    assert traces(another.folder) == []
    assert network_and_groups(number) == []
    assert not another.folder.exists()
    assert not Path("/var/lib/kubelet").exists()


def test_a_cluster_ends_with_the_process_that_it_is_tied_to(another: LocalCluster) -> None:
    with subprocess.Popen([sys.executable, "-c", UP_AND_STAY, str(another.folder)]) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not another.folder.joinpath("machines", "large", "kubelet.pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)

    while traces(another.folder):
        assert time.monotonic() < deadline, traces(another.folder)
        time.sleep(0.1)
    number = another.network.number
    another.down()
    # The kernel may be at it already, for the machine that it belonged to is gone.
    while network_and_groups(number):
        assert time.monotonic() < deadline, network_and_groups(number)
        time.sleep(0.1)


def test_pods_reach_the_api_server_and_may_do_what_their_account_may(namespace: Namespace, cluster: AnyCluster) -> None:
    refused = namespace.run(pod("refused", ["python3", "-c", LIST_PODS], cluster.image))
    assert refused.startswith("403 ")
    assert f"system:serviceaccount:{namespace.name}:default" in refused

    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace.name}
    group = "rbac.authorization.k8s.io/v1"
    namespace.create(
        {"apiVersion": group, "kind": "Role", "metadata": {"name": "reader"}, "rules": rules},
        {
            "apiVersion": group,
            "kind": "RoleBinding",
            "metadata": {"name": "reader"},
            "roleRef": reference,
            "subjects": [subject],
        },
    )
    assert "'allowed'" in namespace.run(pod("allowed", ["python3", "-c", LIST_PODS], cluster.image))


def test_privileged_pods_are_refused_where_the_namespace_is_restricted(namespace: Namespace) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace.core.patch_namespace(namespace.name, {"metadata": {"labels": labels}})

    with pytest.raises(Exception, match="violates PodSecurity"):
        namespace.create(pod("privileged", ["true"], TINY_IMAGE, user=0, privileged=True))


def test_a_claim_can_be_full(namespace: Namespace, local_cluster: LocalCluster) -> None:
    with namespace.claim("full", 20 << 20):
        fill = f"dd if=/dev/zero of={CLAIM_PATH}/zeros bs=1M count=50 2>&1 || true"
        assert "No space left on device" in namespace.run(pod("fill", ["sh", "-c", fill], TINY_IMAGE, claim="full"))


def test_a_lost_nodes_work_is_done_on_the_other(
    namespace: Namespace, local_cluster: LocalCluster, lose_node: Callable[[str], None]
) -> None:
    namespace.create(job("work", "sleep", "infinity"))
    pods = namespace.core.list_namespaced_pod
    while not [found for found in pods(namespace.name).items if found.status.phase == "Running"]:
        time.sleep(0.2)
    first = pods(namespace.name).items[0].spec.node_name

    lose_node(first)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        running = {found.spec.node_name for found in pods(namespace.name).items if found.status.phase == "Running"}
        if running - {first}:
            break
        assert time.monotonic() < deadline, running
        time.sleep(0.5)
    namespace.batch.delete_namespaced_job("work", namespace.name, propagation_policy="Background")


def test_pods_outlive_a_restart_of_the_api_server(namespace: Namespace, local_cluster: LocalCluster) -> None:
    namespace.create(pod("long", ["sleep", "12"], TINY_IMAGE))
    namespace.wait("long", lambda found: found.status.phase == "Running")
    cut = watch.Watch().stream(namespace.core.list_namespaced_pod, namespace.name)
    next(cut)

    local_cluster.plane.stop_api_server()
    with pytest.raises(urllib3.exceptions.HTTPError):
        client.CoreV1Api(local_cluster.api).list_namespace(_request_timeout=1)
    local_cluster.plane.start_api_server()

    assert namespace.finished("long").status.phase == "Succeeded"
