"""Images of ours in the pods that KServe and Kubeflow Pipelines make of them: a server loads the model and answers."""

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError
from modelcar.steps.preflight.serving_nodes import PULL_FACTOR
from modelcar.steps.warm import LABEL, warm
from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.kserve_pods import MODELS, import_model, inject_modelcar, mount_natively, server_pod
from tests.kubernetes.local_cluster import NODES, LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import RANDOM_USER, pod
from tests.kubernetes.serving.image import SERVER
from tests.kubernetes.serving.images import push_images
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import BasicAuthRegistry, auth_file
from tests.parts.steps import plan, stream

Settings = dict[str, Any]
QUESTION = """
import json, sys, urllib.request
body = json.dumps({"prompt": "hello", "max_tokens": 4}).encode()
request = urllib.request.Request(f"http://{sys.argv[1]}:8080/v1/completions", body)
print(urllib.request.urlopen(request, timeout=600).read().decode())
"""


@pytest.fixture(scope="session")
def images(
    local_cluster: LocalCluster, pod_registry: BasicAuthRegistry, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Give the images of the server and of the model in a registry that wants a login, and that the nodes trust."""
    folder = tmp_path_factory.mktemp("served")
    models = {"tiny/llama": model, "sleepy/sleep-1": model}
    server, made = push_images(local_cluster, pod_registry, folder, models)
    return {"server": server, "model": made["tiny/llama"], "sleepy": made["sleepy/sleep-1"]}


@pytest.fixture
def serving(images: dict[str, str], namespace: Namespace, pod_registry: BasicAuthRegistry) -> Callable[..., Settings]:
    """Give a function that writes a predictor's pod for a node."""
    namespace.login("registry", pod_registry)

    def written(name: str, node: str = "large", path: str = MODELS, user: int = RANDOM_USER) -> Settings:
        return server_pod(name, images["server"], ["python3", SERVER, path], node=node, user=user)

    return written


def answer(namespace: Namespace, cluster: AnyCluster, served: Settings) -> list[str]:
    """Starts a server, asks it when it is ready, and returns what it said when it loaded the model."""
    name = served["metadata"]["name"]
    namespace.create(served)
    running = namespace.wait(name, is_ready)
    command = ["python3", "-c", QUESTION, running.status.pod_ip]
    given = json.loads(namespace.run(pod(f"ask-{name}", command, cluster.image)).splitlines()[-1])
    assert given["usage"]["completion_tokens"] == 4
    assert given["choices"][0]["text"]
    return namespace.log(name, container="kserve-container").splitlines()


def is_ready(found: Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in found.status.conditions or ())


@pytest.mark.parametrize("node", NODES)
def test_model_is_served_as_kserve_injects_it(
    node: str, serving: Callable[..., Settings], images: dict[str, str], namespace: Namespace, cluster: AnyCluster
) -> None:
    said = answer(namespace, cluster, inject_modelcar(serving("plain", node), images["model"]))

    assert said[0].startswith("/mnt/models is there: ['LICENSE', 'README.md', 'config.json'")
    assert namespace.log("plain", container="modelcar-init").splitlines()[-1].startswith("OK ... Prefetched and valid")


@pytest.mark.parametrize("path", ["/mnt/models/base", "/mnt/adapters/tiny-llama"])
def test_model_is_served_from_other_places(
    path: str, serving: Callable[..., Settings], images: dict[str, str], namespace: Namespace, cluster: AnyCluster
) -> None:
    """LLMInferenceService's tokenizer and scheduler, and `storageUris`."""
    answer(namespace, cluster, inject_modelcar(serving("elsewhere", path=path), images["model"], path))


def test_model_is_served_as_any_user_and_with_any_name(
    serving: Callable[..., Settings], images: dict[str, str], namespace: Namespace, cluster: AnyCluster
) -> None:
    answer(namespace, cluster, inject_modelcar(serving("sleepy", user=1000990000), images["sleepy"]))


def test_model_is_served_from_an_image_volume(
    serving: Callable[..., Settings], images: dict[str, str], namespace: Namespace, cluster: AnyCluster
) -> None:
    answer(namespace, cluster, mount_natively(serving("native"), images["model"]))


def test_model_is_there_for_a_pipelines_step(
    serving: Callable[..., Settings], images: dict[str, str], namespace: Namespace
) -> None:
    """As `dsl.importer("oci://…")` gives it; the image's container ends when the launcher says that the step has."""
    written, place = import_model(serving("imported"), images["model"])
    step = written["spec"]["containers"][0]
    step.pop("readinessProbe")
    done = f"{os.path.dirname(place)}/launcher-complete"
    script = f"until [ -e {place}/config.json ]; do sleep 1; done; cat {place}/config.json; touch {done}"
    step["command"] = ["sh", "-c", script]
    written["spec"]["restartPolicy"] = "Never"
    namespace.create(written)

    ended = namespace.finished("imported")

    assert ended.status.phase == "Succeeded", namespace.told("imported")
    assert json.loads(namespace.log("imported", container="kserve-container"))["model_type"] == "llama"


def test_model_stays_when_its_container_is_started_again(
    serving: Callable[..., Settings], images: dict[str, str], namespace: Namespace, cluster: AnyCluster
) -> None:
    written = inject_modelcar(serving("again"), images["model"])
    sidecar = written["spec"]["containers"][1]
    # Ends by itself a moment after it has linked the model; the kubelet starts it again and again.
    sidecar["args"][-1] = sidecar["args"][-1].replace("sleep infinity", "sleep 3")
    namespace.create(written)

    def restarted(found: Any) -> bool:
        states = {one.name: one for one in found.status.container_statuses or ()}
        return is_ready(found) and "modelcar" in states and states["modelcar"].restart_count >= 2

    running = namespace.wait("again", restarted)
    listed = ["python3", "-c", QUESTION, running.status.pod_ip]

    assert "choices" in namespace.run(pod("ask-again", listed, cluster.image))


@pytest.fixture
def project(namespace: Namespace, pod_registry: BasicAuthRegistry) -> Cluster:
    """Give the cluster as modelcar sees it, with a login for the registry in its namespace."""
    namespace.login("registry", pod_registry)
    return Cluster(namespace.api, namespace.name)


def test_image_is_pulled_onto_all_nodes_ahead_of_time(
    project: Cluster, images: dict[str, str], namespace: Namespace
) -> None:
    said: list[str] = []

    done = warm(images["model"], {}, cluster=project, pull_secret="registry", say=said.append)

    assert [(one.node, one.problem) for one in done] == [(node, "") for node in sorted(NODES)]
    assert len(said) == 1 + len(NODES)
    for node in NODES:
        there = pod(f"there-{node}", ["true"], images["model"], node=node)
        there["spec"]["containers"][0]["imagePullPolicy"] = "Never"
        # From 1.35 on a kubelet gives an image that took a login only to pods that have it.
        there["spec"]["imagePullSecrets"] = [{"name": "registry"}]
        namespace.run(there)
    left = namespace.core.list_namespaced_pod(namespace.name, label_selector=LABEL).items
    assert all(one.metadata.deletion_timestamp for one in left)


def test_pull_takes_the_disk_that_the_plan_says(
    project: Cluster,
    local_cluster: LocalCluster,
    pod_registry: BasicAuthRegistry,
    images: dict[str, str],
    tmp_path: Path,
) -> None:
    """Watched while the node pulls; what the plan says is within a tenth of the most that was seen."""
    node = local_cluster.nodes["large"]
    logins = auth_file(tmp_path / "auth.json", pod_registry)
    with Hub(tmp_path / "hub") as hub, pytest.MonkeyPatch.context() as environment:
        big = tiny_llama(tmp_path / "big", bytes_per_shard=60_000_000, consolidated=False)
        hub.publish("example/big", big)
        environment.setenv("HF_ENDPOINT", hub.url)
        environment.setenv("REGISTRY_AUTH_FILE", str(logins))
        environment.setenv("SSL_CERT_FILE", str(pod_registry.ca_file))
        target = f"{pod_registry.host}/big/llama:1"
        planned = plan("example/big", target).image_bytes * PULL_FACTOR
        image = stream("example/big", target).image

    def used() -> int:
        return int(node.machine.run("df", "--output=used", "--block-size=1", "/var/lib").splitlines()[-1])

    before, seen, ended = used(), [0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.append(used())

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = warm(str(image), {"kubernetes.io/hostname": "large"}, cluster=project, pull_secret="registry")
    ended.set()
    watcher.join()

    assert [one.problem for one in done] == [""]
    peak = max(seen) - before
    print(f"the plan said {planned:.0f} bytes, the node used {peak}: {planned / peak:.3f} times that")
    assert 0.9 < planned / peak < 1.1


def test_node_that_cannot_pull_is_named_with_a_remedy(
    project: Cluster, images: dict[str, str], namespace: Namespace
) -> None:
    done = warm(images["model"].replace("tiny/llama", "no/such"), {"kubernetes.io/hostname": "large"}, cluster=project)

    (large,) = done
    assert large.node == "large"
    assert large.problem.startswith("ImagePullBackOff")
    assert "its pull secret may pull it (now: none)" in large.remedy


def test_pull_that_takes_too_long_leaves_no_image(project: Cluster, local_cluster: LocalCluster) -> None:
    with socket.create_server((local_cluster.host, 0)) as silent:
        image = f"{local_cluster.host}:{silent.getsockname()[1]}/team/model:1"
        done = warm(image, {"kubernetes.io/hostname": "large"}, cluster=project, timeout=5)

    assert [(one.node, one.problem) for one in done] == [("large", "the image was not there after 5 s")]


def test_node_without_room_is_named(project: Cluster, images: dict[str, str], namespace: Namespace) -> None:
    taint = {"key": "full", "value": "yes", "effect": "NoExecute"}
    namespace.core.patch_node("small", {"spec": {"taints": [taint]}})
    try:
        done = warm(images["model"], {"kubernetes.io/hostname": "small"}, cluster=project, timeout=2)
    finally:
        namespace.core.patch_node("small", {"spec": {"taints": None}})

    (small,) = done
    assert small.problem.startswith("it took no pod in 2 s: 0/2 nodes are available")
    assert small.remedy == "See what it has: oc describe node small"


def test_labels_that_no_node_has_are_named(project: Cluster, images: dict[str, str]) -> None:
    with pytest.raises(ClusterError, match="no node that takes pods has gpu=none"):
        warm(images["model"], {"gpu": "none"}, cluster=project)
