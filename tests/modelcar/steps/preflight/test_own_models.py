"""Preflight of models of one's own: they are read for the first time, which may take longer than any check may."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelcar import pod, progress
from modelcar.sources.folder import ClaimShelf
from modelcar.steps.preflight import preflight as preflight_module
from modelcar.steps.preflight.preflight import Preflight, preflight
from modelcar.steps.preflight.request import RunRequest
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.s3 import s3_server
from tests.parts.steps import stream
from tests.parts.weights import Tensor, write_safetensors

MODEL = "example/tiny-llama"
CHECK_SECONDS = 0.3
READING_SECONDS = 4 * CHECK_SECONDS
"""Time that reading takes longer in these tests."""


@pytest.fixture
def slow_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Give the folder of an S3 server's buckets, and what makes its next answers take longer than a check may."""
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as server, FaultProxy(server.url.removeprefix("http://")) as front:
        for name, value in {**server.variables, "AWS_S3_ENDPOINT": f"http://{front.host}"}.items():
            monkeypatch.setenv(name, value)

        def delay() -> None:
            monkeypatch.setattr(preflight_module, "CHECK_SECONDS", CHECK_SECONDS)
            front.delay(READING_SECONDS, times=2)

        yield server.buckets, delay


def request(registry: Registry, model: str, **more: object) -> RunRequest:
    name = "".join(letter if letter.isalnum() else "-" for letter in model)
    return RunRequest(model=model, target=f"{registry.host}/own/{name}:1", streaming=True, **more)  # type: ignore[arg-type]


def was_given_up(found: Preflight) -> bool:
    return found.plan is None or any(one.about == "model" and "no answer" in one.what for one in found.findings)


def test_a_model_in_s3_is_waited_for_and_progress_is_shown(
    slow_s3: tuple[Path, Callable[[], None]],
    model: Path,
    plain_registry: Registry,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buckets, delay = slow_s3
    shutil.copytree(model, buckets / "team-models" / "tiny")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", CHECK_SECONDS)
    delay()
    assert not was_given_up(preflight(request(plain_registry, "s3://team-models/tiny")))
    assert "hash: " in capsys.readouterr().out


def test_an_adapter_of_ones_own_on_a_published_model_is_waited_for(
    slow_s3: tuple[Path, Callable[[], None]], hub: Hub, model: Path, plain_registry: Registry
) -> None:
    buckets, delay = slow_s3
    hub.publish(MODEL, model)
    adapter = buckets / "team-models" / "sql"
    adapter.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": 24, "base_model_name_or_path": MODEL}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    write_safetensors(adapter / "adapter_model.safetensors", [Tensor("lora_A.weight", (24, 64))], seed=1)
    delay()
    found = preflight(request(plain_registry, MODEL, adapters=("s3://team-models/sql",)))
    assert not was_given_up(found)


def test_a_model_on_a_claim_that_is_slow_is_waited_for(
    model: Path, tmp_path: Path, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod, "SOURCE_CLAIM", Path(shutil.copytree(model, tmp_path / "claim" / "tiny")).parent)
    monkeypatch.setattr(preflight_module, "CHECK_SECONDS", CHECK_SECONDS)
    read = ClaimShelf.read

    def read_late(shelf: ClaimShelf, path: str, start: int, end: int) -> Iterator[bytes]:
        time.sleep(READING_SECONDS if path == "config.json" and start == 0 else 0)
        yield from read(shelf, path, start, end)

    monkeypatch.setattr(ClaimShelf, "read", read_late)
    found = preflight(request(plain_registry, "pvc://team-models/tiny", source_claim="team-models"))
    assert not was_given_up(found)


def test_the_hub_is_not_waited_for_however_its_model_is_written(
    hub: Hub, model: Path, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(MODEL, model)
    monkeypatch.setattr(preflight_module, "CHECK_SECONDS", CHECK_SECONDS)
    hub.delay(60.0)
    try:
        assert was_given_up(preflight(request(plain_registry, f"hf://{MODEL}")))
    finally:
        hub.delay(0.0)


def test_an_unchanged_model_that_is_slow_to_read_begins_no_write(
    slow_s3: tuple[Path, Callable[[], None]], model: Path, plain_registry: Registry
) -> None:
    buckets, delay = slow_s3
    shutil.copytree(model, buckets / "team-models" / "tiny")
    run = request(plain_registry, "s3://team-models/tiny")
    stream(run.model, run.target)
    begun = len(plain_registry.requests())
    delay()
    preflight(run)
    assert {one.method for one in plain_registry.requests()[begun:]} <= {"GET", "HEAD"}
