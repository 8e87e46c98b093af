"""Pipelines as objects of Kubernetes; tests/kubernetes/test_gitops.py applies them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from modelcar.errors import BuildError
from modelcar.pipelines.compilation import Backend, documents_in
from modelcar.pipelines.delivery import Delivery
from modelcar.pipelines.kubernetes_objects import version_name, write_objects
from tests.parts.command import modelcar

COMPILED = Path(__file__).parents[2] / "compiled"
NAMES = ("model-to-registry", "model-to-registry-streaming", "claim-to-registry")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objects") / "kubernetes"
    write_objects(folder, "my-project")
    return folder


def objects(folder: Path, name: str) -> list[dict[str, Any]]:
    return documents_in(folder / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_objects_hold_the_compiled_pipeline(name: str, folder: Path) -> None:
    pipeline, version = objects(folder, name)
    compiled = documents_in(COMPILED / f"{name}.yaml")

    assert {one["apiVersion"] for one in (pipeline, version)} == {"pipelines.kubeflow.org/v2beta1"}
    assert [pipeline["kind"], version["kind"]] == ["Pipeline", "PipelineVersion"]
    assert pipeline["metadata"]["name"] == version["spec"]["pipelineName"] == name
    assert [version["spec"]["pipelineSpec"], version["spec"]["platformSpec"]] == compiled
    json_format.ParseDict(version["spec"]["pipelineSpec"], PipelineSpec())
    json_format.ParseDict(version["spec"]["platformSpec"], PlatformSpec())


@pytest.mark.parametrize("name", NAMES)
def test_version_is_called_as_submit_calls_it_and_after_its_content(name: str, folder: Path) -> None:
    _, version = objects(folder, name)
    shown = version["spec"]["displayName"]

    assert shown == version_name(COMPILED / f"{name}.yaml")
    assert version["metadata"]["name"] == f"{name}-{shown.rpartition('-')[2]}"
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", version["metadata"]["name"])


def test_old_definitions_know_each_field(folder: Path) -> None:
    """A server-side apply refuses unknown fields; these are what the definitions have had from the first on."""
    for name in NAMES:
        pipeline, version = objects(folder, name)
        assert set(pipeline["spec"]) <= {"description"}
        assert set(version["spec"]) <= {"description", "displayName", "pipelineName", "pipelineSpec", "platformSpec"}


def test_argo_cd_applies_them_on_the_server_and_keeps_old_versions(folder: Path) -> None:
    options = [one["metadata"]["annotations"] for name in NAMES for one in objects(folder, name)]
    assert options == [{"argocd.argoproj.io/sync-options": "ServerSideApply=true,Prune=false"}] * (2 * len(NAMES))


def test_kustomization_names_the_project_and_every_file(folder: Path) -> None:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization["namespace"] == "my-project"
    assert kustomization["resources"] == [f"{name}.yaml" for name in NAMES]
    assert {file.name for file in folder.iterdir()} == {*kustomization["resources"], "kustomization.yaml"}


def test_etcd_takes_them(folder: Path) -> None:
    """An object may have 1.5 MiB there; the dashboard's own limit for uploads is 1 MB."""
    assert max(file.stat().st_size for file in folder.iterdir()) < 1_000_000


def test_other_content_is_another_version(folder: Path, tmp_path: Path) -> None:
    write_objects(tmp_path / "image", "my-project", Delivery(image="quay.io/team/steps:1"))
    write_objects(tmp_path / "older", "my-project", backend=Backend.WITHOUT_TASK_CONFIG)
    places = (folder, tmp_path / "image", tmp_path / "older")
    names = [objects(place, "model-to-registry")[1]["metadata"]["name"] for place in places]

    assert len(set(names)) == 3


def test_command_writes_them_and_the_same_bytes_again(folder: Path, tmp_path: Path) -> None:
    done = modelcar("compile", "--as", "kubernetes", "--output", str(tmp_path / "out"), "-n", "team-a")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *(str(tmp_path / "out" / f"{name}.yaml") for name in NAMES),
        str(tmp_path / "out/kustomization.yaml"),
    ]
    assert "namespace: team-a\n" in (tmp_path / "out/kustomization.yaml").read_text()
    for name in NAMES:
        again = (tmp_path / "out" / f"{name}.yaml").read_text().replace("team-a", "my-project")
        assert again == (folder / f"{name}.yaml").read_text()


def test_mistakes_are_named(tmp_path: Path) -> None:
    wrong = modelcar("compile", "--as", "kubernetes", "-n", "Team A")
    assert wrong.returncode == 2
    assert "'Team A' is no name of a project" in wrong.stderr
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="--output"):
        write_objects(tmp_path / "file", "my-project")
