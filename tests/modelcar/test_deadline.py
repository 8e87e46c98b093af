"""Work that must end in time."""

import threading

import pytest

from modelcar.deadline import DeadlineError, within


def test_what_ends_in_time_gives_what_it_returns() -> None:
    assert within(60, lambda: None) is None
    assert within(60, lambda: 3) == 3


def test_what_fails_raises_what_it_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)


def test_what_does_not_end_is_left_behind() -> None:
    ended = threading.Event()

    with pytest.raises(DeadlineError):
        within(0.01, ended.wait)
    ended.set()
