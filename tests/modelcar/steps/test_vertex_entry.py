"""What Vertex AI's Model Registry is told: labels by its rules, containers by its types."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import PlanError, UnsafeNameError
from modelcar.pipelines.model_to_vertex.pipeline import SERVING_ARGS, SERVING_CONTAINER, SERVING_IMAGE
from modelcar.steps import vertex_upload

IMAGE = f"europe-west4-docker.pkg.dev/my-project/models/granite@sha256:{'ab' * 32}"
ALLOWED = set(string.ascii_lowercase + string.digits + "_-")


def describe(**changes: Any) -> vertex_upload.Entry:
    given = {"model": "a/b", "commit": "c" * 40, "image": IMAGE, "args": ["--model=/models"], "container": {}}
    return vertex_upload.describe(**{**given, **changes})


@given(st.text())
def test_any_text_becomes_a_label_value(text: str) -> None:
    value = vertex_upload.label_value(text)
    assert len(value) <= 63
    assert set(value) <= ALLOWED
    assert value == vertex_upload.label_value(text)


@given(st.text(string.ascii_lowercase, min_size=64), st.text(string.ascii_lowercase, min_size=64))
def test_long_texts_stay_apart(one: str, other: str) -> None:
    assert (vertex_upload.label_value(one) == vertex_upload.label_value(other)) == (one == other)


def test_labels_say_what_is_in_the_image() -> None:
    labels = describe(model="ibm-granite/granite-3.3-2b-instruct").labels
    assert labels["modelcar-model"] == "ibm-granite_granite-3-3-2b-instruct"
    assert labels["modelcar-commit"] == "c" * 40
    assert labels["modelcar-digest"] == ("ab" * 32)[:63]
    assert all(len(value) <= 63 and set(value) <= ALLOWED for value in labels.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"args": ["--model=/models", "--max-model-len=4096"]},
        {"container": {"predictRoute": "/v1/chat/completions"}},
        {"container": {"env": [{"name": "A", "value": "B"}]}},
        {"image": IMAGE.replace("ab", "cd")},
        {"model": "a/other"},
    ],
)
def test_other_settings_are_another_version(changes: dict[str, Any]) -> None:
    assert describe(**changes).labels["modelcar-container"] != describe().labels["modelcar-container"]


def test_the_same_settings_are_the_same_however_they_are_written() -> None:
    one = describe(container={"ports": [{"containerPort": 8080}], "predictRoute": "/p", "sharedMemorySizeMb": 16384})
    # Vertex AI keeps structures as protobuf does, whose numbers are all floating-point.
    other = describe(
        container={"sharedMemorySizeMb": 16384.0, "predictRoute": "/p", "ports": [{"containerPort": 8080.0}]}
    )
    assert one == other
    assert one.container.spec()["ports"] == [{"containerPort": 8080}]


@pytest.mark.parametrize(
    ("container", "says"),
    [
        ({"predict_route": "/p"}, "predict_route: Extra inputs are not permitted.*ModelContainerSpec"),
        ({"predictRoute": "p"}, "predictRoute"),
        ({"ports": [{"containerPort": 0}]}, "ports.0.containerPort"),
        ({"ports": [8080]}, "ports.0"),
        ({"env": [{"value": "x"}]}, "env.1.name"),
        ({"env": {"A": "B"}}, "env"),
        ({"deploymentTimeout": "2 hours"}, "deploymentTimeout"),
        ({"imageUri": "x"}, "serving_container names imageUri, which other parameters decide"),
        ({"args": []}, "serving_container names args"),
    ],
)
def test_a_container_that_vertex_does_not_take_is_named(container: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        describe(container=container)


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "line\nbreak", "x" * 129])
def test_a_name_that_would_break_the_request_is_refused(name: str) -> None:
    with pytest.raises(PlanError, match="cannot be a model's name in Vertex AI"):
        describe(name=name)


def test_an_image_must_be_pinned() -> None:
    with pytest.raises(PlanError, match="is not pinned to a digest"):
        describe(image="europe-west4-docker.pkg.dev/my-project/models/granite:1")


@pytest.mark.parametrize("registry", ["europe-west4-docker.pkg.dev", "us-docker.pkg.dev", "gcr.io", "eu.gcr.io"])
def test_artifact_registry_has_several_names(registry: str) -> None:
    assert vertex_upload.check_target(f"{registry}/my-project/models/granite:1").registry == registry


@pytest.mark.parametrize("target", ["quay.io/a/b:1", "docker.pkg.dev.example/a/b:1", "localhost:5000/a/b:1"])
def test_another_registry_is_refused(target: str) -> None:
    with pytest.raises(PlanError, match="Vertex AI runs images of Artifact Registry alone"):
        vertex_upload.check_target(target)


def test_a_target_that_is_no_reference_is_named() -> None:
    with pytest.raises(UnsafeNameError):
        vertex_upload.check_target("")


def test_the_default_server_bypasses_an_overriding_entry_point(
    capsys: pytest.CaptureFixture[str],
) -> None:
    vertex_upload.check_server(SERVING_IMAGE, SERVING_ARGS, SERVING_CONTAINER)

    assert capsys.readouterr().out == ""
    assert SERVING_CONTAINER["command"][:2] == ["python", "-m"]
    assert SERVING_ARGS[-1] == "--model=/models"


def test_an_entry_point_that_overrides_the_model_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    vertex_upload.check_server(SERVING_IMAGE, ["python", "-m", "server", "--model=/models"], {"predictRoute": "/p"})

    assert 'Give serving_container {"command": ["python", "-m", "vllm' in capsys.readouterr().out


def test_two_programs_are_refused_before_a_byte_moves() -> None:
    with pytest.raises(PlanError, match="begin with a program, 'python'"):
        vertex_upload.check_server(SERVING_IMAGE, ["python", "-m", "server"], SERVING_CONTAINER)


@pytest.mark.parametrize(
    ("target", "location", "warned"),
    [
        ("europe-west4-docker.pkg.dev/p/models/m:1", "europe-west4", False),
        ("us-central1-docker.pkg.dev/p/models/m:1", "europe-west4", True),
        ("europe-docker.pkg.dev/p/models/m:1", "europe-west4", False),
        ("us-docker.pkg.dev/p/models/m:1", "europe-west4", True),
        ("eu.gcr.io/p/m:1", "europe-west4", False),
        ("us-central1-docker.pkg.dev/p/models/m:1", "", False),
    ],
)
def test_a_target_in_another_region_is_warned_of(
    target: str, location: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    vertex_upload.check_target(target, location)

    assert ("another region" in capsys.readouterr().out) == warned


def test_the_model_s_id_is_a_variable_unless_it_has_a_value() -> None:
    assert describe().container.spec()["env"] == [{"name": "MODEL_ID", "value": "a/b"}]
    given = {"env": [{"name": "MODEL_ID", "value": "/models"}]}
    assert describe(container=given).container.spec()["env"] == given["env"]
