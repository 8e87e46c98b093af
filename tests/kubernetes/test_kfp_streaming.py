"""The streaming pipeline on a real Kubeflow Pipelines: forms, failures, retries, cancels."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp_server_api import ApiException

from tests.kubernetes.kfp import project
from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.kfp.objects import ACCOUNT
from tests.kubernetes.kfp.runs import Pipeline, Run
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry

MODEL = "example/streamed"
NARROW = "modelcar-pipeline"
"""As manifests/namespace/pipeline-account.yaml calls it."""


@pytest.fixture(scope="module")
def pipeline(kfp_backend: Backend, compiled_for_backend: Path) -> Pipeline:
    """Upload the file."""
    return Pipeline.upload(kfp_backend, compiled_for_backend / "model-to-registry-streaming.yaml", "Streaming")


@pytest.fixture(scope="module")
def parameters(kfp_surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Publish a model, and give what a person fills in for it."""
    kfp_surroundings.hub.publish(MODEL, tiny_llama(tmp_path_factory.mktemp("model") / "model"))
    return {
        "model": MODEL,
        "target": f"{kfp_surroundings.target.host}/team/streamed:1.0",
        "mirror_target": f"{kfp_surroundings.mirror.host}/models/streamed:1.0",
        "model_registry": kfp_surroundings.entries.url,
    }


@pytest.fixture(scope="module")
def both(pipeline: Pipeline, parameters: dict[str, Any]) -> list[Run]:
    """Run it twice at once, to its good ends: with the account of the project's runs, and with the narrow one."""
    runs = [pipeline.start(f"as {account}", parameters, service_account=account) for account in (ACCOUNT, NARROW)]
    return [run.succeeds() for run in runs]


def test_streams_without_claim_and_privilege(both: list[Run]) -> None:
    spec = both[0].pod("stream").spec
    (main,) = [container for container in spec.containers if container.name == "main"]

    assert not [volume for volume in spec.volumes if volume.persistent_volume_claim]
    assert main.security_context.allow_privilege_escalation is False
    assert main.security_context.capabilities.drop == ["ALL"]


def test_the_narrow_account_is_enough(both: list[Run]) -> None:
    """Streaming asks the API server for nothing of its own; what driver, launcher and Argo ask is in the manifests."""
    assert [{pod.spec.service_account_name for pod in run.pods()} for run in both] == [{ACCOUNT}, {NARROW}]
    assert "forbidden" not in both[1].log("report")


def test_two_runs_at_once_to_one_target_and_mirror_bring_one_image(
    both: list[Run], kfp_surroundings: Surroundings
) -> None:
    """The dashboard's form for schedules allows ten at once, and nothing keeps two people from it."""
    digest = kfp_surroundings.target.digest("team/streamed", "1.0")
    assert kfp_surroundings.mirror.digest("models/streamed", "1.0") == digest
    image = f"{kfp_surroundings.mirror.host}/models/streamed@{digest}"
    assert [image in run.log("report") for run in both] == [True, True]


def test_a_model_that_is_not_there_ends_the_run_with_a_report(pipeline: Pipeline, parameters: dict[str, Any]) -> None:
    run = pipeline.start("no such model", {**parameters, "model": "example/nowhere"})

    assert run.ended() == "FAILED"
    assert "example/nowhere" in run.log("preflight")
    assert run.pods("report")[-1].status.phase == "Succeeded"
    assert not run.pods("stream")


def test_the_form_refuses_a_parameter_that_it_does_not_have(pipeline: Pipeline, parameters: dict[str, Any]) -> None:
    with pytest.raises(ApiException, match="modell"):
        pipeline.start("misspelt", {**parameters, "modell": MODEL})


