"""KServe's controllers on the control machine, with the webhooks that write pods, and without any ingress."""

import base64
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
import yaml
from kubernetes import client, utils

from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.machine import MachineError
from tests.kubernetes.waiting import until
from tests.parts.certificates import CertificateAuthority
from tests.parts.go_programs import go_programs, module_folder

HERE = Path(__file__).parent
MODULE = "github.com/kserve/kserve"
NAMESPACE = "kserve"
_PORT, _HEALTH_PORT = 9443, 9081
_LLM_PORT, _LLM_HEALTH_PORT = 9444, 9082
_PROCESS, _LLM_PROCESS = "kserve", "kserve-llm"
_START_SECONDS = 600.0
_NOT_YET = {HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.GATEWAY_TIMEOUT}
_SETTINGS = {
    # No request comes from outside here, and no Istio is there to bring it.
    "ingress": {"disableIngressCreation": True, "disableIstioVirtualHost": True},
    "deploy": {"defaultDeploymentMode": "RawDeployment"},
}
_CRDS = (
    "serving.kserve.io_inferenceservices",
    "serving.kserve.io_servingruntimes",
    "serving.kserve.io_clusterservingruntimes",
    "serving.kserve.io_inferencegraphs",
    "serving.kserve.io_trainedmodels",
    "clusterstoragecontainer/serving.kserve.io_clusterstoragecontainers",
    "llmisvc/serving.kserve.io_llminferenceservices",
    "llmisvc/serving.kserve.io_llminferenceserviceconfigs",
    "localmodel/serving.kserve.io_localmodelcaches",
)
_LWS_MODULE, _LWS = "sigs.k8s.io/lws", "leaderworkerset.x-k8s.io_leaderworkersets"


def programs() -> Path:
    """Builds KServe's controllers unless the cache has them: `manager`, and `llmisvc` for LLMInferenceServices."""
    return go_programs("kserve", HERE)


@contextmanager
def kserve(cluster: LocalCluster) -> Iterator[None]:
    """Runs KServe on a cluster of this machine until the context is left.

    Args:
        cluster: The cluster.

    Raises:
        MachineError: It does not start; with its log.
        BuildError: It cannot be built here.
    """
    built, source = programs(), module_folder(HERE, MODULE)
    folder = Path(tempfile.mkdtemp(dir=cluster.folder, prefix="kserve-"))
    definitions = resource_definitions()
    objects = [*definitions, *_settings(source)]
    for one in objects:
        until(partial(_created, partial(utils.create_from_dict, cluster.api, one)), "KServe's objects to be made")
    authority = CertificateAuthority(folder)
    hooks = _webhooks(source, authority.cert_file)
    try:
        _write_certificate(folder, authority)
        _start(cluster, _PROCESS, built / "manager", folder, (_PORT, _HEALTH_PORT))
        _create_presets(cluster, source)
        _start(cluster, _LLM_PROCESS, built / "llmisvc", folder, (_LLM_PORT, _LLM_HEALTH_PORT))
        for hook in hooks:
            utils.create_from_dict(cluster.api, hook)
        yield
    finally:
        admission = client.AdmissionregistrationV1Api(cluster.api)
        for hook in hooks:
            with contextlib.suppress(client.ApiException):
                kind = "mutating" if hook["kind"].startswith("Mutating") else "validating"
                getattr(admission, f"delete_{kind}_webhook_configuration")(hook["metadata"]["name"])
        for process in (_PROCESS, _LLM_PROCESS):
            cluster.control.stop(process, seconds=5)
        extensions = client.ApiextensionsV1Api(cluster.api)
        for one in definitions:
            extensions.delete_custom_resource_definition(one["metadata"]["name"])
        client.CoreV1Api(cluster.api).delete_namespace(NAMESPACE)


def resource_definitions() -> list[dict[str, Any]]:
    """KServe's own definitions of its resources, and those of others' without which it does nothing."""
    folder = module_folder(HERE, MODULE) / "config" / "crd" / "full"
    files = [folder / f"{one}.yaml" for one in _CRDS]
    # Looked up for each LLMInferenceService, though only those that span several nodes have one.
    files.append(module_folder(HERE, _LWS_MODULE) / "config" / "crd" / "bases" / f"{_LWS}.yaml")
    # They are so large that Python alone would read them for minutes.
    return [yaml.load(file.read_text(), yaml.CSafeLoader) for file in files]


