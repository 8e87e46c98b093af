"""Pods as KServe's injector and Kubeflow Pipelines' driver write them around the image of a model.

Written after their sources, field by field: KServe's pkg/utils/storage.go (ConfigureModelcarToContainer and
ConfigureOciNativeToContainer) and Kubeflow Pipelines' backend/src/v2/driver/driver.go (addModelcarsToPodSpec).
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from tests.kubernetes.pods import RANDOM_USER

MODELS = "/mnt/models"
_RESOURCES = {"cpu": "10m", "memory": "15Mi"}
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _check(image: str) -> str:
    """The script of the container that is run before the server, once the node has the image."""
    return (
        f"echo 'Pre-fetching modelcar {image}: ' && [ -d /models ] && [ \"$$(ls -A /models)\" ] && "
        "echo 'OK ... Prefetched and valid (/models exists)' || "
        "(echo 'NOK ... Prefetched but modelcar is invalid (/models does not exist or is empty)' && exit 1)"
    )


def server_pod(name: str, image: str, command: Sequence[str], *, node: str, user: int = RANDOM_USER) -> dict[str, Any]:
    """A predictor's pod before anything is injected, as OpenShift's SCC restricted-v2 leaves it.

    Args:
        name: The pod's name.
        image: The server's image.
        command: The server.
        node: The node it must run on.
        user: The user, as OpenShift draws one for each project.
    """
    container = {
        "name": "kserve-container",
        "image": image,
        "command": list(command),
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "HF_HUB_OFFLINE", "value": "1"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 10},
        "securityContext": _RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "securityContext": {"runAsUser": user, "runAsGroup": 0, "fsGroup": user},
            "imagePullSecrets": [{"name": "registry"}],
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def inject_modelcar(pod: dict[str, Any], image: str, path: str = MODELS, index: int = 0) -> dict[str, Any]:
    """Adds the image of a model as KServe does for `oci://`: a container beside the server, and one before it.

    Args:
        pod: The predictor's pod.
        image: The image of the model.
        path: Where the server looks for the model.
        index: Which of several models it is.
    """
    suffix = f"-{index}" if index else ""
    spec, server = pod["spec"], pod["spec"]["containers"][0]
    volume, parent = f"kserve-provision-location{suffix}", str(PurePosixPath(path).parent)
    server["env"].append({"name": "MODEL_INIT_MODE", "value": "async"})
    server["volumeMounts"].append({"name": volume, "mountPath": parent})
    link = f"ln -sf /proc/$$$$/root/models {path} && sleep infinity"
    command = link if path == MODELS else f"mkdir -p {parent} && {link}"
    common = {
        "image": image,
        "resources": {"limits": _RESOURCES, "requests": _RESOURCES},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # OpenShift's SCC adds the first to every container, some admission policies the second.
        "securityContext": {**_RESTRICTED, "readOnlyRootFilesystem": True},
    }
    sidecar = {"name": f"modelcar{suffix}", "args": ["sh", "-c", command], **common}
    spec["containers"].append({**sidecar, "volumeMounts": [{"name": volume, "mountPath": parent}]})
    spec.setdefault("initContainers", []).append(
        {"name": f"modelcar-init{suffix}", "args": ["sh", "-c", _check(image)], **common}
    )
    spec["volumes"].append({"name": volume, "emptyDir": {}})
    spec["shareProcessNamespace"] = True
    return pod


def mount_natively(pod: dict[str, Any], image: str, path: str = MODELS) -> dict[str, Any]:
    """Adds the image of a model as KServe does for `oci+native://`: a volume of the image, sub-path `models`."""
    volume = path.strip("/").replace("/", "-")
    source = {"reference": image, "pullPolicy": "IfNotPresent"}
    pod["spec"]["volumes"].append({"name": volume, "image": source})
    mount = {"name": volume, "mountPath": path, "subPath": "models", "readOnly": True}
    pod["spec"]["containers"][0]["volumeMounts"].append(mount)
    return pod


def import_model(pod: dict[str, Any], image: str) -> tuple[dict[str, Any], str]:
    """Adds the image of a model as Kubeflow Pipelines does for `dsl.importer("oci://…")`.

    Returns:
        The pod, and where its step finds the model.
    """
    place = "/oci/" + image.replace("/", "_")
    wait = (
        f'ln -s /proc/$$$$/root/models "{place}/models" && echo "Running Modelcar container..." && '
        f'until [ -f "{place}/launcher-complete" ]; do sleep 1; done'
    )
    mount = {"name": "oci-0", "mountPath": place, "subPath": re.sub("^/oci/", "", place)}
    common = {"image": image, "terminationMessagePolicy": "FallbackToLogsOnError", "securityContext": _RESTRICTED}
    spec = pod["spec"]
    spec["initContainers"] = [{"name": "oci-prepull-0", "command": ["sh", "-c", _check(image)], **common}]
    spec["containers"][0]["volumeMounts"].append(mount)
    spec["containers"].append(
        {
            "name": "oci-0",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", wait],
            "volumeMounts": [mount],
            **common,
        }
    )
    spec["volumes"].append({"name": "oci-0", "emptyDir": {}})
    spec["shareProcessNamespace"] = True
    return pod, f"{place}/models"
