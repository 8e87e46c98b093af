"""Pulls of images, in the kubelet's own words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.serving.pulls import read_duration, read_pull
from modelcar.steps.preflight.serving_nodes import pull_speed

PULLED = (
    'Successfully pulled image "quay.io/a/b@sha256:0" in 2m5s (2m6s including waiting). Image size: 5000000000 bytes.'
)


def test_pull_is_read() -> None:
    assert read_pull(PULLED) == ("quay.io/a/b@sha256:0", 125.0, 5_000_000_000)
    assert read_pull(PULLED.partition(" Image size")[0]) == ("quay.io/a/b@sha256:0", 125.0, 0)
    assert read_pull('Container image "quay.io/a/b" already present on machine') is None


def test_speed_is_that_of_a_large_pull() -> None:
    assert pull_speed(PULLED) == 40_000_000
    assert pull_speed(PULLED.replace("5000000000", "1000")) == 0
    assert pull_speed(PULLED.replace("in 2m5s", "in 0s")) == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.5s", 1.5),
        ("1m2.5s", 62.5),
        ("2h3m4s", 7384.0),
        ("350ms", 0.35),
        ("", 0.0),
        ("12µs", 1.2e-5),
        ("1.2.3s", 0.0),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert read_duration(text) == pytest.approx(seconds)


@given(st.text())
def test_any_message_is_read(text: str) -> None:
    assert pull_speed(f'Successfully pulled image "{text}" in {text} (x). Image size: {text} bytes') >= 0
