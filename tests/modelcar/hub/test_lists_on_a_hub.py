"""The lists of repositories on a Hub, whose large files cannot be read: what a run selects, and what a plan says."""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from modelcar.hub.client import Hub as HubClient
from modelcar.hub.selection import Selection
from tests.modelcar.hub.test_choice import KNOWN, SHAPES, choose_known, choose_shape
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.hub_store import Absent, Source

NAMES = [*KNOWN, *SHAPES]
SHOWN = NAMES[::16]
"""Those whose plan is shown by the command itself, which takes longer."""


def _ids() -> dict[str, str]:
    """Give each list an id that the Hub may have, and that no other has."""
    ids: dict[str, str] = {}
    for number, name in enumerate(NAMES):
        match = re.fullmatch(r"(?P<id>[\w.-]+/[\w.-]+)( .*)?", name)
        ids[name] = match["id"] if match and match["id"] not in ids.values() else f"lists/{number}"
    return ids


IDS = _ids()


def publish(hub: Hub, name: str) -> None:
    """Publish a list; of its files, only those whose contents are known can be read."""
    shape = SHAPES.get(name)
    files, card, config = (
        (shape.files, shape.card, shape.config)
        if shape
        else (KNOWN[name]["files"], KNOWN[name]["card"], KNOWN[name]["config"])
    )
    sources: dict[str, Source] = {
        path: Absent(int(size), sha256(path.encode()).hexdigest()) for path, size in files.items()
    }
    if "README.md" in files:
        sources["README.md"] = ""
    documents = {**({"config.json": config} if config else {}), **(shape.documents if shape else {})}
    sources |= {path: json.dumps(value) for path, value in documents.items() if path in files}
    hub.publish(IDS[name], sources, card={**card} if card else None)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Give a Hub with all the lists."""
    with Hub(tmp_path_factory.mktemp("lists")) as hub:
        for name in NAMES:
            publish(hub, name)
        yield hub


@pytest.fixture(autouse=True)
def asked(lists: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to that Hub, from an empty folder."""
    monkeypatch.setenv("HF_ENDPOINT", lists.url)
    monkeypatch.chdir(tmp_path)


def weights(paths: dict[str, int]) -> dict[str, int]:
    """Leave out the small files, whose sizes are those of what this Hub has of them."""
    return {path: size for path, size in paths.items() if size > 100_000}


@pytest.mark.parametrize("start", range(8))
def test_what_is_read_on_the_way_leads_to_the_same_choice(start: int) -> None:
    hub = HubClient()
    for name in NAMES[start::8]:
        shape = SHAPES.get(name)
        choice = choose_shape(name, shape) if shape else choose_known(name)

        selected = Selection(IDS[name], variant=shape.variant if shape else "").resolve(hub)

        assert sorted(file.path for file in selected.choice.taken) == sorted(file.path for file in choice.taken), name
        assert [str(problem) for problem in selected.choice.problems] == [str(one) for one in choice.problems], name


@pytest.mark.parametrize("name", SHOWN)
def test_plan_shows_the_choice(name: str) -> None:
    shape = SHAPES.get(name)
    choice = choose_shape(name, shape) if shape else choose_known(name)

    done = modelcar("plan", IDS[name], "--here", "--json", *(("--variant", shape.variant) if shape else ()))
    told: dict[str, Any] = json.loads(done.stdout)

    assert weights({file["path"]: file["bytes"] for file in told["files"]}) == weights(
        {file.path: file.size for file in choice.taken}
    )
    assert {one["path"]: one["why"] for one in told["left_out"]} == {
        one.file.path: one.reason for one in choice.left_out
    }
    assert told["bytes"] == sum(file["bytes"] for file in told["files"])
    refused = [one["what"] for one in told["findings"] if one["verdict"] == "refusal"]
    assert all(any(problem.what in what for what in refused) for problem in choice.problems)
