"""Checks of a run's registries: whether they may be written to, what they can do, and what is too large for them."""

from collections.abc import Iterator

from rich.filesize import decimal

from modelcar.oci.capabilities import Capabilities
from modelcar.oci.probe import probe
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.preflight.finding import Finding

SLOW_BYTES_PER_SECOND = 20e6
"""Speed of an upload on a usual line, at least; where time is limited, layers that need more are named."""


def check_registry(about: str, target: str, largest_layer: int) -> Iterator[Finding]:
    """Checks that an image may be written to a registry, and that its layers are none too large for it.

    Args:
        about: What the target is, in a word.
        target: The image's reference.
        largest_layer: Bytes of the image's largest layer.

    Raises:
        RegistryError: It cannot be written there.
    """
    with Repository(Reference.parse_target(target), push=True) as repository:
        known = probe(repository)
    yield Finding(about, "ok", f"{target} may be written")
    # What was named insecure on purpose is no mistake, and is to be seen.
    yield Finding(about, "warning" if known.scheme and "this machine" not in known.scheme else "ok", known.line())
    yield from _limits(about, known, largest_layer)


def _limits(about: str, known: Capabilities, largest_layer: int) -> Iterator[Finding]:
    limits = known.limits
    if limits.layer_bytes and largest_layer > limits.layer_bytes:
        yield Finding(
            about,
            "refusal",
            f"a layer has {decimal(largest_layer)}, and {limits.name} takes {decimal(limits.layer_bytes)} at most "
            f"({limits.source})",
            "Leave its file out with --exclude, or choose another registry",
        )
    elif limits.upload_seconds and largest_layer > limits.upload_seconds * SLOW_BYTES_PER_SECOND / 2:
        needed = largest_layer / limits.upload_seconds
        yield Finding(
            about,
            "warning",
            f"{limits.name} ends an upload after {limits.upload_seconds // 60} minutes, so a layer of "
            f"{decimal(largest_layer)} needs {decimal(int(needed))}/s ({limits.source})",
            "Choose another registry if the line is slower",
        )
