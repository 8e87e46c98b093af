"""Manifests of pods as our pipelines' are: a random user in group 0 without any privilege, unless told otherwise."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes import client, stream

RANDOM_USER = 1000700000
"""As OpenShift gives each namespace a range of its own."""

CLAIM_PATH = "/modelcar"
_TRUST = "/var/run/secrets/modelcar-test"


def pod(
    name: str,
    command: Sequence[str],
    image: str,
    *,
    node: str = "",
    node_selector: Mapping[str, str] | None = None,
    user: int = RANDOM_USER,
    privileged: bool = False,
    seccomp: str = "user-namespaces-allowed",
    claim: str = "",
    env: Mapping[str, str] | None = None,
    requests: Mapping[str, str] | None = None,
    logins: Sequence[str] = (),
) -> dict[str, Any]:
    """A pod that runs one command once.

    Args:
        name: The pod's name.
        command: The command.
        image: Where to run it.
        node: The node it must run on, past the scheduler's other checks; empty for any.
        node_selector: Labels a node must have.
        user: The user's id; the group is 0.
        privileged: Whether it may do everything.
        seccomp: One of the nodes' profiles (tests.kubernetes.seccomp), or empty for the container runtime's own.
        claim: A claim to mount at CLAIM_PATH.
        env: Variables.
        requests: Requests, for example of `ephemeral-storage`.
        logins: Names of registries' secrets, as Namespace.login makes them.

    Returns:
        The manifest.
    """
    selector = {**(node_selector or {}), **({"kubernetes.io/hostname": node} if node else {})}
    variables = {**(env or {}), "HOME": "/tmp", **({"SSL_CERT_FILE": f"{_TRUST}/{logins[0]}/ca.crt"} if logins else {})}
    volumes: list[dict[str, Any]] = [{"name": login, "secret": {"secretName": login}} for login in logins]
    mounts = [{"name": login, "mountPath": f"{_TRUST}/{login}"} for login in logins]
    # As the pipelines mount registries' secrets.
    mounts += [{"name": login, "mountPath": f"/var/run/secrets/modelcar/{login}"} for login in logins]
    if claim:
        volumes.append({"name": "claim", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": "claim", "mountPath": CLAIM_PATH})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": selector,
            "securityContext": {
                "runAsUser": user,
                "runAsGroup": 0,
                "seccompProfile": {"type": "Localhost", "localhostProfile": f"{seccomp}.json"}
                if seccomp
                else {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "command": list(command),
                    "env": [{"name": key, "value": value} for key, value in variables.items()],
                    "resources": {"requests": dict(requests or {})},
                    "volumeMounts": mounts,
                    "securityContext": {"privileged": True}
                    if privileged
                    else {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
            "volumes": volumes,
        },
    }


def run_in(api: Any, namespace: str, name: str, script: str) -> None:
    """Runs a shell script in a pod that is running.

    Args:
        api: The cluster's client.
        namespace: The pod's namespace.
        name: The pod.
        script: What is run.
    """
    # A client of its own: for a moment `stream` sends all that the one it is given sends by a websocket.
    core = client.CoreV1Api(client.ApiClient(api.configuration))
    stream.stream(core.connect_get_namespaced_pod_exec, name, namespace, command=["sh", "-c", script], stdout=True)
