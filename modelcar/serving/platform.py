"""Platforms that serve models on a cluster: KServe by itself, or as OpenShift AI brings it, by version."""

from dataclasses import dataclass
from typing import Literal, get_args

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.errors import PlanError

PlatformName = Literal["rhoai-2.25", "rhoai-3", "kserve"]
PLATFORMS: tuple[str, ...] = get_args(PlatformName)
SERVING = ("auto", *PLATFORMS)
DEFAULT: PlatformName = "rhoai-3"
"""Platform to write for where there is no cluster to ask."""

KSERVE = "serving.kserve.io"
OPENSHIFT_AI = "datasciencecluster.opendatahub.io"
"""API groups. OpenShift AI's has the version v2 from 3.0 on (opendatahub-operator, docs/api-overview.md)."""


@dataclass(frozen=True)
class Platform:
    """Platform that serves models on a cluster.

    Attributes:
        name: Which it is.
        found: Whether a cluster was asked.
        has_llm: Whether it knows LLMInferenceService in a version that serves `oci://` (OpenShift AI 3.4 or newer);
            None where no cluster was asked.
    """

    name: PlatformName
    found: bool = False
    has_llm: bool | None = None


def choose_platform(serving: str, cluster: Cluster | None = None) -> Platform:
    """Returns what to write for.

    Args:
        serving: `auto` for what the cluster has, or one of PLATFORMS.
        cluster: The cluster to ask, if any.

    Raises:
        PlanError: There is no such platform.
        ClusterError: The cluster cannot be asked.
    """
    if serving not in SERVING:
        raise PlanError(f"there is no serving {serving!r}", f"Choose one of {', '.join(SERVING)}")
    if serving != "auto":
        return Platform(next(name for name in get_args(PlatformName) if name == serving))
    return find_platform(cluster) if cluster else Platform(DEFAULT)


def find_platform(cluster: Cluster) -> Platform:
    """Asks a cluster what serves models on it; everybody who is logged in may ask for the API's groups.

    Raises:
        ClusterError: It cannot be asked.
    """
    from kubernetes import client

    with api_errors("list its API groups"):
        listed = client.ApisApi(cluster.api).get_api_versions(_request_timeout=REQUEST_SECONDS).groups
        groups = {group.name: {one.version for one in group.versions} for group in listed}
        has_llm = "v1alpha2" in groups.get(KSERVE, ()) and _has_llm(cluster)
    if OPENSHIFT_AI not in groups:
        return Platform("kserve" if KSERVE in groups else DEFAULT, KSERVE in groups, has_llm)
    return Platform("rhoai-3" if "v2" in groups[OPENSHIFT_AI] else "rhoai-2.25", True, has_llm)


def _has_llm(cluster: Cluster) -> bool:
    from kubernetes import client

    api = client.CustomObjectsApi(cluster.api)
    try:
        listed = api.get_api_resources(KSERVE, "v1alpha2", _request_timeout=REQUEST_SECONDS)
    except client.ApiException as error:
        if error.status != 404:
            raise
        # The version of a definition that was just made is listed some seconds before its kinds are.
        return False
    return any(one.name == "llminferenceservices" for one in listed.resources)
