"""One list of parameters: what the pipelines have is what each command takes, with the same help."""

import inspect
import json
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.cli.parameters import Parameter, parameters
from modelcar.cli.usage import UsageError
from modelcar.pipelines.compilation import PIPELINES
from modelcar.pipelines.model_to_registry import model_to_registry
from modelcar.pipelines.model_to_registry_streaming import model_to_registry_streaming
from tests.parts.command import modelcar

FUNCTIONS = {one.pipeline_func.__name__: one.pipeline_func for one in (model_to_registry, model_to_registry_streaming)}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_is_read_of_a_pipeline_is_what_it_has(pipeline: str) -> None:
    function = FUNCTIONS[pipeline]
    kinds = get_type_hints(function)
    read = {name: one for name, one in parameters().items() if pipeline in one.pipelines}
    signature = inspect.signature(function).parameters
    assert {name: (one.kind, one.default) for name, one in read.items()} == {
        name: (kinds[name], one.default) for name, one in signature.items()
    }
    assert all(one.help.endswith((".", "}.")) for one in read.values())


@pytest.mark.parametrize("command", ["run", "plan", "submit", "schedule create"])
def test_every_command_takes_them_all(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    help_text = " ".join(modelcar(*command.split(), "--help").stdout.split())
    for name, parameter in parameters().items():
        is_shown = f"{parameter.option} " in help_text or f"{parameter.option}," in help_text
        # The model is the argument, and on this machine nothing of a cluster means anything.
        is_wanted = name != "model" and not (command == "run" and parameter.is_for_cluster)
        assert is_shown is is_wanted, name


def _parameter(name: str) -> Parameter:
    return parameters()[name]


@given(st.lists(st.text(min_size=1)))
def test_a_list_may_be_typed_word_by_word_or_as_json(words: list[str]) -> None:
    include = _parameter("include")
    assert include.value([json.dumps(words)]) == words
    plain = [word for word in words if not word.lstrip().startswith("[")]
    assert include.value(plain) == plain


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_labels_may_be_typed_one_by_one_or_as_json(labels: dict[str, str]) -> None:
    selector = _parameter("node_selector")
    assert selector.value([json.dumps(labels)]) == labels
    plain = {key: value for key, value in labels.items() if "=" not in key and not key.lstrip().startswith("{")}
    assert selector.value([f"{key}={value}" for key, value in plain.items()]) == plain


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("tolerations", ['{"key": "a", "operator": "Exists"}'], [{"key": "a", "operator": "Exists"}]),
        ("tolerations", ['[{"key": "a"}]', '{"key": "b"}'], [{"key": "a"}, {"key": "b"}]),
        ("node_selector", ["ai-build-node=true", '{"disk": "ssd"}'], {"ai-build-node": "true", "disk": "ssd"}),
        ("include", ["[ab]*.bin", "1"], ["[ab]*.bin", "1"]),
    ],
)
def test_what_is_typed_is_what_the_pipeline_takes(name: str, typed: list[str], value: Any) -> None:
    assert _parameter(name).value(typed) == value


@pytest.mark.parametrize(
    ("name", "typed", "says"),
    [
        ("node_selector", ["ai-build-node"], "is no KEY=VALUE. Write --node-selector ai-build-node=true"),
        ("node_selector", ['{"a": true}'], "Input should be a valid string"),
        ("tolerations", ["exists"], "Input should be a valid dictionary"),
        ("include", ["[1]"], "Input should be a valid string"),
    ],
)
def test_what_means_nothing_is_said_in_one_line(name: str, typed: list[str], says: str) -> None:
    with pytest.raises(UsageError) as error:
        _parameter(name).value(typed)
    assert says in str(error.value)


def test_what_the_pipeline_has_no_use_for_is_named() -> None:
    done = modelcar("plan", "a/b", "--streaming", "--claim", "mine", "--target", "no target")
    assert "--claim is not used by this pipeline" in done.stderr
    assert "'no target' is not an image reference" in done.stderr
    assert done.returncode == 2


def test_run_still_takes_the_directory_that_stands_for_the_claim() -> None:
    done = modelcar("run", "--model", "a/b", "--claim", "/tmp/x", "--target", "no target")
    assert "'no target' is not an image reference" in done.stderr
