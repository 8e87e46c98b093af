"""`modelcar doctor` without a model: what a machine, the logins, a project and its cluster lack."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.recorded_api import RecordedApi
from tests.parts.registries import BasicAuthRegistry


def told(*words: str) -> dict[str, dict[str, dict[str, Any]]]:
    subjects = json.loads(modelcar("doctor", *words, "--json").stdout)
    return {one["subject"]: {found["about"]: found for found in one["findings"]} for one in subjects}


def test_a_machine_alone_is_well(hub: Hub) -> None:
    done = modelcar("doctor")
    assert done.returncode == 0, done.stdout
    found = told()
    assert list(found) == ["this machine", "Hugging Face", "registries", "cluster"]
    assert found["Hugging Face"]["answer"]["what"] == f"{hub.url} answers"
    assert found["registries"]["logins"]["remedy"] == "Log in to yours: podman login quay.io"
    assert "oc login" in found["cluster"]["login"]["remedy"]
    assert "! logins: there are none. Log in to yours: podman login quay.io" in done.stdout


def test_a_hub_that_cannot_be_reached_ends_with_1(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    done = modelcar("doctor")
    assert done.returncode == 1
    assert f"✗ answer: cannot reach http://127.0.0.1:{closed_port}" in done.stdout


def test_a_refused_token_and_an_unwell_hub_are_told_apart(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    assert told()["Hugging Face"]["token"]["verdict"] == "refusal"
    hub.status("whoami", 503, times=None)
    found = told()["Hugging Face"]
    assert found["answer"]["what"] == f"{hub.url} answers 503"
    assert "token" not in found


def test_a_login_for_the_registry_of_the_settings_is_looked_for(
    hub: Hub, basic_registry: BasicAuthRegistry, log_in: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELCAR_REGISTRY", f"{basic_registry.host}/team")
    assert told()["registries"]["registry"]["remedy"] == f"Log in: podman login {basic_registry.host}"
    log_in(basic_registry)
    assert told()["registries"]["registry"]["verdict"] == "ok"


def test_a_cluster_that_is_gone_does_not_hide_the_rest(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordedApi() as gone:
        monkeypatch.setenv("KUBECONFIG", str(gone.kubeconfig(tmp_path / "kubeconfig")))
    done = modelcar("doctor")
    assert done.returncode == 1
    assert "✓ answer" in done.stdout
    assert f"✗ login: cannot reach the cluster at {gone.url}" in done.stdout


def test_a_kubeconfig_that_is_none_is_a_finding(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    assert told()["cluster"]["login"]["what"].startswith(f"the kubeconfig {tmp_path} cannot be used")
    assert "✗ login" in modelcar("doctor").stdout


def test_a_project_tells_what_it_lacks(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordedApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig", "token")))
        me = {"status": {"userInfo": {"username": "ann"}}}
        api.answers["POST /apis/authentication.k8s.io/v1/selfsubjectreviews"] = (201, me)
        api.answers["/apis/"] = (200, {"kind": "APIGroupList", "groups": []})
        api.answers["/api/v1/nodes"] = (403, {"kind": "Status", "message": "nodes is forbidden"})
        review = {"spec": {}, "status": {"allowed": True}}
        api.answers["POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] = (201, review)
        found = told()
    assert found["cluster"]["login"]["what"] == f"ann at {api.url}"
    project = found["project my-project"]
    assert project["pipelines"]["verdict"] == "refusal"
    assert "oc apply -n my-project -f -" in project["claim"]["command"]
    assert "modelcar files manifests" in project["builds"]["remedy"]
