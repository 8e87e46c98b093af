"""A service's name, and services that are not to be touched."""

from pathlib import Path
from typing import Any

import pytest

from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError, PlanError
from modelcar.oci.reference import Reference
from modelcar.serving.objects import check_service, find_object
from modelcar.steps.preflight.service import check_serve_as, is_served
from tests.parts.recorded_api import RecordedApi

SERVICE = "/apis/serving.kserve.io/v1beta1/namespaces/my-project/inferenceservices/granite"
REVIEW = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
IMAGE = "quay.io/team/granite@sha256:" + "a" * 64


@pytest.fixture
def api() -> Any:
    """Give a server that answers as the Kubernetes API does."""
    with RecordedApi() as api:
        yield api


@pytest.fixture
def cluster(api: RecordedApi, tmp_path: Path) -> Cluster:
    """Give it as a cluster, on which everything is allowed."""
    api.answers[REVIEW] = (201, {"spec": {}, "status": {"allowed": True}})
    return Cluster.of(str(api.kubeconfig(tmp_path / "config")))


def service(uri: str = f"oci://{IMAGE}", ready: str = "True", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "granite", **metadata},
        "spec": {"predictor": {"model": {"storageUri": uri}}},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.mark.parametrize("name", ["granite", "g", "granite-3-2b", "a" * 40])
def test_names_that_a_service_may_have(name: str) -> None:
    check_service(None, name)


@pytest.mark.parametrize("name", ["", "Granite", "3b", "-a", "a-", "a_b", "a.b", "a" * 41, "gränite", "a\nb", "a/b"])
def test_names_that_a_service_may_not_have(name: str) -> None:
    with pytest.raises(PlanError, match="a service cannot be called"):
        check_service(None, name)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (
            {"annotations": {"serving.kserve.io/stop": "true"}},
            "is stopped. Start it: oc annotate",
        ),
        ({"deletionTimestamp": "2026-11-29T00:00:00Z"}, "is being deleted. Run again when it is gone"),
    ],
)
def test_service_that_is_not_to_be_touched_is_named(metadata: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        check_service(service(**metadata), "granite")


def test_cluster_without_kserve_is_told_from_one_without_the_service(api: RecordedApi, cluster: Cluster) -> None:
    assert find_object(cluster, "InferenceService", "granite") is None

    api.answers[SERVICE] = (404, "404 page not found")
    with pytest.raises(ClusterError, match="this cluster has no KServe"):
        find_object(cluster, "InferenceService", "granite")


@pytest.mark.parametrize(
    ("found", "is_there"),
    [
        (service(), True),
        (service(ready="False"), False),
        (service(uri="oci://quay.io/team/granite@sha256:" + "b" * 64), False),
        ({"metadata": {"name": "granite"}, "spec": {"predictor": {"containers": []}}}, False),
    ],
)
def test_image_is_served_if_the_service_names_it_and_is_ready(
    found: dict[str, Any], is_there: bool, api: RecordedApi, cluster: Cluster
) -> None:
    api.answers[SERVICE] = (200, found)

    assert is_served("granite", Reference.parse(IMAGE), cluster) is is_there


def test_plan_says_what_becomes_of_the_service(api: RecordedApi, cluster: Cluster) -> None:
    (new,) = check_serve_as("granite", cluster)
    api.answers[SERVICE] = (200, service())
    (old,) = check_serve_as("granite", cluster)

    assert (new.verdict, new.what) == ("ok", "granite will be made")
    assert (old.verdict, old.what) == ("ok", "granite is there, and goes on until the new one is ready")


def test_run_that_cannot_serve_is_refused(api: RecordedApi, cluster: Cluster) -> None:
    (nowhere,) = check_serve_as("granite", None)
    (misnamed,) = check_serve_as("Granite", cluster)
    api.answers[SERVICE] = (200, service(annotations={"serving.kserve.io/stop": "true"}))
    (stopped,) = check_serve_as("granite", cluster)
    api.answers[REVIEW] = (201, {"spec": {}, "status": {"allowed": False}})
    (forbidden,) = check_serve_as("granite", cluster)

    assert [one.verdict for one in (nowhere, misnamed, stopped, forbidden)] == ["refusal"] * 4
    assert "create inferenceservices" in forbidden.what
    assert forbidden.command == "oc apply -k manifests/serving"
