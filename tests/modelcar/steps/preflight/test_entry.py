"""Entries of a real Model Registry that name a model's files."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from modelcar.errors import ModelRegistryError
from modelcar.steps.preflight.entry import source_of
from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest
from tests.parts.model_registry import ModelRegistryServer
from tests.parts.registries import Registry
from tests.parts.s3 import ACCESS_KEY, SECRET_KEY, S3Server, s3_server
from tests.parts.steps import stream

API = "/api/model_registry/v1alpha3"


def enter(server: ModelRegistryServer, name: str, version: str, uri: str = "", **more: Any) -> None:
    """Makes an entry as OpenShift AI's dashboard does: the artifact has a name of its own."""

    def post(path: str, body: dict[str, Any]) -> str:
        answer = requests.post(f"{server.url}{API}/{path}", json=body, timeout=600)
        answer.raise_for_status()
        return str(answer.json()["id"])

    found = requests.get(f"{server.url}{API}/registered_model", params={"name": name}, timeout=600)
    model = str(found.json()["id"]) if found.ok else post("registered_models", {"name": name})
    made = post("model_versions", {"name": version, "registeredModelId": model, **more})
    if uri:
        artifact = {"name": f"{name}-{version}-artifact", "uri": uri, "artifactType": "model-artifact"}
        post(f"model_versions/{made}/artifacts", artifact)


def test_an_entry_leads_to_its_files(model_registry_server: ModelRegistryServer) -> None:
    server = model_registry_server
    enter(server, "fraud", "1", "s3://models/fraud/1")
    enter(server, "fraud", "2", "oci://quay.io/team/fraud:2")
    enter(server, "fraud", "3", "s3://models/fraud/3", state="ARCHIVED")
    enter(server, "team/granite", "1.0", "hf://ibm-granite/granite:abc")
    for entry, uri in (
        ("fraud/1", "s3://models/fraud/1"),
        ("fraud/3", "s3://models/fraud/3"),
        # The newest that is not archived.
        ("fraud", "oci://quay.io/team/fraud:2"),
        ("team/granite/1.0", "hf://ibm-granite/granite:abc"),
        ("team/granite", "hf://ibm-granite/granite:abc"),
    ):
        assert source_of(f"model-registry://{entry}", server.url) == uri
    assert source_of("ibm-granite/granite", "") == "ibm-granite/granite"


def test_what_leads_nowhere_is_one_line(model_registry_server: ModelRegistryServer) -> None:
    server = model_registry_server
    enter(server, "empty", "1")
    enter(server, "odd", "1", "file:///etc/passwd")
    enter(server, "odder", "1", "/var/run/secrets")
    for entry, says in (
        ("nothing/1", "has no nothing/1"),
        ("empty/2", "has no empty/2"),
        ("empty/1", "names no files"),
        ("odd/1", "names file:///etc/passwd, which cannot be read"),
        ("odder/1", "names /var/run/secrets, which cannot be read"),
        ("", "has no "),
    ):
        with pytest.raises(ModelRegistryError, match=says):
            source_of(f"model-registry://{entry}", server.url)
    with pytest.raises(ModelRegistryError, match="no Model Registry was named"):
        source_of("model-registry://odd/1", "")
    with pytest.raises(ModelRegistryError, match="cannot reach"):
        source_of("model-registry://odd/1", "http://127.0.0.1:9")


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    """Give an S3 server."""
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as server:
        yield server


def test_preflight_hands_on_what_the_entry_names(
    s3: S3Server,
    model: Path,
    model_registry_server: ModelRegistryServer,
    plain_registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dashboard writes an object store's address into the entry."""
    for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    shutil.copytree(model, s3.buckets / "models" / "tiny")
    uri = f"s3://models/tiny?endpoint={s3.url.replace(':', '%3A').replace('/', '%2F')}&defaultRegion=us-east-1"
    enter(model_registry_server, "tiny", "1", uri)
    target = f"{plain_registry.host}/entries/tiny:1"
    run = RunRequest(
        model="model-registry://tiny/1", target=target, streaming=True, model_registry=model_registry_server.url
    )
    found = preflight(run, lambda: None)
    assert found.refusals == []
    assert found.source == uri
    assert found.plan is not None
    assert found.plan.snapshot.source == "s3://models/tiny"
    assert stream(found.source, target).commit == found.plan.snapshot.commit

    refused = preflight(RunRequest(model="model-registry://no/1", target=target, streaming=True), lambda: None)
    assert any("no Model Registry was named" in finding.what for finding in refused.refusals)
