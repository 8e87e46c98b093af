"""Kueue on the control machine: it admits what waits in a queue as far as there is quota; built from its Go module."""

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.machine import MachineError
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.programs.build import kubectl_program
from tests.kubernetes.waiting import until
from tests.parts.go_programs import go_programs, module_folder

START_SECONDS = 600.0
_MODULE = "sigs.k8s.io/kueue"
_SOURCE = Path(__file__).parent / "programs" / "kueue"
_GROUP = ("kueue.x-k8s.io", "v1beta2")
_NAMESPACE, _SECRET, _PROCESS = "kueue-system", "kueue-webhook-server-cert", "kueue"
_WEBHOOK_PORT, _HEALTH_PORT = 9446, 9086
_LEFT_OUT = {"Deployment", "APIService", "ConfigMap"}
"""Kinds of its own configuration that are for a pod of its, or for what nobody asks here."""

_JUDGED = {"mjob.kb.io", "vjob.kb.io", "mpod.kb.io", "vpod.kb.io"}
"""Webhooks for what our pipelines make; those for its own kinds are all kept."""

_FLAVOR = "any-node"


def program() -> Path:
    """Builds Kueue's controller unless the cache has it."""
    return go_programs("kueue", _SOURCE) / "kueue"


@contextmanager
def kueue(cluster: LocalCluster, namespace: Namespace) -> Iterator[None]:
    """Runs it until the context is left; all pods of the namespace are removed then.

    Args:
        cluster: The cluster.
        namespace: The only one whose pods and Jobs it manages: those with a queue's label.

    Raises:
        MachineError: It does not start; with its log.
        BuildError: It cannot be built here.
    """
    built, folder = program(), cluster.folder / "kueue"
    folder.mkdir()
    address = cluster.network.services.rpartition(".")[0] + ".8"
    # As there is no kube-proxy: the service is an address of the machine that serves it.
    cluster.control.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    file = folder / "kueue.yaml"
    objects = _objects(address)
    file.write_text(yaml.safe_dump_all(objects))
    try:
        _kubectl(cluster, "apply", "--server-side", "-f", str(file))
        _start(cluster, built, folder, namespace.name)
        yield
        _empty(namespace)
    finally:
        # First what sends requests to it, for without it none would be let in.
        for kind in ("validatingwebhookconfiguration", "mutatingwebhookconfiguration"):
            names = [each["metadata"]["name"] for each in objects if each["kind"].lower() == kind]
            _kubectl(cluster, "delete", "--ignore-not-found", kind, *names)
        cluster.control.stop(_PROCESS, seconds=5)
        _kubectl(cluster, "delete", "--ignore-not-found", "--wait=false", "-f", str(file))
        cluster.control.run("ip", "address", "delete", f"{address}/32", "dev", "lo")
        shutil.rmtree(folder)


def make_queue(namespace: Namespace, name: str, quota: dict[str, str]) -> None:
    """Makes a queue of a namespace, with a quota of its own.

    Args:
        namespace: The namespace.
        name: The queue's name.
        quota: How much of each resource what waits in it may have at once.
    """
    objects = client.CustomObjectsApi(namespace.api)
    flavor = {"metadata": {"name": _FLAVOR}, "spec": {}}
    whole = {"metadata": {"name": name}, "spec": {"namespaceSelector": {}, "resourceGroups": _groups(quota)}}
    local = {"metadata": {"name": name}, "spec": {"clusterQueue": name}}
    for plural, kind, body in (("resourceflavors", "ResourceFlavor", flavor), ("clusterqueues", "ClusterQueue", whole)):
        named = {"apiVersion": "/".join(_GROUP), "kind": kind, **body}
        objects.create_cluster_custom_object(*_GROUP, plural, named)
    named = {"apiVersion": "/".join(_GROUP), "kind": "LocalQueue", **local}
    objects.create_namespaced_custom_object(*_GROUP, namespace.name, "localqueues", named)


def change_quota(namespace: Namespace, name: str, quota: dict[str, str]) -> None:
    """Gives a queue another quota."""
    body = {"spec": {"resourceGroups": _groups(quota)}}
    client.CustomObjectsApi(namespace.api).patch_cluster_custom_object(*_GROUP, "clusterqueues", name, body)


def admitted(namespace: Namespace) -> set[str]:
    """Returns what was admitted: pods and Jobs, by their names."""
    return {
        name for name, workload in _workloads(namespace) if _condition(workload, "Admitted").get("status") == "True"
    }


def waiting_for(namespace: Namespace, name: str) -> str:
    """Returns why a pod or Job has no quota; empty if it has, or nobody has looked yet."""
    conditions = (_condition(workload, "QuotaReserved") for owner, workload in _workloads(namespace) if owner == name)
    return next((one["message"] for one in conditions if one.get("status") == "False"), "")


