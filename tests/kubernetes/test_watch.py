"""Objects as they are and after each change, without asking again and again, and through the API server's restarts."""

import functools
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client, watch

from modelcar.cluster.watch import watched
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.waiting import PATIENCE_SECONDS


class Watcher:
    """Watches a namespace's config maps, and counts what it asks the API server.

    Args:
        namespace: Where.
        is_outdated: Whether the first list is of a version that the server has forgotten, as after a long pause.
    """

    def __init__(self, namespace: Namespace, *, is_outdated: bool = False) -> None:
        self.asked = 0
        self._is_outdated = is_outdated
        self.states: queue.Queue[set[str]] = queue.Queue()
        self._call = namespace.core.list_namespaced_config_map
        self._namespace = namespace.name
        threading.Thread(target=self._watch, daemon=True).start()

    def until(self, wanted: Callable[[set[str]], bool]) -> set[str]:
        """Waits for a state."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not wanted(state := self.states.get(timeout=deadline - time.monotonic())):
            pass
        return state

    def _watch(self) -> None:
        @functools.wraps(self._call)
        def counted(*arguments: Any, **options: Any) -> Any:
            self.asked += 1
            answer = self._call(*arguments, **options)
            if self._is_outdated:
                answer.metadata.resource_version = "1"
                self._is_outdated = False
            return answer

        for found in watched(counted, namespace=self._namespace):
            self.states.put({each.metadata.name for each in found})


@pytest.fixture
def watcher(namespace: Namespace) -> Watcher:
    """Give a watcher of an empty namespace (each has one config map from the start)."""
    watcher = Watcher(namespace)
    watcher.until(lambda names: "kube-root-ca.crt" in names)
    return watcher


def make(namespace: Namespace, name: str) -> None:
    namespace.core.create_namespaced_config_map(namespace.name, {"metadata": {"name": name}})


def test_each_change_arrives_and_nothing_is_asked_twice(watcher: Watcher, namespace: Namespace) -> None:
    for name in ("one", "two", "three"):
        make(namespace, name)
        watcher.until(lambda names, name=name: name in names)
    namespace.core.delete_namespaced_config_map("two", namespace.name)
    watcher.until(lambda names: "two" not in names and {"one", "three"} <= names)
    time.sleep(5)

    # A list and a watch.
    assert watcher.asked == 2


def test_a_version_that_is_gone_is_listed_anew(namespace: Namespace, local_cluster: LocalCluster) -> None:
    # A server that starts remembers no change before.
    local_cluster.plane.stop_api_server()
    local_cluster.plane.start_api_server()
    with pytest.raises(client.ApiException, match="410"):
        next(watch.Watch().stream(namespace.core.list_namespaced_config_map, namespace.name, resource_version="1"))

    watcher = Watcher(namespace, is_outdated=True)
    watcher.until(lambda names: "kube-root-ca.crt" in names)
    make(namespace, "one")
    watcher.until(lambda names: "one" in names)

    # Two lists and two watches, the first of which was refused.
    assert watcher.asked == 4


def test_no_change_is_missed_while_the_server_is_away(
    watcher: Watcher, namespace: Namespace, local_cluster: LocalCluster
) -> None:
    make(namespace, "before")
    watcher.until(lambda names: "before" in names)

    local_cluster.plane.stop_api_server()
    try:
        time.sleep(3)
    finally:
        local_cluster.plane.start_api_server()
    namespace.core.delete_namespaced_config_map("before", namespace.name)
    make(namespace, "after")

    state = watcher.until(lambda names: "after" in names)
    assert "before" not in state
    make(namespace, "later")
    watcher.until(lambda names: "later" in names)
    assert watcher.asked < 20
