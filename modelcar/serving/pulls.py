"""Pulls of images, as the kubelet tells of them in events."""

import re

_DURATION = re.compile(r"([0-9.]+)(h|ms|m|s|µs|ns)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
_PULLED = re.compile(
    r'Successfully pulled image "(?P<image>[^"]+)" in (?P<duration>[0-9a-zµ.]+)(.*Image size: (?P<bytes>\d+) bytes)?'
)


def read_pull(message: str) -> tuple[str, float, int] | None:
    """Returns the image, the seconds and the bytes of a pull; None if a message tells of none.

    Args:
        message: The message of an event with the reason `Pulled`. Before Kubernetes 1.29 it says no size, which is 0.
    """
    pulled = _PULLED.match(message)
    if pulled is None:
        return None
    return pulled["image"], read_duration(pulled["duration"]), int(pulled["bytes"] or 0)


def read_duration(text: str) -> float:
    """Returns the seconds of a duration as Go writes it, such as `1m2.5s`; 0 where it writes none."""
    try:
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    except ValueError:
        return 0.0
