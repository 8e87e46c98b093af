"""What `modelcar schedule` refuses before it goes to any server: times that Kubeflow would take for others."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.cli.server.schedules import check_cron
from modelcar.cli.usage import UsageError
from tests.parts.command import modelcar
from tests.parts.recorded_api import RecordedApi

FIELD = st.from_regex(r"(\*|[0-9]{1,2}|\*/[0-9]{1,2}|[0-9]-[0-9]|\?)", fullmatch=True)


@given(st.lists(FIELD, min_size=6, max_size=6))
def test_six_fields_are_kubeflows(fields: list[str]) -> None:
    check_cron(" ".join(fields))


@given(st.lists(FIELD, min_size=5, max_size=5))
def test_five_fields_are_explained_with_what_to_type(fields: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        check_cron(" ".join(fields))
    assert f'--cron "0 {" ".join(fields)}"' in error.value.remedy


@pytest.mark.parametrize("cron", ["@daily", "@every 6h"])
def test_kubeflows_own_words_are_taken(cron: str) -> None:
    check_cron(cron)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["create", "--cron", "0 3 * * *"], "has five fields, of which Kubeflow would take the first for seconds"),
        (["create", "--cron", "nightly"], "has 1 fields and not six: second minute hour day month weekday"),
        (["create", "--cron", "0 0 3 * * *"], "no model was named"),
        (["create", "--model", "a/b"], "missing option '--cron'"),
        (["pause"], "missing argument 'NAME'"),
        (["--list"], "has no option --list"),
    ],
)
def test_what_means_nothing_ends_with_2(words: list[str], says: str) -> None:
    done = modelcar("schedule", *words)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())


def test_each_of_its_commands_shows_help() -> None:
    shown = modelcar("schedule", "--help").stdout
    for command in ("create", "list", "pause", "resume", "delete"):
        assert command in shown
        assert modelcar("schedule", command, "--help").returncode == 0


API = "/apis/v2beta1"
SCHEDULES = f"{API}/recurringruns"
NIGHTLY = (
    "schedule",
    "create",
    "--cron",
    "0 0 3 * * *",
    "--streaming",
    "--model",
    "a/b",
    "--target",
    "127.0.0.1:9/a/b:1",
)


@pytest.fixture
def server() -> Iterator[RecordedApi]:
    """Give a pipelines' API that has the pipeline in some version, and no schedule."""
    with RecordedApi() as api:
        versions = [{"pipeline_version_id": "version-1"}]
        api.answers = {
            f"{API}/healthz": (200, {"multi_user": False}),
            SCHEDULES: (200, {"recurringRuns": []}),
            f"{API}/pipelines": (200, {"pipelines": [{"pipeline_id": "pipeline-1"}]}),
            f"{API}/pipelines/pipeline-1/versions": (200, {"pipeline_versions": versions}),
            f"{API}/experiments": (200, {"experiments": [{"experiment_id": "experiment-1"}]}),
            f"POST {SCHEDULES}": (200, {"recurring_run_id": "schedule-1", "display_name": "b"}),
        }
        yield api


@pytest.mark.parametrize(("words", "version"), [((), None), (("--pin",), "version-1")])
def test_schedule_follows_the_latest_version_alone_and_never_catches_up(
    words: tuple[str, ...], version: str | None, server: RecordedApi
) -> None:
    done = modelcar(*NIGHTLY, "--server", server.url, "--service-account", "modelcar-pipeline", *words)

    assert done.returncode == 0, done.stderr
    ((path, sent),) = server.posted
    assert path == SCHEDULES
    assert sent["pipeline_version_reference"]["pipeline_id"] == "pipeline-1"
    assert sent["pipeline_version_reference"].get("pipeline_version_id") == version
    assert (sent["no_catchup"], sent["max_concurrency"]) == (True, "1")
    assert sent["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert sent["service_account"] == "modelcar-pipeline"
    assert "(UTC)" in done.stdout
    assert ("in its latest version" in done.stdout) is (version is None)
