"""`modelcar downloads`: here in a folder, and on a claim by a pod."""

import fcntl
import json
import subprocess
from pathlib import Path

import pytest

from modelcar.cli import claim_pod, folders
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.recorded_api import RecordedApi
from tests.parts.steps import download

MODEL = "example/tiny-llama"


@pytest.fixture
def commit(hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the commit of a model that lies in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hub.publish(MODEL, model)
    return download(MODEL, folders.downloads()).snapshot.commit


def test_downloads_are_listed_and_removed(commit: str) -> None:
    (told,) = json.loads(modelcar("downloads", "--json").stdout)
    assert (told["model"], told["commit"], told["complete"]) == (MODEL, commit, True)
    assert 6_000_000 < told["bytes"] < 7_000_000
    shown = modelcar("downloads").stdout
    assert f"{MODEL}  {commit[:12]}" in shown
    done = modelcar("downloads", "remove", f"{MODEL}@{commit[:6]}")
    assert done.returncode == 0
    assert f"{commit} is removed" in done.stdout
    assert list(folders.downloads().iterdir()) == []
    assert "There are no downloads in" in modelcar("downloads").stdout


def test_what_is_not_there_is_said(commit: str) -> None:
    for word in ("example/other", f"{MODEL}@ffffffffffff", "example--tiny-llama", f"../{MODEL}"):
        done = modelcar("downloads", "remove", word)
        assert done.returncode == 1
        assert f"there is no download of {word}" in done.stderr
    assert len(json.loads(modelcar("downloads", "--json").stdout)) == 1
    assert json.loads(modelcar("downloads", "--claim", "/nowhere/at/all", "--json").stdout) == []


def test_one_that_is_being_downloaded_stays(commit: str) -> None:
    place = folders.downloads() / "example--tiny-llama" / commit / ".modelcar/partial"
    place.mkdir(exist_ok=True)
    with (place / "one").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = modelcar("downloads", "remove", MODEL)
    assert done.returncode == 1
    assert "is being downloaded, and stays" in done.stdout
    assert modelcar("downloads", "remove", MODEL).returncode == 0


def test_links_and_strange_folders_are_none_of_ours(commit: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "weights").mkdir(parents=True)
    (folders.downloads() / "a--link").symlink_to(precious)
    (folders.downloads() / "lost+found").mkdir()
    assert len(json.loads(modelcar("downloads", "--json").stdout)) == 1
    assert modelcar("downloads", "remove", "a/link").returncode == 1
    assert (precious / "weights").is_dir()


def test_a_claim_is_looked_at_by_a_pod(commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordedApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig", "token")))
        pods = "/api/v1/namespaces/my-project/pods"
        found = {"kind": "Pod", "metadata": {"name": "looks"}, "status": {"phase": "Succeeded"}}
        api.answers["/api/v1/namespaces/my-project/persistentvolumeclaims/modelcar"] = (200, {"metadata": {}})
        api.answers[f"POST {pods}"] = (201, found)
        api.answers[f"{pods}/looks"] = (200, found)
        api.answers[f"{pods}/looks/log"] = (200, [])
        assert modelcar("downloads", "--claim", "modelcar", "--json").stdout.strip() == "[]"
        (posted,) = [body for path, body in api.posted if path == pods]
    spec = posted["spec"]
    assert spec["volumes"] == [{"name": "claim", "persistentVolumeClaim": {"claimName": "modelcar"}}]
    # The pod's very command, on a folder in place of the mount.
    command = [str(folders.downloads()) if word == "/modelcar" else word for word in spec["containers"][0]["command"]]
    (told,) = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert told["commit"] == commit


def test_a_claim_needs_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    done = modelcar("downloads", "--claim", "modelcar")
    assert done.returncode == 1
    assert "--claim ./modelcar" in done.stderr


def test_a_pod_that_does_not_start_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_pod, "START_SECONDS", 0.0)
    with RecordedApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig", "token")))
        pods = "/api/v1/namespaces/my-project/pods"
        found = {"kind": "Pod", "metadata": {"name": "looks"}, "status": {"phase": "Pending"}}
        api.answers["/api/v1/namespaces/my-project/persistentvolumeclaims/modelcar"] = (200, {"metadata": {}})
        api.answers[f"POST {pods}"] = (201, found)
        api.answers[f"{pods}/looks"] = (200, found)
        done = modelcar("downloads", "--claim", "modelcar")
    assert done.returncode == 1
    assert "did not start" in done.stderr
