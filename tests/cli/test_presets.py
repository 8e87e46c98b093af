"""Presets: found, read, checked to the last key, and overruled by the command line."""

import json
from pathlib import Path

import pytest

from modelcar.cli.options import RequestOptions
from modelcar.cli.parameters import parameters
from modelcar.cli.preset import SHIPPED, Preset, find, presets, wanted, wanted_on_cluster
from modelcar.cli.settings import image_below
from modelcar.cli.usage import UsageError
from modelcar.pipelines.claim_to_registry import claim_to_registry
from modelcar.pipelines.compilation import BUILDING, CLAIM, STREAMING
from tests.parts.command import modelcar


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty ./presets, and no other of the machine's."""
    monkeypatch.delenv("MODELCAR_PRESETS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return file


def test_those_that_come_with_modelcar_are_right_and_say_what_they_are_for() -> None:
    shipped = [Preset.read(file) for file in sorted(SHIPPED.glob("*.yaml"))]
    assert [preset.name for preset in shipped] == ["mistral-24b-full", "mistral-24b-quantized"]
    assert all(preset.description and preset.parameters["model"] for preset in shipped)
    # The request's remedy: a label, and not tens of gigabytes of node disk.
    assert shipped[0].parameters["node_selector"] == {"ai-build-node": "true"}
    assert shipped[0].parameters["build_ephemeral_storage"] == "2Gi"


def test_a_teams_own_goes_before_one_of_the_same_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "other", "mistral-24b-full", "model: other/one")
    monkeypatch.setenv("MODELCAR_PRESETS", f"{tmp_path / 'nowhere'}:{other.parent}")
    assert find("mistral-24b-full").parameters == {"model": "other/one"}
    write(folder, "mistral-24b-full", "model: own/one")
    assert find("mistral-24b-full").parameters == {"model": "own/one"}
    assert [file.stem for file in presets()] == ["mistral-24b-full", "mistral-24b-quantized"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: a/b\nnode_selektor: {a: b}", "there is no parameter 'node_selektor'. Did you mean node_selector?"),
        ("model: a/b\nnode-selector: {a: b}", "Did you mean node_selector?"),
        ("model: a/b\nzzz: 1", "there is no parameter 'zzz'"),
        ("model: a/b\nnode_selector: {a: true}", 'node_selector.a must be text. Write it in quotes: "true"'),
        ("model: a/b\nmax_layer_size: large", "max_layer_size: Input should be a valid integer"),
        ("model: a/b\ninclude: '*.bin'", "include: Input should be a valid list"),
        ("model: [a", "cannot be read"),
        ("- a\n- b", "holds no parameters"),
        ("", "holds no parameters"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_one_line_that_names_file_and_remedy(folder: Path, text: str, says: str) -> None:
    write(folder, "mine", text)
    done = modelcar("run", "--preset", "mine")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the preset presets/mine.yaml")
    assert says in line


def test_an_unknown_one_names_the_nearest() -> None:
    done = modelcar("run", "--preset", "mistral-24b-ful")
    assert done.returncode == 2
    assert "there is no preset 'mistral-24b-ful'. Did you mean mistral-24b-full?" in done.stderr


def test_numbers_are_taken_for_the_text_they_are(folder: Path) -> None:
    write(folder, "mine", "model: a/b\nbuild_cpu: 2\nrevision: 1.0")
    assert find("mine").parameters == {"model": "a/b", "build_cpu": "2", "revision": "1.0"}


def test_the_command_line_wins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, "mine", "model: a/b\nstreaming: true\neverything: true\nrevision: v1\nclaim: mine")
    asked = wanted(RequestOptions("mine"), {"revision": "v2", "everything": False})
    assert asked.pipeline == STREAMING
    assert asked.arguments == {"model": "a/b", "everything": False, "revision": "v2"}
    assert capsys.readouterr().err == "--claim is not used by this pipeline\n"
    assert wanted(RequestOptions("mine", False), {}).pipeline == BUILDING
    assert wanted(RequestOptions("mine", False), {}).arguments["claim"] == "mine"


def test_a_model_on_a_claim_is_streamed_from_there_by_its_cluster(folder: Path) -> None:
    given = {"model": "pvc://team-models/out/granite", "target": "quay.io/a/b:1", "claim": "modelcar"}
    asked = wanted_on_cluster(RequestOptions("", None), given)
    assert asked.pipeline == CLAIM
    assert asked.arguments == {
        "model": "pvc://team-models/out/granite",
        "target": "quay.io/a/b:1",
        "source_claim": "team-models",
    }
    assert set(asked.arguments) <= set(claim_to_registry.component_spec.inputs)
    with pytest.raises(UsageError, match=r"pods of its cluster see alone\. Run it there: modelcar submit pvc://team"):
        wanted(RequestOptions("", None), given)


@pytest.mark.parametrize(
    "model", ["pvc://UPPER/x", "pvc://a/../b", "oci://no", "s3://B/x", "ftp://x/y", "s3://bucket/x?y=1"]
)
def test_what_is_no_source_is_wrong_usage(model: str, folder: Path) -> None:
    for asking in (wanted, wanted_on_cluster):
        with pytest.raises(UsageError):
            asking(RequestOptions("", None), {"model": model})


@pytest.mark.parametrize("model", ["oci://quay.io/a/b:1", "model-registry://granite/1", "hf://a/b:v1", "s3://bucket/x"])
def test_other_sources_are_run_as_models_of_the_hub_are(model: str, folder: Path) -> None:
    assert wanted(RequestOptions("", None), {"model": model}).pipeline == BUILDING
    assert wanted_on_cluster(RequestOptions("", True), {"model": model}).pipeline == STREAMING


@pytest.mark.parametrize(
    ("model", "image"),
    [
        ("a/Granite-3", "granite-3:main"),
        ("oci://quay.io:5000/a/b:1", "b:main"),
        ("oci://quay.io/a/b@sha256:00", "b:main"),
        ("model-registry://team/granite/1.0", "granite:main"),
        ("hf://a/b:v1", "b:main"),
        ("s3://bucket/x/tuned/?endpoint=http%3A%2F%2Fs3", "tuned:main"),
        ("pvc://claim/out", "out:main"),
        ("pvc://claim", "claim:main"),
    ],
)
def test_an_image_is_named_after_its_model(model: str, image: str) -> None:
    assert image_below("quay.io/team/", model) == f"quay.io/team/{image}"


def test_without_a_model_there_is_nothing_to_run(folder: Path) -> None:
    write(folder, "mine", "revision: v1")
    with pytest.raises(UsageError, match="no model was named"):
        wanted(RequestOptions("mine"), {})
    assert modelcar("submit").returncode == 2


def test_a_parameter_of_a_pipeline_is_one_of_presets(folder: Path) -> None:
    for name, parameter in parameters().items():
        write(folder, "mine", json.dumps({name: parameter.default}))
        assert find("mine").parameters == {name: parameter.default}


def test_list_and_show(folder: Path) -> None:
    file = write(folder, "mine", "# why\ndescription: Ours.\nmodel: a/b\n")
    write(folder, "broken", "modell: a/b\n")
    listed = modelcar("presets")
    assert listed.returncode == 0
    assert "mine " in listed.stdout
    assert "Ours." in listed.stdout
    assert "mistral-24b-full" in listed.stdout
    assert "the preset presets/broken.yaml: there is no parameter 'modell'. Did you mean model?" in listed.stderr
    assert modelcar("presets", "show", "mine").stdout == f"# presets/mine.yaml\n{file.read_text()}"
    shown = json.loads(modelcar("presets", "show", "mine", "--json").stdout)
    assert shown == {
        "name": "mine",
        "file": "presets/mine.yaml",
        "description": "Ours.",
        "streaming": None,
        "parameters": {"model": "a/b"},
    }
    assert [one["name"] for one in json.loads(modelcar("presets", "--json").stdout)] == [
        "mine",
        "mistral-24b-full",
        "mistral-24b-quantized",
    ]
