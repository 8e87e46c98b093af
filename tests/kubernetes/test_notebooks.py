"""The notebooks, each from a fresh kernel, against the real backend: first run, schedule, new commit, report."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbclient
import pytest

from tests.kubernetes.kfp import object_store, objects
from tests.kubernetes.kfp.backend import Backend
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.kubernetes.notebooks import filled_in, shown
from tests.kubernetes.waiting import PATIENCE_SECONDS
from tests.parts.models import tiny_llama

MODEL = "example/from-a-notebook"
ENDED = ("SUCCEEDED", "FAILED", "CANCELED")

Execute = Callable[..., str]


@pytest.fixture
def execute(
    kfp_backend: Backend, kfp_surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Execute:
    """Give a function that runs a notebook with other parameters, and returns all that it showed."""
    store = objects.addresses(kfp_backend.cluster.network)["minio-service"]
    for name, value in {
        "HF_ENDPOINT": kfp_surroundings.hub.url,
        "NO_PROXY": "*",
        "AWS_S3_ENDPOINT": f"http://{store}:{object_store.PORT}",
        "AWS_S3_BUCKET": object_store.BUCKET,
        "AWS_DEFAULT_REGION": object_store.REGION,
        "AWS_ACCESS_KEY_ID": object_store.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": object_store.SECRET_KEY,
    }.items():
        monkeypatch.setenv(name, value)

    def executed(name: str, **parameters: Any) -> str:
        book = filled_in(name, SERVER=kfp_backend.url, **parameters)
        client = nbclient.NotebookClient(
            book, timeout=int(PATIENCE_SECONDS), kernel_name="python3", resources={"metadata": {"path": tmp_path}}
        )
        client.execute()
        return "\n".join(shown(cell) for cell in book.cells if cell.cell_type == "code")

    return executed


def test_a_model_is_planned_run_scheduled_compared_and_reported(
    execute: Execute,
    kfp_backend: Backend,
    kfp_surroundings: Surroundings,
    compiled_for_backend: Path,
    tmp_path: Path,
) -> None:
    hub, target, entries = kfp_surroundings.hub, kfp_surroundings.target, kfp_surroundings.entries
    model = tiny_llama(tmp_path / "model")
    hub.publish(MODEL, model)
    asked = {
        "MODEL": MODEL,
        "TARGET": f"{target.host}/notebooks/tiny:1",
        "PIPELINE": str(compiled_for_backend / "model-to-registry-streaming.yaml"),
    }

    first = execute("1", **asked, PARAMETERS={"model_registry": entries.url})
    assert "left out: consolidated.safetensors" in first
    assert "5 layers, 6.1 MB" in first
    assert "Preflight" in first or "preflight" in first
    assert first.rstrip().endswith("SUCCEEDED")

    report = execute("3", FOLDER="v2/artifacts/")
    assert f"# {MODEL} is there\n" in report
    assert "kind: InferenceService" in report
    assert "Ready." in report
    assert "Could not" not in report
    assert "<iframe" in report
    # The legend of the disks' picture.
    assert "the node&#x27;s own disk" in report

    # A new commit, in which one file changed.
    changed = tmp_path / "changed"
    shutil.copytree(model, changed)
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    hub.publish(MODEL, changed)

    schedule = {**asked, "MODEL_REGISTRY": entries.url, "CRON": "*/20 * * * * *"}
    begun = execute("2", **schedule)
    assert f"{MODEL} every night" in begun
    assert "there is one version so far" in begun
    client = kfp_backend.client()
    [kept] = [one for one in client.list_recurring_runs().recurring_runs if one.display_name.startswith(MODEL)]
    ended = wait_for_runs_of(client, kept.recurring_run_id, 2)
    assert {run.state for run in ended} == {"SUCCEEDED"}

    compared = execute("2", **schedule, STOP=True)
    assert compared.count("SUCCEEDED") >= 2
    assert compared.count(f"oci://{target.host}/notebooks/tiny@sha256:") == 2
    assert "changed config.json" in compared
    assert "model-0000" not in compared
    names = [one.display_name for one in client.list_recurring_runs().recurring_runs or []]
    assert f"{MODEL} every night" not in names


def wait_for_runs_of(client: Any, schedule: str, count: int) -> list[Any]:
    """The first runs of a schedule that have ended, the oldest first."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        runs = client.list_runs(page_size=100, sort_by="created_at").runs or []
        ended = [run for run in runs if run.recurring_run_id == schedule and run.state in ENDED]
        if len(ended) >= count:
            return ended[:count]
        time.sleep(2)
    raise AssertionError(f"{count} runs of the schedule did not end in {PATIENCE_SECONDS:.0f} s")
