"""The claim that a run works on, as the API server knows it: how large it is, not how full."""

import math

from rich.filesize import decimal

from modelcar.claim.space import SPARE_BYTES
from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.steps.preflight.finding import Finding

_ABOUT = "claim"
_GIBIBYTE = 1 << 30
_SLACK = 1.1
"""File systems take some of a volume for themselves."""


def check(cluster: Cluster, name: str, needed: int) -> Finding:
    """Tells whether a PersistentVolumeClaim is there and large enough for a run that finds nothing on it.

    Args:
        cluster: Where it is.
        name: The claim's name.
        needed: Bytes that the run will write in all.

    Raises:
        ClusterError: It may not be read.
    """
    from kubernetes import client
    from kubernetes.utils.quantity import parse_quantity

    with api_errors(f"read the claim {name}"):
        try:
            found = cluster.core.read_namespaced_persistent_volume_claim(
                name, cluster.namespace, _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            if error.status != 404:
                raise
            return _missing(cluster, name, needed)
    if found.status.phase == "Lost":
        return Finding(_ABOUT, "refusal", f"the claim {name} has lost its volume", "Delete and recreate it")
    quantity = (found.status.capacity or {}).get("storage") or found.spec.resources.requests["storage"]
    size = int(parse_quantity(quantity))
    if needed + SPARE_BYTES > size:
        grown = f'{{"spec":{{"resources":{{"requests":{{"storage":"{_suggested(needed)}"}}}}}}}}'
        return Finding(
            _ABOUT,
            "refusal",
            f"the claim {name} has {decimal(size)}, and the run needs {decimal(needed)} on it",
            "Enlarge it, if its storage class can (allowVolumeExpansion); else make another and name it in `claim`",
            f"oc patch pvc {name} -n {cluster.namespace} -p '{grown}'",
        )
    return Finding(_ABOUT, "ok", f"{name} has {decimal(size)}; how much of it is free is not known from here")


def _missing(cluster: Cluster, name: str, needed: int) -> Finding:
    manifest = (
        f'{{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{{"name":"{name}"}},'
        f'"spec":{{"accessModes":["ReadWriteOnce"],"resources":{{"requests":{{"storage":"{_suggested(needed)}"}}}}}}}}'
    )
    return Finding(
        _ABOUT,
        "refusal",
        f"there is no claim {name} in {cluster.namespace}",
        "Make it",
        f"echo '{manifest}' | oc apply -n {cluster.namespace} -f -",
    )


def _suggested(needed: int) -> str:
    return f"{math.ceil((needed + SPARE_BYTES) * _SLACK / _GIBIBYTE)}Gi"
