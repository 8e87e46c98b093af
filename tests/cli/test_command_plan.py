"""`modelcar plan` as a person uses it on a laptop."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.recorded_api import RecordedApi
from tests.parts.registries import BasicAuthRegistry, Registry

MODEL = "example/tiny-llama"


@pytest.fixture(autouse=True)
def published(hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish a model, and be in an empty folder."""
    hub.publish(MODEL, model)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedApi]:
    """Give a cluster that has a claim, and lets us look at little else."""
    with RecordedApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig", "token")))
        forbidden = {"kind": "Status", "code": 403, "message": "nodes is forbidden"}
        api.answers["/api/v1/nodes"] = (403, forbidden)
        pods = 'pods is forbidden: User "me" cannot create resource "pods" in API group ""'
        api.answers["POST /api/v1/namespaces/my-project/pods"] = (403, {**forbidden, "message": pods})
        yield api


def claim(size: str) -> tuple[int, dict[str, Any]]:
    """A PersistentVolumeClaim, as the API server has it."""
    spec = {"resources": {"requests": {"storage": size}}}
    status = {"phase": "Bound", "capacity": {"storage": size}}
    return 200, {"kind": "PersistentVolumeClaim", "metadata": {"name": "modelcar"}, "spec": spec, "status": status}


def test_a_plan_says_what_a_run_would_do_and_moves_nothing(hub: Hub, plain_registry: Registry, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    done = modelcar("plan", MODEL, "--target", f"{plain_registry.host}/planned/model:1")
    assert done.returncode == 0, done.stderr
    for said in ("Ready.", "consolidated.safetensors", "Left out: 3 files", "Layers: 5", "may be written"):
        assert said in done.stdout
    assert hub.bytes_served < 30_000
    assert sorted(tmp_path.iterdir()) == before


def test_a_plan_for_programs(plain_registry: Registry) -> None:
    done = modelcar("plan", "--model", MODEL, "--target", f"{plain_registry.host}/planned/model:1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["runs"]
    assert len(told["files"]) == 13
    assert told["bytes"] == sum(file["bytes"] for file in told["files"])
    assert {left["path"] for left in told["left_out"]} == {"consolidated.safetensors", "params.json", ".gitattributes"}
    assert len(told["layers"]) == 5
    assert told["claim_bytes"] >= told["bytes"]
    assert told["node"]["ephemeral-storage"] == "1Gi"


@pytest.mark.parametrize("columns", [40, 80])
def test_no_digest_and_no_name_of_a_file_is_cut(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = modelcar("plan", MODEL).stdout
    assert "…" not in shown
    assert all(len(line) <= columns and line == line.rstrip() for line in shown.splitlines())
    recipe = re.search(r"recipe +(sha256:(?:[0-9a-f]+\s+)+)claim", shown)
    assert recipe
    assert len("".join(recipe[1].split())) == len("sha256:") + 64


def test_a_plan_in_a_log_is_wide_and_ends_its_lines() -> None:
    shown = modelcar("plan", MODEL).stdout
    assert re.search(r"recipe +sha256:[0-9a-f]{64}$", shown, re.MULTILINE)
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_streaming_needs_no_claim(plain_registry: Registry) -> None:
    target = f"{plain_registry.host}/planned/model:1"
    told = json.loads(modelcar("plan", MODEL, "--streaming", "--target", target, "--json").stdout)
    assert told["runs"]
    assert told["claim_bytes"] is None


def test_a_run_that_would_be_refused_ends_with_1_and_the_reasons(plain_registry: Registry) -> None:
    target = f"{plain_registry.host}/planned/model:1"
    done = modelcar("plan", MODEL, "--target", target, "--max-layer-size", "1000000")
    assert done.returncode == 1
    assert "This run cannot succeed" in done.stdout
    assert "--max-layer-size is 1.0 MB" in done.stderr.splitlines()[-1]
    told = modelcar("plan", MODEL, "--target", target, "--max-layer-size", "1000000", "--json")
    assert told.returncode == 1
    assert not json.loads(told.stdout)["runs"]


@pytest.mark.parametrize("more", [[], ["--streaming"]])
def test_a_model_alone_is_planned(more: list[str]) -> None:
    done = modelcar("plan", MODEL, *more)
    assert done.returncode == 0, done.stderr
    assert "Ready." in done.stdout
    assert "none was named, so no registry was asked. Add --target" in " ".join(done.stdout.split())
    assert "consolidated.safetensors" in done.stdout
    told = json.loads(modelcar("plan", MODEL, *more, "--json").stdout)
    assert told["runs"]
    assert told["target"] is None
    assert len(told["layers"]) == 5


def test_with_a_login_it_says_what_the_cluster_says(cluster: RecordedApi, plain_registry: Registry) -> None:
    target = f"{plain_registry.host}/planned/model:1"
    done = modelcar("plan", MODEL, "--target", target)
    assert done.returncode == 1
    assert "there is no claim modelcar in my-project" in done.stderr
    assert "oc apply -n my-project -f -" in done.stdout.partition("To paste:")[2]

    cluster.answers["/api/v1/namespaces/my-project/persistentvolumeclaims/modelcar"] = claim("1Mi")
    assert "the claim modelcar has 1.0 MB, and the run needs" in modelcar("plan", MODEL, "--target", target).stderr

    cluster.answers["/api/v1/namespaces/my-project/persistentvolumeclaims/modelcar"] = claim("64Gi")
    done = modelcar("plan", MODEL, "--target", target)
    assert done.returncode == 0, done.stderr
    assert "modelcar has 68.7 GB" in done.stdout
    assert "is found out in the cluster by the first step" in done.stdout


def test_here_asks_no_cluster(cluster: RecordedApi, plain_registry: Registry) -> None:
    done = modelcar("plan", MODEL, "--target", f"{plain_registry.host}/planned/model:1", "--here")
    assert done.returncode == 0, done.stderr
    assert cluster.seen == []


def test_a_registry_that_only_the_cluster_gets_into_is_no_reason_against(
    cluster: RecordedApi, basic_registry: BasicAuthRegistry, log_in: Callable[..., Path]
) -> None:
    log_in()
    cluster.answers["/api/v1/namespaces/my-project/persistentvolumeclaims/modelcar"] = claim("64Gi")
    words = ["plan", MODEL, "--target", f"{basic_registry.host}/planned/model:1"]
    done = modelcar(*words, "--json", "--target-secret", "mine")
    assert done.returncode == 0, done.stderr
    found = [one for one in json.loads(done.stdout)["findings"] if one["about"] == "target"]
    assert found
    for one in found:
        assert one["verdict"] == "warning"
        assert one["what"].startswith("from here: ")
        assert one["what"].endswith("The run uses the Secret mine, in the cluster")
    # Here there is nobody else whose login would count.
    assert modelcar(*words, "--here").returncode == 1


def test_a_preset_is_a_plan_too(hub: Hub, model: Path, cluster: RecordedApi, plain_registry: Registry) -> None:
    hub.publish("mistralai/Mistral-Small-24B-Instruct-2501", model)
    target = f"{plain_registry.host}/planned/model:1"
    told = json.loads(modelcar("plan", "--preset", "mistral-24b-full", "--target", target, "--json").stdout)
    assert told["model"] == "mistralai/Mistral-Small-24B-Instruct-2501"
    assert told["node"] == {"cpu": "2", "memory": "2Gi", "ephemeral-storage": "2Gi"}
