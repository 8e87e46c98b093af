"""Sigstore's policy-controller, which lets pods in by their images' signatures; built from its Go module."""

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
from tests.kubernetes.programs.build import kubectl_program
from tests.parts.go_programs import go_programs, module_folder

INCLUDED = {"policy.sigstore.dev/include": "true"}
"""Labels of a namespace whose pods it judges."""

EXAMPLE = Path(__file__).parents[2] / "manifests" / "image-policy.example.yaml"

START_SECONDS = 600.0
_MODULE = "github.com/sigstore/policy-controller"
_SOURCE = Path(__file__).parent / "programs" / "policy_controller"
_NAMESPACE, _PORT = "cosign-system", 8443
_FILES = ("100-", "300-", "400-", "500-", "501-", "config-")
"""Of its own configuration: all but what gives a pod of its rights, for here it is a process."""


def policy_controller_program() -> Path:
    """Builds it unless that was done before, and returns the program."""
    return go_programs("policy-controller", _SOURCE) / "webhook"


@contextmanager
def policy_controller(cluster: LocalCluster, authority: Path) -> Iterator[None]:
    """Runs it on the control machine, with its own configuration.

    Args:
        cluster: The cluster.
        authority: The certificate authority of the registry that it asks.
    """
    program = policy_controller_program()
    address = cluster.network.services.rpartition(".")[0] + ".7"
    # As there is no kube-proxy: the service is an address of the machine that serves it.
    cluster.control.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    objects = _objects(module_folder(_SOURCE, _MODULE) / "config", address)
    file = cluster.folder / "policy-controller.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    try:
        _kubectl(cluster, "apply", "--server-side", "-f", str(file))
        variables = {
            "KUBECONFIG": cluster.kubeconfig,
            "HOME": cluster.folder,
            "SSL_CERT_FILE": authority,
            "SYSTEM_NAMESPACE": _NAMESPACE,
            "CONFIG_LOGGING_NAME": "config-logging",
            "METRICS_DOMAIN": "sigstore.dev/policy",
            "WEBHOOK_NAME": "webhook",
            "POD_NAME": "policy-controller",
        }
        named = [f"{name}={value}" for name, value in variables.items()]
        cluster.control.start("policy-controller", ["env", *named, str(program), "-disable-tuf"])
        _wait(cluster)
        yield
    finally:
        # First what sends requests to it, for without it none would be let in.
        for thing in ("validatingwebhookconfiguration", "mutatingwebhookconfiguration"):
            names = [each["metadata"]["name"] for each in objects if each["kind"].lower() == thing]
            _kubectl(cluster, "delete", "--ignore-not-found", thing, *names)
        _kubectl(cluster, "delete", "--ignore-not-found", "-f", str(file))
        cluster.control.stop("policy-controller", seconds=5)
        cluster.control.run("ip", "address", "delete", f"{address}/32", "dev", "lo")


def policy(name: str, images: str, public_key: Path) -> dict[str, Any]:
    """Makes the policy of manifests/: some images must be signed with a key.

    Args:
        name: The policy's name.
        images: A glob of images.
        public_key: The key.
    """
    made: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    made["metadata"]["name"] = name
    made["spec"]["images"] = [{"glob": images}]
    (authority,) = made["spec"]["authorities"]
    authority["key"]["data"] = public_key.read_text()
    return made


def _objects(folder: Path, address: str) -> list[dict[str, Any]]:
    files = sorted(file for file in folder.glob("*.yaml") if file.name.startswith(_FILES))
    objects = [each for file in files for each in yaml.safe_load_all(file.read_text()) if each]
    for each in objects:
        if each["kind"] == "Service":
            each["spec"] = {"clusterIP": address, "ports": [{"name": "https", "port": _PORT}]}
        for webhook in each.get("webhooks", []):
            webhook["clientConfig"]["service"]["port"] = _PORT
        conversion = each["spec"].get("conversion", {}) if each["kind"] == "CustomResourceDefinition" else {}
        if "webhook" in conversion:
            conversion["webhook"]["clientConfig"]["service"]["port"] = _PORT
    return objects


def _wait(cluster: LocalCluster) -> None:
    """Waits until it serves, and has told the API server by which authority it is known."""
    webhooks = client.AdmissionregistrationV1Api(cluster.api)
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = webhooks.list_validating_webhook_configuration().items
        known = [each for one in found if "sigstore.dev" in one.metadata.name for each in one.webhooks or []]
        if known and all(each.client_config.ca_bundle and each.rules for each in known) and _answers(cluster):
            return
        if time.monotonic() > deadline or not cluster.control.is_running("policy-controller"):
            log = cluster.control.log("policy-controller").read_text()
            raise MachineError(f"policy-controller is not ready:\n{log[-5000:]}")
        time.sleep(0.5)


def _answers(cluster: LocalCluster) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((cluster.network.control, _PORT)) == 0


def _kubectl(cluster: LocalCluster, *arguments: str) -> None:
    command = [kubectl_program(), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
