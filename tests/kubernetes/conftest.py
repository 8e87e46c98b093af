"""The cluster, one for each test process, and a namespace for each test."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client

# Fixtures of the tests of builds in Jobs.
from tests.kubernetes.build_jobs import directory, project, registry  # noqa: F401
from tests.kubernetes.given_cluster import GivenCluster
from tests.kubernetes.kfp import project as kfp_project
from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.kfp.given_backend import GivenBackend, given_backend
from tests.kubernetes.kfp.laptop import MODEL, Laptop
from tests.kubernetes.kfp.surroundings import Surroundings, make_known, surroundings

# A run that tests of several files look at.
from tests.kubernetes.kfp.whole_run import whole_run  # noqa: F401
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.parts.hub import Hub
from tests.parts.registries import BasicAuthRegistry, registry_with_tls

KUEUE_QUEUE = "builds"
AnyCluster = LocalCluster | GivenCluster
Label = Callable[[str, str, str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder, and have the files go first whose runs take minutes: the others fill the end."""
    own = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in own:
        item.add_marker(pytest.mark.cluster)
    slow = {item.path for item in own if "kfp_backend" in getattr(item, "fixturenames", ())}
    quick = {item.path for item in own if item.path.name != "test_job.py"} - slow
    items.sort(key=lambda item: item.path in quick)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyCluster]:
    """Give a cluster: the one of KUBECONFIG, or else a fresh one on this machine, gone afterwards."""
    if kubeconfig := os.environ.get("KUBECONFIG"):
        started = LocalCluster.of(Path(kubeconfig))
        if started:
            started.load_images()
        yield started or GivenCluster()
        return
    local = LocalCluster(tmp_path_factory.mktemp("cluster") / "cluster")
    # The kernel closes our end when this process is killed, and the cluster ends with it.
    theirs, ours = os.pipe()
    try:
        local.up(tied_to=theirs)
        local.load_images()
        yield local
    finally:
        os.close(ours)
        os.close(theirs)
        if local.folder.exists():
            local.down()


@pytest.fixture(scope="session")
def local_cluster(cluster: AnyCluster) -> LocalCluster:
    """Give a cluster whose nodes can be stopped and filled: one that was started on this machine."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip("stops or fills nodes, which is not done to the cluster of KUBECONFIG")
    return cluster


@pytest.fixture(autouse=True)
def images(request: pytest.FixtureRequest) -> None:
    """Bring back images that a node lost while an earlier test filled its disk."""
    if "cluster" in request.fixturenames:
        cluster = request.getfixturevalue("cluster")
        if isinstance(cluster, LocalCluster):
            cluster.bring_images_back()
    if "kfp_backend" in request.fixturenames:
        backend = request.getfixturevalue("kfp_backend")
        if isinstance(backend, Backend):
            backend.bring_image_back()


@pytest.fixture
def namespace(cluster: AnyCluster) -> Iterator[Namespace]:
    """Give an empty namespace, gone afterwards with all that is in it."""
    namespace = Namespace(f"test-{uuid.uuid4().hex[:8]}", cluster)
    namespace.core.create_namespace({"metadata": {"name": namespace.name}})
    while not namespace.core.list_namespaced_service_account(namespace.name).items:
        time.sleep(0.05)
    yield namespace
    namespace.remove_pods()
    namespace.core.delete_namespace(namespace.name)


@pytest.fixture
def label(cluster: AnyCluster) -> Iterator[Label]:
    """Give a function that labels a node; the labels are taken off afterwards."""
    core = client.CoreV1Api(cluster.api)
    labelled: list[tuple[str, str]] = []

    def set_label(node: str, name: str, value: str) -> None:
        labelled.append((node, name))
        core.patch_node(node, {"metadata": {"labels": {name: value}}})

    yield set_label
    for node, name in labelled:
        core.patch_node(node, {"metadata": {"labels": {name: None}}})


@pytest.fixture
def lose_node(local_cluster: LocalCluster) -> Iterator[Callable[[str], None]]:
    """Give a function that takes a node from the cluster: its kubelet stops. Afterwards it is there again."""
    lost: list[str] = []

    def stop_kubelet(name: str) -> None:
        lost.append(name)
        local_cluster.nodes[name].stop_kubelet()

    yield stop_kubelet
    for name in lost:
        local_cluster.nodes[name].start_kubelet()
    local_cluster.wait_for_nodes()


@pytest.fixture(scope="session")
def pod_registry(cluster: AnyCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BasicAuthRegistry]:
    """Give a registry that pods reach: with TLS and a password."""
    with registry_with_tls(tmp_path_factory.mktemp("pod-registry"), cluster.host) as started:
        yield started


@pytest.fixture
def pod_hub(cluster: AnyCluster, tmp_path: Path) -> Iterator[Hub]:
    """Give an empty Hub that pods reach."""
    with Hub(tmp_path / "pod-hub", host=cluster.host) as hub:
        yield hub


@pytest.fixture(scope="session")
def kfp_backend(cluster: AnyCluster, request: pytest.FixtureRequest) -> Iterator[Backend | GivenBackend]:
    """Give Kubeflow Pipelines in a project that is set up as manifests/ say; what runs already is left running."""
    if given := given_backend(cluster):
        yield given
        return
    backend = Backend(request.getfixturevalue("local_cluster"))
    if backend.is_up:
        yield backend
        return
    backend.up()
    kfp_project.set_up(backend)
    yield backend
    kfp_project.take_back(backend)
    backend.down()


@pytest.fixture(scope="session")
def kfp_surroundings(kfp_backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    """Give a Hub, two registries and a Model Registry that the backend's runs reach and have logins for."""
    with surroundings(tmp_path_factory.mktemp("surroundings"), kfp_backend.cluster.host) as servers:
        make_known(servers, kfp_backend)
        yield servers


@pytest.fixture(scope="session")
def compiled_for_backend(kfp_backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder with our pipelines as a team compiles them for a backend of this release and its own image.

    But for the pauses between the attempts at a step, which tests would have to wait for.
    """
    folder = tmp_path_factory.mktemp("compiled")
    command = [
        "compile",
        "--output",
        str(folder),
        "--image",
        kfp_backend.cluster.image,
        "--for",
        kfp_backend.compiled_for,
        # Nobody admits anything here; that the label is on all that waits can be seen without Kueue.
        "--queue",
        KUEUE_QUEUE,
    ]
    subprocess.run([Path(sys.executable).with_name("modelcar"), *command], check=True)
    for file in folder.glob("*.yaml"):
        file.write_text(file.read_text().replace("backoffDuration: 60s", "backoffDuration: 1s"))
    return folder


@pytest.fixture
def laptop(
    kfp_backend: Backend,
    kfp_surroundings: Surroundings,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Laptop:
    """Give a login to the cluster on a person's laptop, and a model on the Hub."""
    kfp_surroundings.hub.publish(MODEL, model)
    config = yaml.safe_load(kfp_backend.cluster.kubeconfig.read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = PROJECT
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("NO_PROXY", "*")
    return Laptop(kfp_backend, kfp_surroundings)
