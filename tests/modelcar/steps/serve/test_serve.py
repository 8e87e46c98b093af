"""An image served by a cluster that fails on the way; the good way is tests/kubernetes/test_serve.py's."""

from pathlib import Path
from typing import Any

import pytest

from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError
from modelcar.steps.serve.serve import ServeRequest, serve
from modelcar.steps.serve.state import SERVER, SOURCE
from tests.parts.hub import Hub
from tests.parts.recorded_api import RecordedApi
from tests.parts.registries import Registry
from tests.parts.steps import stream

SERVICE = "/apis/serving.kserve.io/v1beta1/namespaces/my-project/inferenceservices/tiny"
DEPLOYMENTS = "/apis/apps/v1/namespaces/my-project/deployments"
PODS, EVENTS = "/api/v1/namespaces/my-project/pods", "/api/v1/namespaces/my-project/events"


@pytest.fixture
def image(hub: Hub, model: Path, plain_registry: Registry) -> str:
    """Give an image of the model in a registry that lets everyone in."""
    hub.publish("example/tiny-llama", model)
    return str(stream("example/tiny-llama", f"{plain_registry.host}/served/tiny:1").image)


def restarted(image: str) -> dict[str, Any]:
    """A pod whose server has ended too often."""
    ended = {"exitCode": 1, "reason": "Error"}
    server = {"name": SERVER, "image": image, "imageID": "", "ready": False, "restartCount": 3}
    return {
        "metadata": {
            "name": "tiny-predictor-1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {SOURCE: f"oci://{image}"},
        },
        "spec": {"containers": [{"name": SERVER}]},
        "status": {"containerStatuses": [{**server, "state": {"terminated": ended}}]},
    }


def test_log_that_cannot_be_read_hides_no_obstacle(
    image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def applied(document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        api.answers[SERVICE] = (200, document)
        return 200, document

    def cut_off() -> tuple[int, bytes]:
        raise ConnectionError

    with RecordedApi() as api:
        api.answers |= {DEPLOYMENTS: (200, {"items": []}), EVENTS: (200, {"items": []})}
        api.answers |= {f"PATCH {SERVICE}": applied, f"DELETE {SERVICE}": (200, {})}
        api.answers |= {PODS: (200, {"items": [restarted(image)]}), f"{PODS}/tiny-predictor-1/log": cut_off}
        cluster = Cluster.of(str(api.kubeconfig(tmp_path / "config")))

        with pytest.raises(ClusterError, match="tiny did not become ready, for runtime: kserve-container ended, 4 tim"):
            serve(ServeRequest(image, "tiny", serving="kserve"), cluster)

    assert "the InferenceService tiny is deleted again" in capsys.readouterr().out
