"""Images on a base of each kind, in each way in which KServe and Kubeflow Pipelines bring a model to a server."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest
from tests.kubernetes.bases import KINDS, push_bases
from tests.kubernetes.kserve_pods import MODELS, import_model, inject_modelcar, mount_natively, server_pod
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.parts.hub import Hub
from tests.parts.registries import BasicAuthRegistry, auth_file
from tests.parts.steps import stream

MODEL = "example/tiny-llama"
USER = 1000730000
READ = """
import json, os, struct, sys, time
place, done = sys.argv[1:]
while not os.path.exists(f"{place}/config.json"):
    time.sleep(0.2)
weights = min(name for name in os.listdir(place) if name.endswith(".safetensors"))
with open(f"{place}/{weights}", "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
if done:
    open(done, "w").close()
kind = json.load(open(f"{place}/config.json"))["model_type"]
print(json.dumps({"user": [os.getuid(), os.getgid()], "tensors": len(header), "type": kind}))
"""
Settings = dict[str, Any]


@pytest.fixture(scope="module")
def surroundings(
    local_cluster: LocalCluster, pod_registry: BasicAuthRegistry, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Give an image of a model on each kind of base, in a registry that wants a login and that the nodes trust."""
    folder = tmp_path_factory.mktemp("bases")
    assert pod_registry.ca_file
    for node in local_cluster.nodes.values():
        node.trust(pod_registry.host, pod_registry.ca_file)
    logins = auth_file(folder / "auth.json", pod_registry)
    with Hub(folder / "hub") as hub, pytest.MonkeyPatch.context() as environment:
        hub.publish(MODEL, model)
        environment.setenv("HF_ENDPOINT", hub.url)
        environment.setenv("REGISTRY_AUTH_FILE", str(logins))
        environment.setenv("SSL_CERT_FILE", str(pod_registry.ca_file))
        bases = push_bases(pod_registry, logins, folder)
        made = {}
        for kind, base in bases.items():
            target = f"{pod_registry.host}/sleep-on/{kind}:1"
            found = preflight(RunRequest(model=MODEL, target=target, base_image=base, streaming=True), lambda: None)
            warned = [one.what for one in found.findings if one.about == "base image"]
            assert [("has no shell" in one) for one in warned] == ([True] if kind == "scratch" else [])
            made[kind] = str(stream(MODEL, target, base_image=base).image)
    return made


@pytest.fixture
def images(surroundings: dict[str, str]) -> dict[str, str]:
    """Give the images, in place of those that other tests of this folder have on all nodes."""
    return surroundings


def plain(pod: Settings, image: str) -> tuple[Settings, str, str]:
    return inject_modelcar(pod, image), MODELS, ""


def elsewhere(pod: Settings, image: str) -> tuple[Settings, str, str]:
    return inject_modelcar(pod, image, "/mnt/models/base"), "/mnt/models/base", ""


def second(pod: Settings, image: str) -> tuple[Settings, str, str]:
    return inject_modelcar(pod, image, "/mnt/adapters/tiny", index=1), "/mnt/adapters/tiny", ""


def native(pod: Settings, image: str) -> tuple[Settings, str, str]:
    return mount_natively(pod, image), MODELS, ""


def imported(pod: Settings, image: str) -> tuple[Settings, str, str]:
    written, place = import_model(pod, image)
    return written, place, f"{os.path.dirname(place)}/launcher-complete"


WAYS: dict[str, Callable[[Settings, str], tuple[Settings, str, str]]] = {
    "plain": plain,
    "elsewhere": elsewhere,
    "second": second,
    "native": native,
    "imported": imported,
}
CASES = [(kind, way) for kind in KINDS for way in WAYS if kind != "scratch" or way == "native"]


@pytest.mark.parametrize(("kind", "way"), CASES)
def test_model_is_there_on_any_base_in_any_way(
    kind: str,
    way: str,
    images: dict[str, str],
    namespace: Namespace,
    pod_registry: BasicAuthRegistry,
    local_cluster: LocalCluster,
) -> None:
    """As a user that OpenShift would draw, in group 0, with root file systems that nothing can be written to."""
    namespace.login("registry", pod_registry)
    written = server_pod("reader", local_cluster.image, [], node="large", user=USER)
    written, place, done = WAYS[way](written, images[kind])
    reader = written["spec"]["containers"][0]
    reader["command"] = ["python3", "-c", READ, place, done]
    reader.pop("readinessProbe")
    written["spec"]["restartPolicy"] = "Never"
    namespace.create(written)

    def has_read(found: Any) -> bool:
        states = {one.name: one.state for one in found.status.container_statuses or ()}
        return "kserve-container" in states and states["kserve-container"].terminated is not None

    namespace.wait("reader", has_read, seconds=200)

    said = json.loads(namespace.log("reader", container="kserve-container"))
    assert said["type"] == "llama"
    assert said["user"] == [USER, 0]
    assert said["tensors"]
