"""Models on a claim that is mounted for them into a step's pod."""

import os
import shutil
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.errors import ModelcarError, SourceError
from modelcar.sources.folder import claim_and_folder
from modelcar.sources.opening import open_source
from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest
from tests.parts.registries import Registry
from tests.parts.steps import download, stream


@pytest.fixture
def claim(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a mounted claim with a model in out/tiny, in a step's pod."""
    mount = tmp_path / "modelcar-source"
    shutil.copytree(model, mount / "out" / "tiny")
    (mount / "lost+found").mkdir()
    monkeypatch.setattr(pod, "SOURCE_CLAIM", mount)
    monkeypatch.setenv(pod.POD_NAME, "claim-to-registry-abcde-1")
    return mount


def test_a_model_on_a_claim_is_the_one_in_a_folder(
    claim: Path, model: Path, plain_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "pvc://team-models/out/tiny"
    streamed = stream(uri, f"{plain_registry.host}/claims/streamed:1")
    downloaded = download(uri, tmp_path / "other-claim")
    monkeypatch.delenv(pod.POD_NAME)
    assert streamed.commit == downloaded.snapshot.commit == open_source(str(model)).snapshot("").commit
    assert (downloaded.snapshot.source, downloaded.snapshot.model) == (uri, "team-models/tiny")


def test_no_link_leads_out_of_the_claim(claim: Path, tmp_path: Path) -> None:
    """Writers to a claim must not have a pod publish its own Secrets."""
    secret = tmp_path / "secrets" / "token"
    secret.parent.mkdir()
    secret.write_text("secret")
    folder = claim / "out" / "tiny"
    within = folder / "within.txt"
    within.symlink_to("../../shared.txt")
    (claim / "shared.txt").write_text("shared")
    source = open_source("pvc://team-models/out/tiny")
    assert "within.txt" in {file.path for file in source.snapshot("").files}
    (folder / "README.txt").symlink_to(secret)
    with pytest.raises(SourceError, match="leads out of the claim"):
        source.snapshot("")
    (folder / "README.txt").unlink()
    # A folder that is a link is not looked into; nor is the model's own folder one.
    (folder / "more").symlink_to(secret.parent)
    assert not [file for file in source.snapshot("").files if file.path.startswith("more")]
    (claim / "elsewhere").symlink_to(secret.parent)
    with pytest.raises(SourceError, match="leads out of the claim"):
        open_source("pvc://team-models/elsewhere").snapshot("")


def test_a_link_that_is_put_there_after_the_look_is_seen(claim: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    source = open_source("pvc://team-models/out/tiny")
    found = source.snapshot("")
    config = next(file for file in found.files if file.path == "config.json")
    place = claim / "out" / "tiny" / "config.json"
    place.unlink()
    place.symlink_to(tmp_path / "token")
    with pytest.raises(SourceError, match="leads out of the claim"):
        list(source.reader(found, config).read())
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(SourceError, match="no ordinary file"):
        list(source.reader(found, config).read())


def test_addresses_of_claims() -> None:
    assert claim_and_folder("pvc://models") == ("models", "")
    assert claim_and_folder("pvc://models/") == ("models", "")
    assert claim_and_folder("pvc://models-1.a/out/granite 3/") == ("models-1.a", "out/granite 3")
    for uri in ("pvc://", "pvc:///x", "pvc://Models/x", "pvc://m/../x", "pvc://m/a/./b", "pvc://m/a//b", "pvc://-m/x"):
        with pytest.raises(SourceError, match="is no folder of a claim"):
            claim_and_folder(uri)


def test_all_of_a_claim_may_be_the_model(claim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod, "SOURCE_CLAIM", claim / "out" / "tiny")
    assert open_source("pvc://team-models").snapshot("").model == "team-models/team-models"


def test_without_its_mount_the_remedy_is_named(claim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod, "SOURCE_CLAIM", claim / "nothing")
    with pytest.raises(SourceError, match=r"is not mounted here\. .*modelcar submit.*claim-to-registry"):
        open_source("pvc://team-models/out/tiny")


def test_preflight_refuses_another_claim_than_the_mounted_one(
    claim: Path, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(variable, raising=False)

    def refused(model: str) -> list[str]:
        target = f"{plain_registry.host}/claims/preflight:1"
        run = RunRequest(model=model, target=target, streaming=True, source_claim="team-models")
        return [finding.what for finding in preflight(run, lambda: None).refusals]

    assert refused("pvc://team-models/out/tiny") == []
    assert "the claim team-models is mounted, and the model is pvc://others/x" in refused("pvc://others/x")
    assert any("there is no folder pvc://team-models/nothing" in what for what in refused("pvc://team-models/nothing"))


def test_no_path_of_the_pod_is_told(claim: Path) -> None:
    for uri in ("pvc://team-models/nothing", "pvc://team-models/out"):
        (claim / "out" / "elsewhere").unlink(missing_ok=True)
        (claim / "out" / "elsewhere").symlink_to("/etc/passwd")
        with pytest.raises(ModelcarError) as refused:
            open_source(uri).snapshot("")
        assert str(claim) not in str(refused.value)
