"""The service that a run is to serve its model with: can it be made, does it serve the image already."""

from collections.abc import Iterator

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.errors import ClusterError, PlanError
from modelcar.oci.reference import Reference
from modelcar.serving.objects import KINDS, RIGHTS_REMEDY, check_service, find_object
from modelcar.serving.platform import KSERVE
from modelcar.steps.preflight.finding import Finding

_ABOUT = "service"
_VERBS = ("get", "create", "patch", "delete")


def check_serve_as(name: str, cluster: Cluster | None) -> Iterator[Finding]:
    """Checks that a service can be applied: its name, KServe, and the rights of the run's account.

    Args:
        name: The service's name.
        cluster: The cluster that it will be on; None if there is none.
    """
    try:
        check_service(None, name)
        if cluster is None:
            what = "this run is on no cluster, so there is none to serve on"
            yield Finding(_ABOUT, "refusal", what, "Set KUBECONFIG, or leave serve_as empty")
            return
        missing = [f"{verb} {plural}" for verb, plural in _refused(cluster)]
        if missing:
            what = f"the run's account may not {', '.join(missing)} in {cluster.namespace}"
            remedy, _, command = RIGHTS_REMEDY.partition(": ")
            yield Finding(_ABOUT, "refusal", what, f"{remedy} (manifests/README.md)", command)
            return
        there = find_object(cluster, "InferenceService", name)
        check_service(there, name)
    except (PlanError, ClusterError) as error:
        yield Finding.of(_ABOUT, error, "warning" if getattr(error, "may_pass", False) else "refusal")
        return
    done = "is there, and goes on until the new one is ready" if there else "will be made"
    yield Finding(_ABOUT, "ok", f"{name} {done}")


def is_served(name: str, image: Reference, cluster: Cluster) -> bool:
    """Tells whether a service serves an image and is ready.

    Args:
        name: The service's name.
        image: The image, pinned to its digest.
        cluster: The cluster that it is on.

    Raises:
        ClusterError: It may not be read, or there is no KServe.
    """
    there = find_object(cluster, "InferenceService", name) or {}
    uri = there.get("spec", {}).get("predictor", {}).get("model", {}).get("storageUri", "")
    conditions = there.get("status", {}).get("conditions") or ()
    is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return is_ready and uri == f"oci://{image}"


def _refused(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Yields what the run's account may not do, as verb and resource."""
    needs = [(verb, plural) for _, plural in KINDS.values() for verb in _VERBS]
    for verb, plural in needs:
        asked = {"group": KSERVE, "resource": plural, "verb": verb, "namespace": cluster.namespace}
        review = {"spec": {"resourceAttributes": asked}}
        with api_errors("say what this account may do"):
            answer = cluster.auth.create_self_subject_access_review(review, _request_timeout=REQUEST_SECONDS)
        if not answer.status.allowed:
            yield verb, plural
