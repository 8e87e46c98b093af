"""The plan of a run on Vertex AI: what is refused, what is warned of, and the server's settings that follow."""

from collections.abc import Mapping
from typing import Any

import pytest

from modelcar import google_cloud
from modelcar.errors import PlanError
from modelcar.hub.snapshot import Serving
from modelcar.pipelines.model_to_vertex.pipeline import SERVING_ARGS, SERVING_CONTAINER, SERVING_IMAGE
from modelcar.steps.preflight import vertex
from modelcar.steps.preflight.vertex import VertexPreflight, VertexRequest, page, preflight, web_page
from modelcar.steps.preflight.vertex_server import Server, Wishes, complete, context_length, timeout_seconds
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import stream

MODEL = "org/tiny"
WEIGHTS = bytes(2_000_000)


@pytest.fixture
def asked(hub: Hub, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give a run that can succeed, on a registry that is taken for Artifact Registry."""
    config = '{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 131072}'
    hub.publish(MODEL, {"config.json": config, "tokenizer.json": "{}", "model.safetensors": _safetensors(WEIGHTS)})
    monkeypatch.setattr(google_cloud, "serves", lambda registry: registry == plain_registry.host)
    monkeypatch.setattr(google_cloud, "read", lambda url, **_: {"models": []})
    return {
        "model": MODEL,
        "target": f"{plain_registry.host}/models/tiny:1",
        "serving_image": "",
        "serving_args": SERVING_ARGS,
        "serving_container": SERVING_CONTAINER,
        "project": "my-project",
        "location": "europe-west4",
    }


def _safetensors(data: bytes) -> bytes:
    head = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(data), len(data))
    return len(head).to_bytes(8, "little") + head + data


def plan(asked: Mapping[str, Any], **changes: Any) -> VertexPreflight:
    # Without a serving image the small base is under the model.
    given = {**asked, **changes}
    if not given["serving_image"]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(VertexRequest, "image", property(lambda self: vertex.ImageRequest(
                self.target, max_layer_size=self.max_layer_size, reshard=self.reshard)))  # fmt: skip
            return preflight(VertexRequest.of({**given, "serving_image": SERVING_IMAGE}))
    return preflight(VertexRequest.of(given))


def said(found: VertexPreflight, verdict: str) -> str:
    return "\n".join(f"{one.about}: {one}" for one in found.findings if one.verdict == verdict)


def test_a_run_that_can_succeed_is_planned_with_its_server(asked: dict[str, Any]) -> None:
    found = plan(asked)

    assert found.refusals == []
    assert found.server.args == (*SERVING_ARGS, "--max-model-len=32768")
    assert found.server.container == {**SERVING_CONTAINER, "deploymentTimeout": "1800s"}
    assert "has no org/tiny yet" in said(found, "ok")
    assert "**Ready.**" in page(found)
    assert "--max-model-len=32768" in web_page(found)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"target": "quay.io/a/b:1"}, "target: Vertex AI runs images of Artifact Registry alone"),
        (
            {"run_location": "us-central1"},
            "location: this run is in us-central1, and the Model Registry in europe-west4",
        ),
        ({"max_layer_size": 1_000_000}, "model: model.safetensors makes a layer of"),
        ({"registered_name": 'a "name"'}, "cannot be a model's name in Vertex AI"),
        ({"serving_container": {"image": 1}}, "serving_container is no container that Vertex AI takes"),
        ({"serving_container": {"command": 5}}, "serving_container is no container that Vertex AI takes: command"),
        ({"serving_container": {"command": "vllm"}}, "serving_container is no container that Vertex AI takes: command"),
        ({"serving_container": {"env": 5}}, "serving_container is no container that Vertex AI takes: env"),
        ({"model": "org/none"}, "model: "),
    ],
)
def test_what_cannot_succeed_is_refused(asked: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    found = plan(asked, **changes)

    assert reason in said(found, "refusal")
    with pytest.raises(PlanError, match="this run cannot succeed"):
        found.check()


def test_a_registry_that_may_not_be_read_is_refused_with_the_role(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, **_: str) -> dict[str, Any]:
        raise google_cloud.GoogleCloudError("Google Cloud answered 403", "Give the account the role")

    monkeypatch.setattr(google_cloud, "read", refuse)

    assert "Model Registry: Google Cloud answered 403. Give the account the role" in said(plan(asked), "refusal")


def test_regions_large_layers_and_overriding_entry_points_are_warned_of(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vertex, "LARGE_BYTES", 1_000_000)
    container = {name: value for name, value in SERVING_CONTAINER.items() if name != "command"}

    warned = said(plan(asked, max_layer_size=20_000_000_000, serving_container=container), "warning")

    assert "disk: the image has 2.0 MB, and the disk of an endpoint's machine has no setting" in warned
    assert "layers: layers of up to 20.0 GB are allowed" in warned
    assert "server: the entry point of pytorch-vllm-serve serves a folder that it downloads" in warned


@pytest.mark.parametrize(
    ("registry", "location", "is_warned"),
    [
        ("us-docker.pkg.dev", "us-central1", False),
        ("us-docker.pkg.dev", "europe-west4", True),
        ("europe-west4-docker.pkg.dev", "europe-west4", False),
        ("europe-west4-docker.pkg.dev", "europe-west1", True),
        ("gcr.io", "europe-west4", False),
    ],
)
def test_another_region_is_told(registry: str, location: str, is_warned: bool) -> None:
    (finding,) = vertex.region("target", registry, location, "it is pulled")

    assert (finding.verdict == "warning") == is_warned


def test_an_adapter_is_refused(asked: dict[str, Any], hub: Hub) -> None:
    settings = '{"base_model_name_or_path": "org/base", "r": 8, "peft_type": "LORA"}'
    hub.publish("org/adapter", {"adapter_config.json": settings, "adapter_model.safetensors": _safetensors(WEIGHTS)})

    assert "server: it is an adapter of org/base" in said(plan(asked, model="org/adapter"), "refusal")


def test_a_serving_image_that_holds_a_model_is_refused_unless_it_may(
    asked: dict[str, Any], plain_registry: Registry
) -> None:
    other = str(stream(MODEL, f"{plain_registry.host}/models/other:1").image)

    assert "serving image: the base image" in said(plan(asked, serving_image=other), "refusal")
    assert said(plan(asked, serving_image=other, allow_base_models=True), "refusal") == ""


def test_what_follows_from_a_large_model_completes_the_server() -> None:
    serving = Serving(
        model_format="vLLM",
        gpus=4,
        arguments=("--tokenizer-mode", "mistral", "--tensor-parallel-size", "4", "--trust-remote-code"),
    )
    given = Server(("--model=/models",), {"ports": [{"containerPort": 8080}]})

    done = complete(given, Wishes(), serving, {"text_config": {"max_position_embeddings": 4096}}, 200 * 10**9)

    assert done.args == (
        *("--model=/models", "--tokenizer-mode", "mistral", "--trust-remote-code"),
        *("--tensor-parallel-size=4", "--max-model-len=4096"),
    )
    assert done.container == {
        "ports": [{"containerPort": 8080}],
        "sharedMemorySizeMb": 16384,
        "deploymentTimeout": "7200s",
    }


def test_what_is_given_stays() -> None:
    args = ("--tensor-parallel-size=2", "--max-model-len", "100", "--tokenizer-mode=auto")
    container = {"sharedMemorySizeMb": 1, "deploymentTimeout": "9s"}
    serving = Serving(model_format="vLLM", gpus=8, arguments=("--tokenizer-mode", "mistral"))

    wishes = Wishes(tensor_parallel=4, context_length=7, shared_memory_mb=5, deployment_minutes=3)
    done = complete(Server(args, container), wishes, serving, {"max_position_embeddings": 9}, 10)

    assert (done.args, done.container) == (args, container)


def test_wishes_come_before_what_follows() -> None:
    wishes = Wishes(tensor_parallel=2, context_length=100_000, shared_memory_mb=5, deployment_minutes=3)

    done = complete(Server((), {}), wishes, None, {"max_position_embeddings": 9}, 10)

    assert done.args == ("--tensor-parallel-size=2", "--max-model-len=100000")
    assert done.container == {"sharedMemorySizeMb": 5, "deploymentTimeout": "180s"}


@pytest.mark.parametrize("config", [{}, {"max_position_embeddings": "x"}, {"text_config": 3}, {"llm_config": []}])
def test_a_configuration_that_says_nothing_asks_for_nothing(config: dict[str, Any]) -> None:
    assert context_length(config) == 0


def test_times_to_deploy_grow_with_the_image() -> None:
    assert [timeout_seconds(size * 10**9) for size in (1, 60, 150, 900)] == [1800, 2400, 6000, 7200]
