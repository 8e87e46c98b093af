"""`modelcar schedule` against a real pipelines' API."""

import json
from pathlib import Path

from tests.kubernetes.kfp.laptop import MODEL, Laptop
from tests.kubernetes.waiting import until
from tests.parts.models import tiny_llama

SMALL_FILES = 1 << 20
"""Bytes: more than each run reads, to choose the files, and less than the weights."""


def test_a_schedule_is_made_once_paused_resumed_replaced_and_removed(laptop: Laptop) -> None:
    nightly = ["--cron", "0 0 3 * * *", "--name", "nightly"]
    made = laptop.run("schedule", "create", *nightly, name="nightly")
    assert made.returncode == 0, made.stderr
    assert "is scheduled like this already" in laptop.run("schedule", "create", *nightly, name="nightly").stdout

    other = ["--cron", "0 0 4 * * *", "--name", "nightly"]
    refused = laptop.run("schedule", "create", *other, name="nightly")
    assert refused.returncode == 1
    assert "there is a schedule nightly already, of another kind: 0 0 3 * * *. Add --replace" in refused.stderr

    replaced = laptop.run("schedule", "create", *other, "--replace", name="nightly")
    assert replaced.returncode == 0, replaced.stderr
    (one,) = [one for one in _schedules(laptop) if one["name"] == "nightly"]
    assert one["cron"] == "0 0 4 * * *"
    assert one["on"]
    assert one["version"] == "latest"
    assert one["parameters"]["model"] == MODEL
    pinned = laptop.run("schedule", "create", *other, "--pin", "--replace", name="nightly")
    assert pinned.returncode == 0, pinned.stderr
    assert next(one for one in _schedules(laptop) if one["name"] == "nightly")["version"] != "latest"

    assert laptop.run("schedule", "pause", "nightly").returncode == 0
    assert not next(one for one in _schedules(laptop) if one["name"] == "nightly")["on"]
    assert "paused" in laptop.run("schedule", "list").stdout
    assert laptop.run("schedule", "resume", "nightly").returncode == 0
    assert next(one for one in _schedules(laptop) if one["name"] == "nightly")["on"]
    assert laptop.run("schedule", "delete", "nightly").returncode == 0
    assert [one for one in _schedules(laptop) if one["name"] == "nightly"] == []
    gone = laptop.run("schedule", "pause", "nightly")
    assert gone.returncode == 1
    assert "there is no schedule 'nightly'. To see them: modelcar schedule list" in gone.stderr


def test_a_schedule_fires_and_an_unchanged_model_moves_nothing(laptop: Laptop, tmp_path: Path) -> None:
    assert laptop.run("submit", "--streaming", name="fired").returncode == 0
    served = laptop.servers.hub.bytes_served
    schedule = _schedule(laptop, "fired")
    try:
        for _ in range(2):
            assert _fire(laptop, schedule, "fired") == {"SUCCEEDED"}
            assert laptop.servers.hub.bytes_served - served < SMALL_FILES
        assert "succeeded" in laptop.run("schedule", "list").stdout
        laptop.servers.hub.publish(MODEL, tiny_llama(tmp_path / "changed", seed=7))
        # These are several at once, each of which finds that the model changed.
        assert _fire(laptop, schedule, "fired", runs=2) == {"SUCCEEDED"}
        assert laptop.servers.hub.bytes_served - served > SMALL_FILES
    finally:
        assert laptop.run("schedule", "delete", "fired").returncode == 0


def test_a_schedule_takes_the_version_that_was_uploaded_last(laptop: Laptop) -> None:
    schedule = _schedule(laptop, "follows")
    try:
        _fire(laptop, schedule, "follows")
        first = _version(laptop, _all_runs(laptop, schedule)[-1])
        # Another pipeline, by its steps' label, is another version of it.
        newest = _version(laptop, laptop.submitted("follows", "--queue", "another", "--streaming"))
        assert newest != first
        _fire(laptop, schedule, "follows")
        assert _version(laptop, _all_runs(laptop, schedule)[-1]) == newest
    finally:
        assert laptop.run("schedule", "delete", "follows").returncode == 0


def test_a_wrong_cron_is_the_servers_to_refuse(laptop: Laptop) -> None:
    done = laptop.run("schedule", "create", "--cron", "0 0 99 * * *", "--name", "never", name="never")
    assert done.returncode == 1
    assert "the pipelines' API refused to schedule never" in done.stderr
    assert "Traceback" not in done.stderr


def _version(laptop: Laptop, run_id: str) -> str:
    return str(laptop.of(run_id).read().pipeline_version_reference.pipeline_version_id)


def _schedules(laptop: Laptop) -> list[dict[str, object]]:
    done = laptop.run("schedule", "list", "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def _all_runs(laptop: Laptop, schedule: str) -> list[str]:
    runs = json.loads(laptop.run("status", "--json", "--limit", "100").stdout)
    return [run["id"] for run in reversed(runs) if run["schedule"] == schedule]


def _schedule(laptop: Laptop, name: str) -> str:
    """The id of a schedule that fires every five seconds, and waits until it is resumed."""
    every = ["--cron", "*/5 * * * * *", "--name", name, "--streaming"]
    done = laptop.run("schedule", "create", *every, "--json", name=name)
    assert done.returncode == 0, done.stderr
    assert laptop.run("schedule", "pause", name).returncode == 0
    schedule = str(json.loads(done.stdout)["id"])
    for run in _all_runs(laptop, schedule):
        laptop.of(run).ended()
    return schedule


def _fire(laptop: Laptop, schedule: str, name: str, *, runs: int = 1) -> set[str]:
    """Has a schedule begin some runs, and no more than it can while they are counted; gives how all of them ended."""
    before = _all_runs(laptop, schedule)
    assert laptop.run("schedule", "resume", name).returncode == 0
    until(lambda: len(_all_runs(laptop, schedule)) >= len(before) + runs, f"{runs} runs of the schedule {name}")
    assert laptop.run("schedule", "pause", name).returncode == 0
    return {laptop.of(run).ended() for run in _all_runs(laptop, schedule)[len(before) :]}
