"""`modelcar config`: what is written once, where each value comes from, and what wins."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelcar.cli.folders import settings_file
from modelcar.cli.settings import SETTINGS, image_below, write_file
from modelcar.cli.usage import SettingError
from modelcar.oci.reference import Reference
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.other_account import WITHOUT_RIGHTS
from tests.parts.registries import Registry

ROOT = Path(__file__).parents[2]
MODEL = "example/tiny-llama"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home without settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for variable, _ in SETTINGS.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told() -> dict[str, tuple[str, str]]:
    return {one["name"]: (one["value"], one["source"]) for one in json.loads(modelcar("config", "--json").stdout)}


def test_each_value_is_shown_with_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(told().values()) == {("", "")}
    assert modelcar("config", "set", "registry", "quay.io/my-team").returncode == 0
    assert modelcar("config", "set", "namespace", "mine").returncode == 0
    monkeypatch.setenv("KFP_NAMESPACE", "other")
    assert told()["registry"] == ("quay.io/my-team", str(settings_file()))
    assert told()["namespace"] == ("other", "$KFP_NAMESPACE")
    shown = modelcar("config").stdout
    assert f"registry        quay.io/my-team   from {settings_file()}" in shown
    assert modelcar("config", "unset", "registry").returncode == 0
    assert told()["registry"] == ("", "")
    assert modelcar("config", "unset", "registry").returncode == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("registri: x", "there is no setting 'registri'. Did you mean registry?"),
        ("- a", "are no list of names and texts"),
        ("registry: [a]", "are no list of names and texts"),
        ("registry: {", "cannot be read"),
        ("", ""),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(content: str, says: str) -> None:
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text(content)
    done = modelcar("config")
    assert done.returncode == (2 if says else 0)
    assert says in done.stderr


@pytest.mark.parametrize("words", [[], ["set", "namespace", "mine"], ["unset", "registry"]], ids=str)
def test_a_file_that_may_not_be_read_keeps_what_it_says(words: list[str]) -> None:
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text("registry: quay.io/my-team\n")
    settings_file().chmod(0)
    done = subprocess.run(
        [*WITHOUT_RIGHTS, sys.executable, "-m", "modelcar", "config", *words],
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )
    settings_file().chmod(0o600)
    assert settings_file().read_text() == "registry: quay.io/my-team\n"
    assert (done.returncode, done.stdout) == (2, "")
    assert f"the settings {settings_file()} cannot be read: Permission denied. Make it readable" in done.stderr


def test_a_file_that_is_a_link_stays_one(home: Path) -> None:
    settings_file().parent.mkdir(parents=True)
    kept = home / "dotfiles" / "modelcar.yaml"
    settings_file().symlink_to(kept)
    # Where the link leads nothing is yet.
    assert modelcar("config", "set", "registry", "quay.io/my-team").returncode == 0
    kept.chmod(0o600)
    assert modelcar("config", "set", "namespace", "mine").returncode == 0
    assert settings_file().is_symlink()
    assert kept.read_text() == "registry: quay.io/my-team\nnamespace: mine\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in kept.parent.iterdir()] == ["modelcar.yaml"]


def test_what_cannot_be_written_leaves_nothing_beside_it() -> None:
    settings_file().mkdir(parents=True)
    # A folder has the file's name, which is only seen at the last step.
    with pytest.raises(SettingError, match="cannot write"):
        write_file({"registry": "quay.io/my-team"})
    assert list(settings_file().parent.iterdir()) == [settings_file()]


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_value_is_refused_with_how_to_take_it_out(value: str) -> None:
    modelcar("config", "set", "registry", "quay.io/my-team")
    done = modelcar("config", "set", "registry", value)
    assert done.returncode == 2
    assert done.stderr == "error: registry would be empty. To take it out: modelcar config unset registry\n"
    assert told()["registry"] == ("quay.io/my-team", str(settings_file()))


def test_settings_are_named_as_they_are_written() -> None:
    near = modelcar("config", "set", "model-registry", "x").stderr
    assert near == "error: there is no setting 'model-registry'. Did you mean model_registry?\n"
    far = modelcar("config", "unset", "nope").stderr
    assert far == f"error: there is no setting 'nope'. There are {', '.join(SETTINGS)}\n"


def test_a_setting_that_is_none_is_refused() -> None:
    assert "Did you mean mirror?" in modelcar("config", "set", "miror", "x").stderr
    assert modelcar("config", "unset", "nothing").returncode == 2


def test_the_registry_names_the_target(hub: Hub, model: Path, plain_registry: Registry) -> None:
    hub.publish(MODEL, model)
    modelcar("config", "set", "registry", f"{plain_registry.host}/team/")
    modelcar("config", "set", "serving", "kserve")
    done = modelcar("plan", MODEL, "--here", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["target"] == f"{plain_registry.host}/team/tiny-llama:main"
    assert "--target" in done.stderr
    named = modelcar("plan", MODEL, "--here", "--json", "--target", f"{plain_registry.host}/a/b:1")
    assert json.loads(named.stdout)["target"] == f"{plain_registry.host}/a/b:1"


@pytest.mark.parametrize(
    ("model", "revision"), [("a/B_c.d", ""), ("a/b", "refs/pr/1"), ("./dir/", "main"), ("a/-", "-"), ("a/b", "v" * 300)]
)
def test_every_model_has_a_name_that_registries_take(model: str, revision: str) -> None:
    assert Reference.parse_target(image_below("quay.io/my-team/", model, revision)).repository.startswith("my-team/")


def test_a_preset_may_be_a_file(home: Path, hub: Hub, model: Path, plain_registry: Registry) -> None:
    hub.publish(MODEL, model)
    (home / "elsewhere").mkdir()
    preset = home / "elsewhere" / "mine.yaml"
    preset.write_text(f"model: {MODEL}\ntarget: {plain_registry.host}/a/b:1\nstreaming: true\n")
    for written in (str(preset), "elsewhere/mine.yaml"):
        assert json.loads(modelcar("plan", "--preset", written, "--json").stdout)["model"] == MODEL
    assert "cannot be read" in modelcar("plan", "--preset", "./nothing.yaml").stderr
    modelcar("config", "set", "presets", str(home / "elsewhere"))
    assert json.loads(modelcar("plan", "--preset", "mine", "--json").stdout)["model"] == MODEL
