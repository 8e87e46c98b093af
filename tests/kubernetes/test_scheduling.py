"""Where pods land: by the node's label, and by the room on its disk."""

from typing import Any

from kubernetes import client

from tests.kubernetes.conftest import AnyCluster, Label
from tests.kubernetes.image import TINY_IMAGE
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import pod

BUILD_NODE = "ai-build-node"


def unschedulable(pod: Any) -> bool:
    return any(
        condition.type == "PodScheduled" and condition.reason == "Unschedulable"
        for condition in pod.status.conditions or ()
    )


def message_of(pod: Any) -> str:
    return next(str(condition.message) for condition in pod.status.conditions if condition.type == "PodScheduled")


def test_a_pod_that_wants_a_label_waits_for_it(namespace: Namespace, cluster: AnyCluster, label: Label) -> None:
    node = client.CoreV1Api(cluster.api).list_node().items[-1].metadata.name
    namespace.create(pod("labelled", ["true"], cluster.image, node_selector={BUILD_NODE: namespace.name}))

    waiting = namespace.wait("labelled", unschedulable)
    assert waiting.status.phase == "Pending"
    assert "didn't match Pod's node affinity/selector" in message_of(waiting)

    label(node, BUILD_NODE, namespace.name)
    finished = namespace.finished("labelled")
    assert finished.status.phase == "Succeeded", namespace.told("labelled")
    assert finished.spec.node_name == node


def test_no_node_takes_a_request_for_160_gibibytes(namespace: Namespace, local_cluster: AnyCluster) -> None:
    namespace.create(pod("large", ["true"], TINY_IMAGE, requests={"ephemeral-storage": "160Gi"}))

    waiting = namespace.wait("large", unschedulable)

    assert "2 Insufficient ephemeral-storage" in message_of(waiting)
    assert any(event.startswith("FailedScheduling: 0/2 nodes are available") for event in namespace.events("large")), (
        namespace.told("large")
    )


def test_a_request_that_only_the_large_disk_can_hold_lands_there(
    namespace: Namespace, local_cluster: AnyCluster
) -> None:
    namespace.create(pod("fits", ["true"], TINY_IMAGE, requests={"ephemeral-storage": "8Gi"}))

    assert namespace.finished("fits").spec.node_name == "large"