def test_a_form_that_nobody_filled_in_is_refused_by_preflight(
    kfp_surroundings: Surroundings, pipeline: Pipeline, model: Path
) -> None:
    kfp_surroundings.hub.publish("ibm-granite/granite-3.3-2b-instruct", model)
    run = pipeline.start("all as it was", {})

    assert run.ended() == "FAILED"
    said = run.log("preflight")
    assert "cannot reach the registry image-registry.openshift-image-registry.svc:5000" in said
    assert "No target was named" in said


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("max_layer_size", "large", "integer"),
        ("include", "*.json", "list"),
        ("include", '["*.json"]', "list"),
        ("everything", "true", "bool"),
    ],
)
def test_the_form_refuses_a_value_of_another_type(
    name: str, value: object, kind: str, pipeline: Pipeline, parameters: dict[str, Any]
) -> None:
    with pytest.raises(ApiException, match=f"input parameter {name} requires type [a-z ]*{kind}"):
        pipeline.start("mistyped", {**parameters, name: value})


def test_a_gated_model_opens_to_the_token_of_the_secret(
    kfp_backend: Backend, kfp_surroundings: Surroundings, pipeline: Pipeline, parameters: dict[str, Any]
) -> None:
    hub, core = kfp_surroundings.hub, kfp_backend.namespace.core
    hub.publish("example/gated", {"model.onnx": "x", "config.json": "{}"}, gated="manual")
    hub.tokens["granted"] = {"example/gated"}
    target = f"{kfp_surroundings.target.host}/team/gated:1"
    given = {**parameters, "model": "example/gated", "target": target, "mirror_target": ""}
    refused = pipeline.start("without a token", given)
    assert refused.ended() == "FAILED"
    assert "the model example/gated is gated" in refused.log("preflight")
    core.create_namespaced_secret(
        PROJECT, {"metadata": {"name": "huggingface-token"}, "stringData": {"HF_TOKEN": "granted\n"}}
    )
    try:
        pipeline.start("with a token", given).succeeds()
    finally:
        core.delete_namespaced_secret("huggingface-token", PROJECT)


@pytest.fixture
def trained(kfp_backend: Backend) -> Path:
    """Leave a model on a claim, as a training does."""
    claim = kfp_backend.cluster.look_into(f"{PROJECT}-{project.CLAIM}")
    folder = tiny_llama(claim / "trained" / "mine", seed=11)
    for file in (claim / "trained", folder, *folder.rglob("*")):
        file.chmod(0o755 if file.is_dir() else 0o644)
    return folder


def test_a_model_on_a_claim_is_streamed_from_there(
    kfp_backend: Backend, compiled_for_backend: Path, kfp_surroundings: Surroundings, trained: Path
) -> None:
    pipeline = Pipeline.upload(kfp_backend, compiled_for_backend / "claim-to-registry.yaml", "Claim to registry")
    target = kfp_surroundings.target
    given = {
        "model": f"pvc://{project.CLAIM}/trained/mine",
        "source_claim": project.CLAIM,
        "target": f"{target.host}/team/trained:1",
    }

    run = pipeline.start("from a claim", given).succeeds()

    digest = target.digest("team/trained")
    assert f"{target.host}/team/trained@{digest}" in run.log("report")
    weights = {f"models/{file.name}": file.read_bytes() for file in trained.glob("model-*.safetensors")}
    served = dict(_files(target, digest))
    assert {name: served[name] for name in weights} == weights
    claims = {
        task: [volume for volume in run.pod(task).spec.volumes if volume.persistent_volume_claim]
        for task in ("preflight", "stream", "report")
    }
    assert {task: len(found) for task, found in claims.items()} == {"preflight": 1, "stream": 1, "report": 0}


def _files(registry: Registry, digest: str) -> Iterator[tuple[str, bytes]]:
    """Yield an image's files, as the registry has them."""

    def blob(of: str) -> Path:
        algorithm, _, number = of.partition(":")
        return registry.storage / "docker/registry/v2/blobs" / algorithm / number[:2] / number / "data"

    top = json.loads(blob(digest).read_text())
    manifest = json.loads(blob(top["manifests"][0]["digest"]).read_text()) if "manifests" in top else top
    for layer in manifest["layers"]:
        with tarfile.open(blob(layer["digest"])) as members:
            for member in members:
                if member.isfile() and (content := members.extractfile(member)):
                    yield member.name.removeprefix("./"), content.read()