def _settings(source: Path) -> list[dict[str, Any]]:
    """KServe's own settings as it ships them, with those of ours in their place."""
    shipped = yaml.safe_load((source / "config" / "configmap" / "inferenceservice.yaml").read_text())
    for name, changed in _SETTINGS.items():
        shipped["data"][name] = json.dumps({**json.loads(shipped["data"][name]), **changed})
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, shipped]


def _webhooks(source: Path, authority: Path) -> list[dict[str, Any]]:
    """KServe's webhooks as it ships them, at the address that the API server has them at."""
    bundle = base64.b64encode(authority.read_bytes()).decode()
    shipped = yaml.safe_load_all((source / "config" / "webhook" / "manifests.yaml").read_text())
    found = [one for one in shipped if one and one["metadata"]["name"].startswith("inferenceservice.")]
    for one in found:
        for hook in one["webhooks"]:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {"url": f"https://127.0.0.1:{_PORT}{path}", "caBundle": bundle}
            hook["admissionReviewVersions"] = ["v1", "v1beta1"]
    return found


def _create_presets(cluster: LocalCluster, source: Path) -> None:
    """Creates the presets out of which KServe makes an LLMInferenceService's pods, as it ships them."""
    api = client.CustomObjectsApi(cluster.api)
    for file in sorted((source / "config" / "llmisvcconfig").glob("config-*.yaml")):
        preset = yaml.load(file.read_text(), yaml.CSafeLoader)
        where = (*preset["apiVersion"].split("/"), NAMESPACE, "llminferenceserviceconfigs")
        create = partial(api.create_namespaced_custom_object, *where, preset)
        until(partial(_created, create), "KServe's kinds to be served")


def _created(create: Callable[[], object]) -> bool:
    """Creates an object; not yet where its kind is not served yet, or the API server was too busy to answer."""
    try:
        create()
    except (client.ApiException, utils.FailToCreateError) as error:
        failed = error.api_exceptions if isinstance(error, utils.FailToCreateError) else [error]
        found = {one.status for one in failed}
        if found == {HTTPStatus.CONFLICT}:
            return True
        if not found <= _NOT_YET:
            raise
        return False
    return True


def _write_certificate(folder: Path, authority: CertificateAuthority) -> None:
    certificate = authority.issue("kserve")
    # controller-runtime looks below the folder for temporary files.
    place = folder / "k8s-webhook-server" / "serving-certs"
    place.mkdir(parents=True)
    (place / "tls.crt").write_bytes(certificate.cert_file.read_bytes())
    (place / "tls.key").write_bytes(certificate.key_file.read_bytes())


def _start(cluster: LocalCluster, process: str, built: Path, folder: Path, ports: tuple[int, int]) -> None:
    """Starts a controller, and waits until it is ready.

    Args:
        cluster: The cluster.
        process: The process's name on the control machine.
        built: The program.
        folder: Its folder for temporary files, with the certificate.
        ports: Those of its webhooks and of its health.

    Raises:
        MachineError: It does not start; with its log.
    """
    variables = {"KUBECONFIG": cluster.kubeconfig, "TMPDIR": folder, "POD_NAMESPACE": NAMESPACE}
    options = [
        "--metrics-addr=0",
        f"--webhook-port={ports[0]}",
        f"--health-probe-addr={cluster.network.control}:{ports[1]}",
    ]
    command = ["env", *(f"{key}={value}" for key, value in variables.items()), str(built), *options]
    cluster.control.start(process, command)
    deadline = time.monotonic() + _START_SECONDS
    while not _is_ready(cluster, ports[1]):
        if time.monotonic() > deadline or not cluster.control.is_running(process):
            raise MachineError(f"{process} is not ready:\n{cluster.control.log(process).read_text()[-5000:]}")
        time.sleep(0.2)


def _is_ready(cluster: LocalCluster, port: int) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(f"http://{cluster.network.control}:{port}/readyz", timeout=2).ok
        except requests.RequestException:
            return False
