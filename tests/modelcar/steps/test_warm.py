"""Outcomes of nodes' pulls, from pods as kubelets and the scheduler leave them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar.cluster.connection import Cluster
from modelcar.steps.warm import WarmNode, warm
from tests.parts.recorded_api import RecordedApi

PODS = "/api/v1/namespaces/my-project/pods"
IMAGE = "quay.io/team/granite:1"
UNKNOWN = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "The container could not be located"}


@pytest.fixture
def api() -> Iterator[RecordedApi]:
    """Give a cluster with one node."""
    with RecordedApi() as server:
        node = {"metadata": {"name": "gpu-1", "labels": {"kubernetes.io/hostname": "gpu-1"}}, "spec": {}}
        node["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
        server.answers["/api/v1/nodes"] = (200, {"items": [node]})
        server.answers |= {f"POST {PODS}": (201, {}), f"DELETE {PODS}": (200, {})}
        yield server


def container(made: bool = True, **state: Any) -> dict[str, Any]:
    found = {"name": "pull", "image": IMAGE, "imageID": "", "ready": False, "restartCount": 0, "state": state}
    return {"containerStatuses": [{**found, "containerID": "containerd://1"} if made else found]}


def outcome(api: RecordedApi, folder: Path, said: list[str], **status: Any) -> WarmNode:
    pod = {
        "metadata": {"name": "modelcar-warm-1", "uid": "1"},
        "spec": {"containers": [], "nodeSelector": {"kubernetes.io/hostname": "gpu-1"}},
        "status": {"phase": "Pending", **status},
    }
    api.answers[PODS] = (200, {"items": [pod], "metadata": {"resourceVersion": "1"}})
    cluster = Cluster.of(str(api.kubeconfig(folder / "config")))
    (done,) = warm(IMAGE, {}, cluster=cluster, pull_secret="quay", timeout=0, say=said.append)
    return done


@pytest.mark.parametrize(
    ("status", "problem", "remedy"),
    [
        (container(terminated={"exitCode": 0}), "", ""),
        (container(terminated={"exitCode": 128, "reason": "StartError"}), "", ""),
        (container(made=False, waiting={"reason": "CreateContainerConfigError"}), "", ""),
        (
            {
                **container(made=False, terminated=UNKNOWN),
                "phase": "Failed",
                "reason": "Evicted",
                "message": "low on disk",
            },
            "Evicted: low on disk",
            "A node needs twice the image's size while it pulls. See what it has: oc describe node gpu-1",
        ),
        (
            {**container(made=False, terminated=UNKNOWN), "phase": "Failed", "reason": "DeadlineExceeded"},
            "the image was not there after 0 s",
            "Give it more time (timeout)",
        ),
        (
            {"phase": "Failed", "reason": "OutOfmemory", "message": "not enough memory"},
            "OutOfmemory: not enough memory",
            "See what it has: oc describe node gpu-1",
        ),
        (
            container(made=False, waiting={"reason": "ImagePullBackOff", "message": "unauthorized"}),
            "ImagePullBackOff: unauthorized",
            "Check the image's name, and that its pull secret may pull it (now: none). Try `oc image info "
            + IMAGE
            + "`",
        ),
    ],
)
def test_node_is_warm_where_a_container_was_made_of_the_image(
    status: dict[str, Any], problem: str, remedy: str, api: RecordedApi, tmp_path: Path
) -> None:
    done = outcome(api, tmp_path, [], **status)

    assert (done.node, done.problem, done.remedy) == ("gpu-1", problem, remedy)


def test_node_without_room_is_named_while_it_may_pass(api: RecordedApi, tmp_path: Path) -> None:
    said: list[str] = []
    why = "0/1 nodes are available: 1 Insufficient memory."
    waits = {"type": "PodScheduled", "status": "False", "message": f"{why} preemption: 0/1 nodes are available."}
    done = outcome(api, tmp_path, said, conditions=[waits])

    assert said[1:] == [f"gpu-1: it takes no pod yet: {why}"]
    assert done.problem == f"it took no pod in 0 s: {why}"
    assert done.remedy == "See what it has: oc describe node gpu-1"
