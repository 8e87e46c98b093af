"""A namespace, with what tests do in it again and again."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kubernetes import client, utils, watch

from tests.kubernetes.given_cluster import GivenCluster
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.waiting import PATIENCE_SECONDS
from tests.parts.registries import Registry

FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Namespace:
    """A namespace of the cluster.

    Attributes:
        name: Its name.
        cluster: The cluster.
    """

    name: str
    cluster: LocalCluster | GivenCluster

    @cached_property
    def api(self) -> Any:
        """A client with the administrator's login."""
        return self.cluster.api

    @cached_property
    def core(self) -> Any:
        """Pods, claims, secrets, events."""
        return client.CoreV1Api(self.api)

    @cached_property
    def batch(self) -> Any:
        """Jobs."""
        return client.BatchV1Api(self.api)

    def create(self, *manifests: Mapping[str, Any]) -> None:
        """Creates objects of any kind."""
        for manifest in manifests:
            utils.create_from_dict(self.api, dict(manifest), namespace=self.name)

    def login(self, name: str, *registries: Registry) -> str:
        """Makes a secret with the registries' logins, as a pipeline names one, and the first one's authority.

        Returns:
            The name.
        """
        auths = {registry.host: registry.auth_entry() for registry in registries}
        files = {".dockerconfigjson": json.dumps({"auths": auths})}
        if registries[0].ca_file:
            files["ca.crt"] = registries[0].ca_file.read_text()
        self.secret(name, files, kind="kubernetes.io/dockerconfigjson")
        return name

    def secret(self, name: str, files: Mapping[str, str], kind: str = "Opaque") -> None:
        """Makes a secret."""
        data = {file: base64.b64encode(content.encode()).decode() for file, content in files.items()}
        self.core.create_namespaced_secret(self.name, {"metadata": {"name": name}, "type": kind, "data": data})

    @contextmanager
    def claim(self, name: str, size: int) -> Iterator[str]:
        """Makes a claim with a file system of its own, and removes it with all pods of the namespace.

        Args:
            name: Its name.
            size: Bytes.

        Yields:
            The name.
        """
        self.cluster.make_claim(self.name, name, size)
        try:
            yield name
        finally:
            self.remove_pods()
            self.cluster.remove_claim(self.name, name)

    def pod(self, name: str) -> Any:
        """A pod as it is now."""
        return self.core.read_namespaced_pod(name, self.name)

    def wait(self, name: str, condition: Callable[[Any], bool], seconds: float = PATIENCE_SECONDS) -> Any:
        """Watches a pod until it is as it should be.

        Args:
            name: The pod.
            condition: Says of the pod whether it is.
            seconds: How long to watch.

        Returns:
            The pod as it is then.

        Raises:
            AssertionError: The time is up; tells the pod's status, events and log.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            stream = watch.Watch().stream(
                self.core.list_namespaced_pod,
                self.name,
                field_selector=f"metadata.name={name}",
                timeout_seconds=max(1, int(left)),
            )
            for event in stream:
                if condition(event["object"]):
                    return event["object"]
        raise AssertionError(f"{name} is not as it should be after {seconds:.0f} s\n{self.told(name)}")

    def finished(self, name: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Watches a pod until it has ended, well or not."""
        return self.wait(name, lambda pod: pod.status.phase in FINISHED, seconds)

    def run(self, manifest: Mapping[str, Any], seconds: float = PATIENCE_SECONDS) -> str:
        """Runs a pod to its end.

        Returns:
            Its log.

        Raises:
            AssertionError: It failed; tells its status, events and log.
        """
        name = manifest["metadata"]["name"]
        self.create(manifest)
        pod = self.finished(name, seconds)
        assert pod.status.phase == "Succeeded", self.told(name)
        return self.log(name)

    def log(self, name: str, container: str = "") -> str:
        """What a pod has said so far, by the container named where it has several."""
        which = {"container": container} if container else {}
        answer = self.core.read_namespaced_pod_log(name, self.name, _preload_content=False, **which)
        return str(answer.data.decode(errors="replace"))

    def events(self, name: str) -> list[str]:
        """What the cluster's parts have said of an object, each with its reason before it."""
        found = self.core.list_namespaced_event(self.name, field_selector=f"involvedObject.name={name}").items
        return [f"{event.reason}: {event.message}" for event in found]

    def told(self, name: str) -> str:
        """All that is known of a pod, for an error message."""
        try:
            log = self.log(name)
        except client.ApiException as error:
            log = str(error.body)
        status = self.api.sanitize_for_serialization(self.pod(name).status)
        return "\n".join([json.dumps(status, indent=1), *self.events(name), log])

    def remove_pods(self) -> None:
        """Removes all pods, and returns when their containers have ended."""
        self.core.delete_collection_namespaced_pod(self.name, grace_period_seconds=1)
        while self.core.list_namespaced_pod(self.name).items:
            time.sleep(0.2)
