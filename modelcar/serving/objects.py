"""KServe's objects on a cluster, read and written one at a time."""

import re
from collections.abc import Sequence
from typing import Any

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.errors import ClusterError, PlanError
from modelcar.serving.platform import KSERVE
from modelcar.serving.served_model import MAX_NAME_CHARS

KINDS = {"ServingRuntime": ("v1alpha1", "servingruntimes"), "InferenceService": ("v1beta1", "inferenceservices")}
"""API version and plural of what a service is made of."""

STOPPED = "serving.kserve.io/stop"
"""Annotation by which somebody stopped a service, which then has no pods."""

RIGHTS_REMEDY = "Let the run's account serve: oc apply -k manifests/serving"

NOT_FOUND = 404

_NAME = re.compile(rf"[a-z]([-a-z0-9]{{0,{MAX_NAME_CHARS - 2}}}[a-z0-9])?", re.ASCII)

Json = dict[str, Any]


def find_object(cluster: Cluster, kind: str, name: str) -> Json | None:
    """Returns an object as it is now; None if there is none.

    Raises:
        ClusterError: It may not be read, or there is no KServe.
    """
    from kubernetes import client

    with api_errors(f"read the {kind} {name}", RIGHTS_REMEDY):
        try:
            found: Json = call(cluster, "GET", kind, name)
        except client.ApiException as error:
            if error.status != NOT_FOUND:
                raise
            # The API server answers for a name that is not there in JSON, and for a kind that is not in plain text.
            if "page not found" not in str(error.body):
                return None
            what = f"this cluster has no KServe: it knows no {kind}"
            raise ClusterError(what, "Choose a cluster that has, or leave serve_as empty") from None
    return found


def check_service(there: Json | None, name: str) -> None:
    """Checks that a name can be a service's, and that nobody has stopped the service or is deleting it.

    Args:
        there: The service as it is; None if there is none.
        name: The name.

    Raises:
        PlanError: It cannot, or somebody has.
    """
    if not _NAME.fullmatch(name):
        what = f"a service cannot be called {name!r}"
        raise PlanError(what, f"Take up to {MAX_NAME_CHARS} small letters, digits and hyphens, a letter first")
    metadata = (there or {}).get("metadata", {})
    if metadata.get("deletionTimestamp"):
        raise PlanError(f"the service {name} is being deleted", "Run again when it is gone")
    annotations = metadata.get("annotations") or {}
    if annotations.get(STOPPED) == "true":
        raise PlanError(f"the service {name} is stopped", f"Start it: oc annotate inferenceservice {name} {STOPPED}-")


def call(
    cluster: Cluster,
    method: str,
    kind: str,
    name: str,
    *,
    body: Any = None,
    content: str = "application/json",
    query: Sequence[tuple[str, str]] = (),
    timeout: tuple[float, float] = REQUEST_SECONDS,
) -> Any:
    """Sends a request for an object of the cluster's namespace.

    Args:
        cluster: The cluster.
        method: GET, PATCH or DELETE.
        kind: One of KINDS.
        name: The object's name.
        body: What is sent with it.
        content: The body's media type, which says what kind of patch it is.
        query: Parameters of the request.
        timeout: Seconds to wait for a connection, and for an answer.

    Raises:
        ApiException: The API server refused.
    """
    version, plural = KINDS[kind]
    return cluster.api.call_api(
        f"/apis/{KSERVE}/{version}/namespaces/{cluster.namespace}/{plural}/{name}",
        method,
        query_params=list(query),
        header_params={"Content-Type": content, "Accept": "application/json"},
        body=body,
        auth_settings=["BearerToken"],
        response_type="object",
        _return_http_data_only=True,
        _request_timeout=timeout,
    )
