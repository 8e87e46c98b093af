"""What `modelcar schedule` refuses before it goes to any server: times that Kubeflow would take for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.cli.server.schedules import check_cron
from modelcar.cli.usage import UsageError
from tests.parts.command import modelcar

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
        (["create", "--model", "a/b"], "Missing option '--cron'"),
        (["pause"], "Missing argument 'NAME'"),
        (["--list"], "No such option"),
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
