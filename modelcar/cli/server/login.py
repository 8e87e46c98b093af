"""Credentials for a cluster and its pipeline server: a login, a service account, or none."""

import atexit
import os
import ssl
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import certifi
import urllib3
from kubernetes import client

from modelcar import pod
from modelcar.cli.settings import setting
from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError
from modelcar.user_input import check_token, token_in

TOKEN_VARIABLE = "KFP_EXISTING_TOKEN"  # noqa: S105
"""Variable of kfp's own command."""

TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105
"""Variable of kfp's client, for a file that the kubelet keeps fresh."""

LOG_IN = "Log in: oc login --server https://api.<cluster>:6443"

_BEARER = "Bearer "
_CLUSTER_CA, _SERVICE_CA = "ca.crt", "service-ca.crt"
"""The cluster's authority, and OpenShift's for services, beside a service account's token."""

_AUTHORITIES = ("kube-root-ca.crt", "openshift-service-ca.crt", "odh-trusted-ca-bundle")
"""ConfigMaps with authorities, in every project: the cluster's (on OpenShift also the router's), that of OpenShift's
services, and the organisation's where OpenShift AI was told of them."""

_MOUNTED = (Path("/etc/pki/tls/custom-certs/ca-bundle.crt"), Path("/dsp-custom-certs/dsp-ca.crt"))
"""Files in which OpenShift AI mounts authorities: the first into workbenches (odh-notebook-controller, which merges
`odh-trusted-ca-bundle` and the cluster's own), the second into what the pipeline server runs."""

_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIPELINES_SSL_SA_CERTS")
"""Variables that name such a file; a workbench has all three."""

_ANSWER_SECONDS = (5, 10)

Token = Callable[[], str]
"""Giver of the token of this moment: those of service accounts are replaced while a long run is followed."""


def find_cluster(namespace: str = "", remedy: str = LOG_IN) -> Cluster | None:
    """Finds the cluster of the current login, else the one that this pod is in; None where there is neither.

    Args:
        namespace: The project; empty for that of the login or the pod.
        remedy: What to do if it does not answer.

    Raises:
        ClusterError: The kubeconfig cannot be used, or the cluster does not answer.
    """
    named, usual = os.environ.get("KUBECONFIG"), str(pod.home() / ".kube/config")
    # Path.is_file() raises where the home may not be looked into.
    file = named or (usual if os.path.isfile(usual) else "")
    cluster = Cluster.of(file) if file else Cluster.find()
    if cluster is not None:
        _check_answer(cluster, remedy)
    project = namespace or setting("namespace")
    return replace(cluster, namespace=project) if cluster and project else cluster


def need_cluster(namespace: str = "", remedy: str = LOG_IN, purpose: str = "") -> Cluster:
    """Finds the cluster of the current login, or the one that this pod is in.

    Args:
        namespace: The project; empty for that of the login or the pod.
        remedy: What to do if there is none, or if it does not answer.
        purpose: What the cluster is needed for, as the error says it; empty for nothing that is not clear.

    Raises:
        ClusterError: There is none, its kubeconfig cannot be used, or it does not answer.
    """
    cluster = find_cluster(namespace, remedy)
    if cluster is None:
        raise ClusterError(f"there is no login to a cluster{purpose and f' {purpose}'}", remedy)
    return cluster


def _check_answer(cluster: Cluster, remedy: str) -> None:
    """Raises if no cluster answers: asked once and for seconds, where each call would try for a minute."""
    host = str(cluster.api.configuration.host).rstrip("/")
    connect, read = _ANSWER_SECONDS
    try:
        answer = cluster.api.rest_client.pool_manager.request(
            "GET", f"{host}/version", retries=False, timeout=urllib3.Timeout(connect, read)
        )
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise ClusterError(f"cannot reach the cluster at {host}: {_cause(error)}", remedy) from None
    if not _is_of_cluster(answer):
        raise ClusterError(f"what answers at {host} is not the API of a cluster", remedy)


