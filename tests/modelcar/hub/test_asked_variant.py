"""Changes that a variant's name makes to the usual choice: to the alternatives that have the name, and to no others."""

from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import WeightsError
from modelcar.hub.choice import Choice, choose
from modelcar.hub.facts import Facts
from modelcar.hub.formats import TRAINING, other_reason
from modelcar.hub.layouts import pick
from modelcar.hub.weight_groups import group_weights
from tests.modelcar.hub.test_choice import KNOWN, SHAPES, check_parted, facts_of, names, published, refusals, sizes

_NO_FACTS = Facts()


def described(name: str) -> tuple[Mapping[str, float], Facts]:
    if shape := SHAPES.get(name):
        return shape.files, facts_of(name, shape.card, shape.config, shape.documents)
    return KNOWN[name]["files"], facts_of(name, KNOWN[name]["card"], KNOWN[name]["config"], {})


def exchangeable(usual: Choice, name: str, facts: Facts) -> set[str]:
    """The files of all the alternatives of which one has a name."""
    why = {left.file.path: left.reason for left in usual.left_out}
    files = [*usual.taken, *(left.file for left in usual.left_out)]
    useful = [file for file in files if why.get(file.path) != TRAINING and not other_reason(file.path)]
    picked = pick(group_weights(useful, facts), {file.path for file in useful}, facts)
    sets = [one for one in picked.offered() if name in one.named]
    return {file.path for one in sets for members in one.named.values() for group in members for file in group.files}


def weights(choice: Choice) -> set[str]:
    return {file.path for group in choice.weights for file in group.files}


def chosen(files: Mapping[str, float], variant: str = "", facts: Facts = _NO_FACTS) -> set[str]:
    """The weights that are taken, where nothing is left to choose."""
    choice = choose(published(files), variant=variant, facts=facts)

    assert "choose" not in refusals(choice)
    return weights(choice)


def choose_usual(name: str) -> Choice:
    files, facts = described(name)
    return choose(published(files), facts=facts)


TO_CHOOSE_FROM = [name for name in [*KNOWN, *SHAPES] if "choose" in refusals(choose_usual(name))]


@pytest.mark.parametrize("name", TO_CHOOSE_FROM)
def test_name_that_is_offered_changes_those_alternatives_alone(name: str) -> None:
    files, facts = described(name)
    usual = choose(published(files), facts=facts)

    for option in usual.options:
        asked = choose(published(files), variant=option.name, facts=facts)

        assert "choose" not in refusals(asked), option.name
        assert weights(usual) - weights(asked) <= exchangeable(usual, option.name, facts), option.name


@given(st.dictionaries(names, sizes, min_size=1, max_size=25))
def test_each_name_that_is_offered_can_be_taken(files: dict[str, int]) -> None:
    with suppress(WeightsError):
        usual = choose(published(files))
        for option in usual.options:
            asked = choose(published(files), variant=option.name)

            check_parted(asked, files, everything=False)
            assert "choose" not in refusals(asked)
