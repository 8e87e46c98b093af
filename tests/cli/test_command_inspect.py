"""`modelcar inspect` and `modelcar diff`, on images that were made here."""

import json
import re
from pathlib import Path

import pytest

from modelcar import pod
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import stream

MODEL = "example/tiny-llama"


@pytest.fixture
def image(hub: Hub, model: Path, plain_registry: Registry, tmp_path: Path) -> str:
    """Give an image."""
    hub.publish(MODEL, model)
    return str(stream(MODEL, f"{plain_registry.host}/inspected/{tmp_path.name.replace('_', '-')}:1").image)


def test_an_image_says_what_it_holds(image: str, hub: Hub) -> None:
    done = modelcar("inspect", image)
    assert done.returncode == 0, done.stderr
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert rows["image"] == image
    assert re.fullmatch(r"[0-9a-f]{40}", rows["commit"])
    assert rows["Hub"] == "main is at this commit"
    assert rows["form"] == "modelcar"
    assert "provenance" in rows["attached"]
    told = json.loads(modelcar("inspect", image, "--json").stdout)
    assert (told["model"], told["hub"]) == (MODEL, "same")
    assert sum(layer["bytes"] for layer in told["layers"]) == told["bytes"]
    shown = modelcar("inspect", image, "--layers", "--offline").stdout
    assert all(layer["digest"] in shown for layer in told["layers"])
    assert "Hub" not in shown


def test_a_hub_that_is_ahead_or_silent_is_told(
    image: str, hub: Hub, tmp_path: Path, closed_port: int, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = hub.publish(MODEL, tiny_llama(tmp_path / "changed", seed=1))
    assert f"main is at {newer}" in modelcar("inspect", image).stdout
    assert json.loads(modelcar("inspect", image, "--json").stdout)["hub"] == "ahead"
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    done = modelcar("inspect", image)
    assert done.returncode == 0
    assert "not known: cannot reach" in done.stdout


def test_two_images_are_compared(image: str, hub: Hub, tmp_path: Path) -> None:
    assert modelcar("diff", image, image).stdout == "They hold the same.\n"
    changed = tiny_llama(tmp_path / "changed")
    (changed / "config.json").write_text((changed / "config.json").read_text() + "\n")
    hub.publish(MODEL, changed)
    other = str(stream(MODEL, f"{image.partition('@')[0]}-other:2").image)
    done = modelcar("diff", image, other)
    assert done.returncode == 1
    assert done.stdout.startswith("commit\n  - ")
    told = json.loads(modelcar("diff", image, other, "--json").stdout)
    # Of the layers only that of the small files is another.
    assert [one["what"] for one in told["differences"] if one["image"].startswith("sha256:")] != []
    assert not any("safetensors" in one["what"] for one in told["differences"])


@pytest.mark.parametrize("command", ["inspect", "diff"])
def test_what_is_no_image_of_ours_is_one_line(command: str, plain_registry: Registry) -> None:
    words = [f"{plain_registry.host}/inspected/nothing:1"] * (2 if command == "diff" else 1)
    done = modelcar(command, *words)
    assert done.returncode == (3 if command == "diff" else 1)
    assert len(done.stderr.splitlines()) == 1
    assert modelcar(command, *(["Not An Image"] * len(words))).returncode == 2


def test_signatures_are_listed(
    hub: Hub, model: Path, plain_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(MODEL, model)
    monkeypatch.setenv(pod.SIGNING_KEY, str(write_keys(tmp_path, "ours")[0]))
    image = str(stream(MODEL, f"{plain_registry.host}/inspected/signed:1").image)
    attached = json.loads(modelcar("inspect", image, "--json", "--offline").stdout)["attached"]
    assert {"signature", "signature of the files", "provenance", "inventory"} <= set(attached)
