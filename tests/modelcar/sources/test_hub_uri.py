"""Models of the Hub that are written as KServe writes them: hf://organisation/name, and after a colon the revision."""

from pathlib import Path

import pytest

from modelcar.errors import HubError
from modelcar.hub.snapshot import Snapshot
from modelcar.sources.opening import open_source
from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest
from modelcar.steps.verify.verify import verify
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import download, stream

MODEL = "example/tiny-llama"


@pytest.fixture
def commits(hub: Hub, model: Path) -> tuple[str, str]:
    """Give the two commits of a model, the first of which has a tag."""
    first = hub.publish(MODEL, {"model.gguf": b"GGUF" + b"\0" * 60, "README.md": b"the first"})
    hub.tag(MODEL, "v1", first)
    return first, hub.publish(MODEL, model)


def snapshot(model: str, *revision: str) -> Snapshot:
    with open_source(model) as source:
        return source.snapshot(model, *revision)


def test_the_revision_may_stand_in_the_name(commits: tuple[str, str]) -> None:
    first, second = commits
    assert snapshot(f"hf://{MODEL}").commit == second
    assert snapshot(f"hf://{MODEL}:v1").commit == first
    assert snapshot(f"hf://{MODEL}:{first}").commit == first
    # What the run names goes before what stands in the name.
    assert snapshot(f"hf://{MODEL}:v1", second).commit == second
    assert snapshot(f"hf://{MODEL}", "v1").commit == first


def test_it_is_the_very_model_of_the_hub(commits: tuple[str, str], plain_registry: Registry, tmp_path: Path) -> None:
    target = f"{plain_registry.host}/hub-uri/streamed"
    plain, written = stream(MODEL, f"{target}:1"), stream(f"hf://{MODEL}", f"{target}:2")
    assert str(plain.image).partition("@")[2] == str(written.image).partition("@")[2]
    assert written.unchanged is False
    # The next run finds it, whichever way it is written.
    for model in (MODEL, f"hf://{MODEL}"):
        assert stream(model, f"{target}:2").unchanged
        assert preflight(RunRequest(model=model, target=f"{target}:2", streaming=True)).unchanged is not None
    assert verify(f"{target}:2").is_whole
    downloaded = download(f"hf://{MODEL}", tmp_path / "claim").snapshot
    assert (downloaded.model, downloaded.source) == (MODEL, f"https://huggingface.co/{MODEL}")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("hf://example/nothing", "there is no model example/nothing on"),
        (f"hf://{MODEL}:v9", "has no revision 'v9'"),
        ("hf://", "is not a model id"),
        ("hf://a/b/c", "is not a model id"),
        ("hf://a b/c", "is not a model id"),
    ],
)
def test_what_is_not_there_is_one_line(uri: str, says: str, commits: tuple[str, str]) -> None:
    with pytest.raises(HubError, match=says):
        snapshot(uri)


def test_the_command_takes_it(commits: tuple[str, str]) -> None:
    planned = modelcar("plan", f"hf://{MODEL}", "--json")
    assert planned.returncode == 0
    assert commits[1] in planned.stdout
    assert modelcar("plan", f"hf://{MODEL}:v9").returncode == 1
