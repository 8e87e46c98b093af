"""Discovery of a project's pipeline server: what OpenShift AI calls a DataSciencePipelinesApplication, DSPA.

A workbench's service account may use the server (`get` on its `api` subresource), but not list such objects. It is
found by its name then: the dashboard calls each one `dspa` (odh-dashboard, concepts/pipelines/elyra and .../context).
"""

from dataclasses import dataclass, field
from typing import Any

from kubernetes import client

from modelcar import pod
from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.errors import ClusterError

GROUP, VERSION, PLURAL = "datasciencepipelinesapplications.opendatahub.io", "v1", "datasciencepipelinesapplications"
PORT = 8443
"""Port of the proxy before the API, which asks for a token that may use this DSPA."""

DEFAULT_NAME = "dspa"
"""Name that OpenShift AI's dashboard gives the pipeline server that it makes in a project."""

_PORT_FORWARD = (
    "With Kubeflow alone, forward its port and name it: kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, "
    "then --server http://localhost:8080"
)


@dataclass(frozen=True)
class PipelineServer:
    """A project's pipeline server.

    Attributes:
        address: Its API, as it can be reached from here.
        config_maps: ConfigMaps, and their keys, with authorities that it was given.
        is_assumed: Whether it was not looked up, for lack of rights, but is where the dashboard puts it.
    """

    address: str
    config_maps: dict[str, str] = field(default_factory=dict)
    is_assumed: bool = False


def service_name(name: str = DEFAULT_NAME) -> str:
    """Returns the name of a pipeline server's service and route (data-science-pipelines-operator)."""
    return f"ds-pipeline-{name}"


def trust_bundle(name: str = DEFAULT_NAME) -> dict[str, str]:
    """Returns the ConfigMap, and its key, in which the operator joins all authorities that a server trusts.

    They are those of `odh-trusted-ca-bundle`, OpenShift's own for services, and the server's `cABundle`.
    """
    return {f"dsp-trusted-ca-{name}": "dsp-ca.crt"}


def discover(cluster: Cluster | None) -> PipelineServer:
    """Finds the pipeline server of the cluster's namespace: by its service from within, by its route from outside.

    Who may not list pipeline servers gets the one that the dashboard makes.

    Raises:
        ClusterError: There is none, or several, or it cannot be reached from here; says what to type.
    """
    if cluster is None:
        raise ClusterError(
            "no pipeline server was named, and there is no login to look for one",
            f"Log in: oc login --server https://api.<cluster>:6443. {_PORT_FORWARD}",
        )
    found = _dspas(cluster)
    if found is None:
        return PipelineServer(_assumed_address(cluster), trust_bundle(), is_assumed=True)
    if not found:
        raise ClusterError(
            f"there is no pipeline server in project {cluster.namespace}",
            f"To see where there is one: oc get dspa -A; then name its project: --namespace NAME. {_PORT_FORWARD}",
        )
    if len(found) > 1:
        names = ", ".join(one["metadata"]["name"] for one in found)
        raise ClusterError(
            f"there are several pipeline servers in project {cluster.namespace}: {names}",
            f"Name one by its address: --server $(oc get route ds-pipeline-{found[0]['metadata']['name']} "
            f"-n {cluster.namespace} -o 'jsonpath=https://{{.spec.host}}')",
        )
    dspa = found[0]
    bundle = (dspa.get("spec", {}).get("apiServer") or {}).get("cABundle") or {}
    maps = {bundle["configMapName"]: bundle["configMapKey"]} if bundle else {}
    return PipelineServer(_address(cluster, dspa), {**trust_bundle(dspa["metadata"]["name"]), **maps})


def _dspas(cluster: Cluster) -> list[Any] | None:
    """Returns the project's pipeline servers; None if we may not list them."""
    api = client.CustomObjectsApi(cluster.api)
    remedy = (
        f"Log in again, or name the server: --server https://… (it is the route ds-pipeline-… in {cluster.namespace})"
    )
    with api_errors(f"look for a pipeline server in {cluster.namespace}", remedy):
        try:
            answer = api.list_namespaced_custom_object(
                GROUP, VERSION, cluster.namespace, PLURAL, _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            # A cluster without OpenShift AI knows no such kind.
            if error.status == 404:
                return []
            if error.status == 403:
                return None
            raise
    return list(answer["items"])


def _address(cluster: Cluster, dspa: Any) -> str:
    service = service_name(dspa["metadata"]["name"])
    if _is_within(cluster):
        return _service_address(cluster, service)
    components = dspa.get("status", {}).get("components") or {}
    address = (components.get("apiServer") or {}).get("externalUrl") or _route(cluster, service)
    if not address:
        raise ClusterError(
            f"the pipeline server {dspa['metadata']['name']} in {cluster.namespace} has no route{_why(dspa)}",
            forward_port(cluster.namespace, service),
        )
    return str(address)


def forward_port(namespace: str, service: str = "") -> str:
    """Returns what to type to reach a pipeline server without a route. It speaks TLS at that port, too."""
    name = service or service_name()
    return (
        f"Forward its port: oc port-forward -n {namespace} svc/{name} {PORT}:{PORT}, "
        f"then --server https://localhost:{PORT}"
    )


def _assumed_address(cluster: Cluster) -> str:
    service = service_name()
    if _is_within(cluster):
        return _service_address(cluster, service)
    if address := _route(cluster, service):
        return address
    raise ClusterError(
        f"this login may not look for a pipeline server in project {cluster.namespace}, and sees no route {service}",
        f"Ask its owner for the address, and name it: --server https://…; or its project: --namespace NAME. "
        f"{forward_port(cluster.namespace)}",
    )


def _service_address(cluster: Cluster, service: str) -> str:
    return f"https://{service}.{cluster.namespace}.svc:{PORT}"


def _route(cluster: Cluster, name: str) -> str:
    """The route's address, empty where none may be seen; older operators do not say it in the DSPA's status."""
    api = client.CustomObjectsApi(cluster.api)
    with api_errors(f"look for the route {name}"):
        try:
            route = api.get_namespaced_custom_object(
                "route.openshift.io", "v1", cluster.namespace, "routes", name, _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            if error.status in (403, 404):
                return ""
            raise
    return f"https://{route['spec']['host']}"


def _is_within(cluster: Cluster) -> bool:
    """Tells whether we are in a pod of this very cluster, where services have their names."""
    file = pod.SERVICE_ACCOUNT / "namespace"
    host = str(cluster.api.configuration.host)
    return file.is_file() and not host.startswith("https://api.")


def _why(dspa: Any) -> str:
    conditions = dspa.get("status", {}).get("conditions") or []
    ready = next((one for one in conditions if one["type"] == "Ready"), None)
    if ready is None or ready["status"] == "True":
        return ""
    return f", and it is not ready: {ready.get('message') or ready.get('reason')}"
