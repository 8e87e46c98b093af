"""The number of connections to the Hub, over simulated lines."""

import pytest

from modelcar.hub.connection_limit import (
    CALM_SECONDS,
    FIRST,
    INTERVAL_SECONDS,
    LOSSES,
    MAX_CONNECTIONS,
    PROBE_SECONDS,
    ConnectionLimit,
)


class Line:
    """A line on which each connection, and all together, have a speed; time passes as bytes arrive."""

    def __init__(self, each: float, total: float) -> None:
        self.each, self.total, self.now = each, total, 0.0
        self.limit = ConnectionLimit(lambda: self.now)

    def run(self, seconds: float, *, held_back: bool = False) -> int:
        """Lets bytes arrive for so long, over as many connections as there may be; gives the limit."""
        end = self.now + seconds
        while self.now < end:
            self.now += INTERVAL_SECONDS / 4
            if held_back:
                self.limit.hold_back()
            speed = min(self.each * self.limit.value, self.total)
            self.limit.count(int(speed * INTERVAL_SECONDS / 4), self.limit.value)
        return self.limit.value


def test_grows_while_each_connection_brings_more() -> None:
    assert Line(20e6, 10e9).run(5) == MAX_CONNECTIONS


@pytest.mark.parametrize("needed", [1, 3, 8, 12, 16])
def test_does_not_grow_far_beyond_what_fills_the_line(needed: int) -> None:
    found = Line(100e6 / needed, 100e6).run(5)

    assert needed <= found <= max(2 * needed, FIRST)


def test_grows_later_when_the_line_does() -> None:
    line = Line(20e6, 100e6)
    before = line.run(5)
    line.total = 10e9

    assert line.run(4 * PROBE_SECONDS) == MAX_CONNECTIONS > before


def test_shrinks_when_the_total_becomes_slower() -> None:
    line = Line(20e6, 10e9)
    line.run(5)
    line.each, line.total = 1e6, 10e6

    assert line.run((LOSSES + 2) * INTERVAL_SECONDS) < MAX_CONNECTIONS


def test_reader_that_is_slower_changes_nothing() -> None:
    assert Line(20e6, 10e9).run(5, held_back=True) == FIRST


def test_connections_that_receive_nothing_are_no_reason_for_more() -> None:
    line = Line(20e6, 10e9)
    for _ in range(100):
        line.now += INTERVAL_SECONDS
        line.limit.count(1 << 20, 1)

    assert line.limit.value == FIRST


def test_refusal_lowers_it_to_those_that_receive_and_then_grows_no_more() -> None:
    line = Line(20e6, 10e9)
    line.run(5)
    line.limit.refuse(line.now, receiving=5)
    line.limit.refuse(line.now - 1, receiving=1)
    assert line.limit.value == MAX_CONNECTIONS // 2
    line.now += 0.1
    line.limit.refuse(line.now, receiving=5)
    line.now += 0.1
    line.limit.refuse(line.now, receiving=5)

    assert line.limit.value == 5
    assert line.run(CALM_SECONDS) == 5
    assert line.run(10 * CALM_SECONDS) > 5


def test_single_connection_is_left_at_the_least() -> None:
    limit = ConnectionLimit()
    for number in range(10):
        limit.refuse(1e12 + number, receiving=0)

    assert limit.value == 1
