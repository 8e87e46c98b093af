"""What the backend has in the cluster: definitions, a project, services, configuration, the runs' service account."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.kubernetes.kfp import api_server, controllers, metadata, object_store
from tests.kubernetes.kfp.programs import definitions
from tests.kubernetes.network import Network

ACCOUNT = "pipeline-runner-dspa"
"""The service account of the runs' pods, with the name that it has on OpenShift AI."""

STORE_SECRET = "mlpipeline-minio-artifact"
"""The object store's login, which all pods of a run have for their logs."""

_SERVICES: dict[str, dict[str, int]] = {
    "ml-pipeline": {"http": api_server.HTTP_PORT, "grpc": api_server.GRPC_PORT},
    "metadata-grpc-service": {"grpc-api": metadata.PORT},
    "minio-service": {"http": object_store.PORT},
}
_FIRST_ADDRESS = 10


def addresses(network: Network) -> dict[str, str]:
    """The services' addresses: fixed ones, for the control machine must have them.

    There is no DNS in the cluster: the kubelets tell pods of the services of their namespace by variables, where driver
    and launcher of older releases look first, and admission.py by /etc/hosts.
    """
    prefix = network.services.rpartition(".")[0]
    return {name: f"{prefix}.{number}" for number, name in enumerate(_SERVICES, start=_FIRST_ADDRESS)}


def custom_resource_definitions() -> list[dict[str, Any]]:
    """Of Workflows and ScheduledWorkflows, with all that go with them."""
    documents = (yaml.safe_load(file.read_text()) for file in definitions())
    return [document for document in documents if document["kind"] == "CustomResourceDefinition"]


def project_objects(network: Network) -> Iterator[dict[str, Any]]:
    """All that is in the project."""
    for name, address in addresses(network).items():
        yield _service(name, address, _SERVICES[name])
    yield _object("Secret", STORE_SECRET, stringData=_store_login())
    metadata_address = {
        "METADATA_GRPC_SERVICE_HOST": addresses(network)["metadata-grpc-service"],
        "METADATA_GRPC_SERVICE_PORT": str(metadata.PORT),
    }
    yield _object("ConfigMap", "metadata-grpc-configmap", data=metadata_address)
    yield _object("ConfigMap", controllers.CONFIGURATION, data=_workflow_configuration(network))
    yield _object("ConfigMap", "kfp-launcher", data={"providers": json.dumps({"minio": _artifact_store(network)})})
    yield _object("ConfigMap", api_server.TRUSTED, data={api_server.TRUSTED_KEY: ""})
    yield _object("ServiceAccount", ACCOUNT)
    yield {**_object("Role", ACCOUNT, rules=_RULES), "apiVersion": _RBAC}
    yield {
        **_object("RoleBinding", ACCOUNT),
        "apiVersion": _RBAC,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT}],
    }


_RBAC = "rbac.authorization.k8s.io/v1"
_RULES = [
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "watch", "list"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["pods", "pods/exec", "pods/log", "services"], "verbs": ["*"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]},
    {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["get", "list", "watch", "update", "patch"]},
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]},
]
"""What KFP's own manifests, and OpenShift AI's operator, let the runs' pods do."""


def _service(name: str, address: str, ports: Mapping[str, int]) -> dict[str, Any]:
    return _object(
        "Service",
        name,
        spec={"clusterIP": address, "ports": [{"name": port, "port": number} for port, number in ports.items()]},
    )


def _artifact_store(network: Network) -> dict[str, Any]:
    """Where launchers keep artifacts; what they assume instead is another address in each release."""
    login = {"secretName": STORE_SECRET, "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
    return {
        "default": {
            "endpoint": _store_address(network),
            "region": object_store.REGION,
            "disableSSL": True,
            "credentials": {"fromEnv": False, "secretRef": login},
        }
    }


def _store_address(network: Network) -> str:
    return f"{addresses(network)['minio-service']}:{object_store.PORT}"


def _workflow_configuration(network: Network) -> dict[str, str]:
    store = {
        "endpoint": _store_address(network),
        "bucket": object_store.BUCKET,
        "region": object_store.REGION,
        "insecure": True,
        "keyFormat": "artifacts/{{workflow.name}}/{{pod.name}}",
        "accessKeySecret": {"name": STORE_SECRET, "key": "accesskey"},
        "secretKeySecret": {"name": STORE_SECRET, "key": "secretkey"},
    }
    return {
        "artifactRepository": json.dumps({"archiveLogs": True, "s3": store}),
        "executor": json.dumps({"imagePullPolicy": "IfNotPresent"}),
        # Nobody reads them, and Argo 3.7 ends where their port is taken.
        "metricsConfig": json.dumps({"enabled": False}),
    }


def _store_login() -> dict[str, str]:
    return {"accesskey": object_store.ACCESS_KEY, "secretkey": object_store.SECRET_KEY}


def _object(kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}