def _is_of_cluster(answer: urllib3.BaseHTTPResponse) -> bool:
    """Tells so by the version, which everybody may ask for as a rule; a page is a login's, or a proxy's that fails."""
    if answer.status == HTTPStatus.OK:
        return b'"gitVersion"' in answer.data
    is_page = "html" in answer.headers.get("Content-Type", "")
    return answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or (
        answer.status >= HTTPStatus.BAD_REQUEST and not is_page
    )


def _cause(error: Exception) -> str:
    """Returns the end of what a connection failed of; before it stand objects of the library."""
    said = str(getattr(error, "reason", None) or error)
    return f"no answer within {sum(_ANSWER_SECONDS)} s" if "timed out" in said else said.rpartition(": ")[2]


def find_token(cluster: Cluster | None) -> Token | None:
    """Returns the source of the token for the pipeline server; None where there is none.

    Raises:
        ClusterError: What is given is no token. The source raises it too, which reads a file anew each time.
    """
    if given := os.environ.get(TOKEN_VARIABLE):
        token = check_token(given.strip(), TOKEN_VARIABLE, ClusterError, LOG_IN)
        return lambda: token
    if file := os.environ.get(TOKEN_FILE_VARIABLE):
        return lambda: token_in(Path(file), ClusterError, LOG_IN)
    if cluster is not None and _of(cluster):
        return lambda: _of(cluster)
    return None


def authorities(cluster: Cluster | None, own: Path | None, config_maps: dict[str, str] | None = None) -> str:
    """One file with all certificates of authorities to trust; it is gone when the process ends.

    Args:
        cluster: Where to look for the cluster's own; what may not be read is left out.
        own: A file that the user named.
        config_maps: More ConfigMaps with authorities, and their keys.

    Raises:
        ClusterError: The user's file, or one that the environment names, cannot be read.
    """
    # One file, for kfp's client takes one, and that instead of the public authorities.
    parts = [Path(certifi.where()).read_text()]
    named = {Path(os.environ[name]): f"Mend or unset {name}" for name in _VARIABLES if os.environ.get(name)}
    if own:
        named[own] = "Name another: --ca FILE"
    for file, remedy in named.items():
        try:
            parts.append(_certificates(file))
        except (OSError, ValueError) as error:
            raise ClusterError(f"the authorities' file {file} cannot be read: {error}", remedy) from None
    for file in (*_MOUNTED, pod.SERVICE_ACCOUNT / _CLUSTER_CA, pod.SERVICE_ACCOUNT / _SERVICE_CA):
        with suppress(OSError, UnicodeDecodeError):
            parts.append(file.read_text())
    if cluster is not None:
        for name, key in {**dict.fromkeys(_AUTHORITIES, ""), **(config_maps or {})}.items():
            parts += _config_map(cluster, name, key)
    with tempfile.NamedTemporaryFile("w", prefix="modelcar-authorities-", suffix=".crt", delete=False) as bundle:
        bundle.write("\n".join(parts))
    atexit.register(Path(bundle.name).unlink, missing_ok=True)
    return bundle.name


def _certificates(file: Path) -> str:
    """Returns what is in a file; raises if it has certificates, one of which is none, as that would spoil all."""
    text = file.read_text()
    if "-----BEGIN" in text:
        ssl.create_default_context(cafile=str(file))
    return text


def _config_map(cluster: Cluster, name: str, key: str) -> list[str]:
    with suppress(client.ApiException, urllib3.exceptions.HTTPError, OSError):
        found: Any = cluster.core.read_namespaced_config_map(name, cluster.namespace, _request_timeout=_ANSWER_SECONDS)
        return [value for at, value in (found.data or {}).items() if key in ("", at)]
    return []


def _of(cluster: Cluster) -> str:
    """The token with which the cluster's API knows us; empty for a login by certificate."""
    given = str(cluster.api.configuration.get_api_key_with_prefix("authorization") or "")
    # The client library writes "Bearer" for a login, and "bearer" for the pod's own account.
    return given[len(_BEARER) :] if given.lower().startswith(_BEARER.lower()) else given
