"""`modelcar compile --as kubernetes`, applied to the definitions of the Kubeflow Pipelines that the tests run."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from modelcar.pipelines.kubernetes_objects import write_objects
from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.kfp.programs import pipeline_definitions
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.programs.build import kubectl_program
from tests.kubernetes.waiting import until

GROUP, VERSION = "pipelines.kubeflow.org", "v2beta1"


@pytest.fixture(scope="module")
def definitions(cluster: AnyCluster) -> Iterator[None]:
    """Define Pipeline and PipelineVersion, unless a pipeline server has done so."""
    extensions = client.ApiextensionsV1Api(cluster.api)
    there = {one.metadata.name for one in extensions.list_custom_resource_definition().items}
    made = [one for one in map(_read, pipeline_definitions()) if one["metadata"]["name"] not in there]
    for one in made:
        extensions.create_custom_resource_definition(one)
    for one in made:
        name = one["metadata"]["name"]
        until(lambda name=name: _is_established(extensions, name), f"{name} is defined")  # type: ignore[misc]
    until(lambda: _are_discovered(cluster), "kubectl finds Pipeline and PipelineVersion")
    yield
    for one in made:
        extensions.delete_custom_resource_definition(one["metadata"]["name"])


def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def _is_established(extensions: Any, name: str) -> bool:
    conditions = extensions.read_custom_resource_definition(name).status.conditions or []
    return any(one.type == "Established" and one.status == "True" for one in conditions)


def _are_discovered(cluster: AnyCluster) -> bool:
    """Tell whether kubectl hears of the definitions, which it does a moment after they are established."""
    found = kubectl(cluster, "api-resources", f"--api-group={GROUP}", "--output=name").stdout.split()
    return {f"pipelines.{GROUP}", f"pipelineversions.{GROUP}"} <= set(found)


def _specs(versions: list[Any]) -> dict[str, Any]:
    return {one["metadata"]["name"]: one["spec"] for one in versions}


def kubectl(cluster: AnyCluster, *words: str) -> subprocess.CompletedProcess[str]:
    command = [kubectl_program(), f"--kubeconfig={cluster.kubeconfig}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("dry_run", ["server", "none"])
def test_objects_are_taken_as_they_are(
    dry_run: str, definitions: None, namespace: Namespace, cluster: AnyCluster, tmp_path: Path
) -> None:
    folder = tmp_path / "kubernetes"
    write_objects(folder, namespace.name)

    done = kubectl(cluster, "apply", "--server-side", f"--dry-run={dry_run}", "--validate=strict", "-k", str(folder))

    assert done.returncode == 0, done.stderr
    files = list(folder.glob("*-to-registry*.yaml"))
    assert done.stdout.count("serverside-applied") == 2 * len(files) > 2
    if dry_run == "none":
        custom = client.CustomObjectsApi(cluster.api)
        kept = custom.list_namespaced_custom_object(GROUP, VERSION, namespace.name, "pipelineversions")["items"]
        wanted = [list(yaml.safe_load_all(file.read_text()))[1] for file in files]
        assert _specs(kept) == _specs(wanted)
