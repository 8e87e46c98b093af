"""`modelcar serve-yaml` and `modelcar warm` as a person types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.parts.hub import Hub
from tests.parts.recorded_api import RecordedApi
from tests.parts.registries import Registry
from tests.parts.steps import stream

PROGRAM = Path(sys.executable).with_name("modelcar")


def modelcar(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *map(str, words)], check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture
def image(hub: Hub, model: Path, plain_registry: Registry) -> str:
    """Give an image of the model in a registry that lets everyone in."""
    hub.publish("example/tiny-llama", model)
    return str(stream("example/tiny-llama", f"{plain_registry.host}/yaml/tiny:1").image)


def test_yaml_is_printed_for_a_pipe(image: str) -> None:
    done = modelcar("serve-yaml", image, "--serving", "kserve")

    (service,) = yaml.safe_load_all(done.stdout)
    assert done.returncode == 0, done.stderr
    assert service["spec"]["predictor"]["model"]["storageUri"] == f"oci://{image}"
    assert service["metadata"]["name"] == "tiny-llama"


def test_yaml_is_written_into_files(image: str, tmp_path: Path) -> None:
    done = modelcar("serve-yaml", image, "--serving", "rhoai-3", "--output", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "out" / "inference-service.yaml")
    for line in done.stdout.splitlines():
        assert list(yaml.safe_load_all(Path(line).read_text()))


def test_yaml_is_there_for_scripts(image: str) -> None:
    done = modelcar("serve-yaml", image, "--json")

    found = json.loads(done.stdout)
    assert (found["image"], found["platform"]) == (image, "rhoai-3")
    assert "inference-service.yaml" in found["files"]


def test_a_folder_that_is_a_file_is_one_line(image: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    done = modelcar("serve-yaml", image, "--serving", "kserve", "--output", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: cannot write to {tmp_path}/out: File exists. Name another folder: --output DIR\n"


@pytest.mark.parametrize("command", ["serve-yaml", "serve"])
def test_serving_is_a_setting_too(command: str, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELCAR_SERVING", "v9")
    with RecordedApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig", "token")))
        assert "there is no serving 'v9'. Choose one of auto" in modelcar(command, image).stderr
    monkeypatch.setenv("KUBECONFIG", "")
    if command == "serve-yaml":
        assert modelcar(command, image, "--serving", "kserve").returncode == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["serve-yaml", "quay.io/a/b:1", "--serving", "v9"],
            "there is no serving 'v9'. Choose one of auto, rhoai-2.25",
        ),
        (["serve-yaml", "nowhere"], "'nowhere' is not an image reference"),
        (["warm", "quay.io/a/b:1"], "there is no login to a cluster"),
        (["serve", "quay.io/a/b:1", "--as", "a"], "there is no login to a cluster"),
        (["warm", "quay.io/a/b:1", "--nodes", "gpu"], "--nodes gpu is no label. Write it as name=value"),
    ],
)
def test_bad_input_is_one_line_with_its_remedy(words: list[str], says: str) -> None:
    done = modelcar(*words)

    assert done.returncode != 0
    assert done.stderr.startswith(f"error: {says}")
    assert done.stderr.count("\n") == 1


def test_service_that_the_model_cannot_have_is_refused(image: str) -> None:
    done = modelcar("serve-yaml", image, "--serving", "kserve", "--llm")

    assert done.returncode == 1
    assert "has no LLMInferenceService" in done.stderr
    assert done.stdout == ""
