"""The notebooks as they lie in git; tests/kubernetes/test_notebooks.py runs them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import modelcar
from modelcar.steps import vertex_upload
from tests.parts.hub import Hub

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

each = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)


def cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == kind]


def code(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_four() -> None:
    assert len(NOTEBOOKS) == 4


@each
def test_outputs_and_counts_are_stripped(notebook: Path) -> None:
    command = [sys.executable, "-m", "nbstripout", "--verify", str(notebook)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"run nbstripout {notebook}\n{done.stdout}{done.stderr}"


@each
def test_what_a_reader_fills_in_is_in_one_cell_above_all_code(notebook: Path) -> None:
    first, *rest = cells(notebook, "code")
    assert first["metadata"]["tags"] == ["parameters"]
    assert all(re.match(r"#|[A-Z_]+ = |$", line) for line in code(first).splitlines())
    assert [cell for cell in rest if cell["metadata"].get("tags")] == []


@each
def test_links_and_files_are_there(notebook: Path) -> None:
    text = "\n".join(map(code, cells(notebook, "markdown")))
    linked = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    named = re.findall(r'^PIPELINE = "(.+)"', code(cells(notebook, "code")[0]), re.MULTILINE)
    assert [name for name in linked + named if not (notebook.parent / name).exists()] == []


@pytest.mark.parametrize("notebook", NOTEBOOKS[:2], ids=lambda file: file.stem)
def test_all_runs_are_in_the_commands_own_experiment(notebook: Path) -> None:
    from modelcar.cli.options import RunOptions

    assert f'EXPERIMENT = "{RunOptions().experiment}"' in code(cells(notebook, "code")[0])
    assert "EXPERIMENT" in "\n".join(map(code, cells(notebook, "code")[1:]))


def test_the_compiled_pipeline_comes_with_the_package() -> None:
    assert (Path(modelcar.__file__).parent / "files/compiled/model-to-registry-streaming.yaml").is_file()
    for notebook in NOTEBOOKS:
        assert "../" not in "\n".join(map(code, cells(notebook, "code")))


def test_a_report_is_read_without_a_login_to_the_store() -> None:
    before, store = [code(cell) for cell in cells(NOTEBOOKS[2], "code")][:-1], code(cells(NOTEBOOKS[2], "code")[-1])
    assert not any("boto3" in cell or "AWS_" in cell for cell in before)
    assert "no connection to the object store is attached" in store


def test_the_plan_comes_from_the_hub_alone(hub: Hub, model: Path) -> None:
    hub.publish("ibm-granite/granite-3.3-2b-instruct", model)
    parameters, plan = map(code, cells(NOTEBOOKS[0], "code")[:2])
    done = subprocess.run(
        [sys.executable, "-c", f"{parameters}\n{plan}"], check=False, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "left out: consolidated.safetensors" in done.stdout
    assert "5 layers, 6.1 MB; the largest has 1.5 MB" in done.stdout
    assert "cannot work" not in done.stdout
    # The metadata of one model, and the small files that say which weights serve it; no weights.
    assert hub.bytes_served < 100_000


def test_a_version_is_deployed_asked_undeployed_and_deleted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Google's client is held to its own signatures; nothing goes out."""
    from google.cloud import aiplatform

    name = "projects/1/locations/europe-west4/models/7"
    spec = {"imageUri": "europe-west4-docker.pkg.dev/p/m/x@sha256:1", "args": ["--model=/models"]}
    done: list[str] = []
    model = mock.create_autospec(aiplatform.Model)
    endpoint = mock.create_autospec(aiplatform.Endpoint)
    created = endpoint.create.return_value = mock.create_autospec(aiplatform.Endpoint, instance=True)
    for place, steps in ((model.return_value, ("deploy",)), (created, ("predict", "undeploy_all", "delete"))):
        for step in steps:
            getattr(place, step).side_effect = lambda *_, step=step, **__: done.append(step) or mock.DEFAULT
    monkeypatch.setattr(aiplatform, "Model", model)
    monkeypatch.setattr(aiplatform, "Endpoint", endpoint)
    monkeypatch.setattr(vertex_upload, "newest", lambda *_: {"name": name, "containerSpec": spec})
    parameters, _plan, *rest = map(code, cells(ROOT / "notebooks" / "4-deploy-on-vertex.ipynb", "code"))

    exec("\n".join([parameters, *rest]), {})

    assert done == ["deploy", "predict", "undeploy_all", "delete"]
    model.assert_called_once_with(name)
    assert endpoint.create.call_args.kwargs["dedicated_endpoint_enabled"]
    (instance,) = created.predict.call_args.kwargs["instances"]
    assert instance["messages"][0]["role"] == "user"
    assert spec["imageUri"] in capsys.readouterr().out