def _workloads(namespace: Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields Kueue's notes of pods and Jobs, with whose they are."""
    objects = client.CustomObjectsApi(namespace.api)
    for one in objects.list_namespaced_custom_object(*_GROUP, namespace.name, "workloads")["items"]:
        for owner in one["metadata"].get("ownerReferences", ()):
            yield owner["name"], one


def _condition(workload: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((one for one in workload.get("status", {}).get("conditions", ()) if one["type"] == kind), {})


def _groups(quota: dict[str, str]) -> list[dict[str, Any]]:
    resources = [{"name": name, "nominalQuota": size} for name, size in quota.items()]
    return [{"coveredResources": [*quota], "flavors": [{"name": _FLAVOR, "resources": resources}]}]


def _objects(address: str) -> list[dict[str, Any]]:
    """Its own configuration, as its release is made of it, for a process instead of a pod."""
    folder = module_folder(_SOURCE, _MODULE) / "config" / "default"
    made = subprocess.run([kubectl_program(), "kustomize", folder], check=True, capture_output=True, text=True).stdout
    # It is so large that Python alone would read it for minutes.
    objects = [each for each in yaml.load_all(made, yaml.CSafeLoader) if each["kind"] not in _LEFT_OUT]
    for each in objects:
        if each["kind"] == "Service" and each["metadata"]["name"].endswith("webhook-service"):
            each["spec"] = {"clusterIP": address, "ports": [{"name": "https", "port": _WEBHOOK_PORT}]}
        if "webhooks" in each:
            each["webhooks"] = [hook for hook in each["webhooks"] if _is_kept(hook)]
        for hook in each.get("webhooks", []):
            hook["clientConfig"]["service"]["port"] = _WEBHOOK_PORT
        conversion = each["spec"].get("conversion", {}) if each["kind"] == "CustomResourceDefinition" else {}
        if "webhook" in conversion:
            conversion["webhook"]["clientConfig"]["service"]["port"] = _WEBHOOK_PORT
    return objects


def _is_kept(hook: dict[str, Any]) -> bool:
    return hook["name"] in _JUDGED or all(_GROUP[0] in rule["apiGroups"] for rule in hook["rules"])


def _start(cluster: LocalCluster, built: Path, folder: Path, namespace: str) -> None:
    certificates = folder / "certificates"
    certificates.mkdir()
    settings = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": _NAMESPACE,
        "health": {"healthProbeBindAddress": f"{cluster.network.control}:{_HEALTH_PORT}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": _WEBHOOK_PORT, "certDir": str(certificates)},
        "leaderElection": {"leaderElect": False},
        "managedJobsNamespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "integrations": {"frameworks": ["batch/job", "pod"]},
        # A server of its own, for which nobody asks here.
        "featureGates": {"VisibilityOnDemand": False},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    options = [f"--config={folder / 'settings.yaml'}"]
    variables = [f"KUBECONFIG={cluster.kubeconfig}", f"HOME={folder}", f"TMPDIR={folder}"]
    cluster.control.start(_PROCESS, ["env", f"--chdir={folder}", *variables, str(built), *options])
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(cluster, certificates):
        if time.monotonic() > deadline or not cluster.control.is_running(_PROCESS):
            raise MachineError(f"Kueue is not ready:\n{cluster.control.log(_PROCESS).read_text()[-5000:]}")
        time.sleep(0.5)


def _is_ready(cluster: LocalCluster, certificates: Path) -> bool:
    """Tells whether its webhooks serve; until then gives it the certificate that it made, which a pod has mounted."""
    secret: Any = client.CoreV1Api(cluster.api).read_namespaced_secret(_SECRET, _NAMESPACE)
    for name, content in (secret.data or {}).items():
        (certificates / name).write_bytes(base64.b64decode(content))
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((cluster.network.control, _WEBHOOK_PORT)) == 0


def _empty(namespace: Namespace) -> None:
    """Deletes what it managed while it is there to take its finalizers away."""
    namespace.remove_pods()
    objects = client.CustomObjectsApi(namespace.api)
    for plural in ("workloads", "localqueues"):
        objects.delete_collection_namespaced_custom_object(*_GROUP, namespace.name, plural)
    for plural in ("clusterqueues", "resourceflavors"):
        objects.delete_collection_cluster_custom_object(*_GROUP, plural)
    kinds = ("workloads", "localqueues", "clusterqueues", "resourceflavors")
    until(lambda: not any(objects.list_cluster_custom_object(*_GROUP, one)["items"] for one in kinds), "all is gone")


def _kubectl(cluster: LocalCluster, *arguments: str) -> None:
    command = [kubectl_program(), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
