"""Copying an image from one registry to another: ours against skopeo."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.pairs import Side, alternate
from benchmarks.place import Place, check_image
from benchmarks.pod import Measurement
from benchmarks.report import Figure, ratio

FIGURES = ("mirror_over_skopeo",)
SHARDS = 4
OURS = "`mirror(source, target)`"
SKOPEO = (
    "`skopeo copy --all --preserve-digests --src-tls-verify=false --dest-tls-verify=false "
    "docker://SOURCE docker://TARGET`"
)
_IMAGE = "example/llama:1.0"


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures the copy."""
    with source_image(place) as source:
        sides = (
            Side("ours", OURS, lambda: mirror(place, source)),
            Side("skopeo", SKOPEO, lambda: _skopeo(place, source)),
        )
        ours, skopeo = alternate(sides, runs)
    return [ratio("mirror_over_skopeo", ours, skopeo, target=1.00)]


@contextmanager
def source_image(place: Place) -> Iterator[str]:
    """An image of the model in a registry."""
    with place.new_registry() as registry:
        source = f"{registry.host}/{_IMAGE}"
        place.build_to(source, "direct")
        yield source


def mirror(place: Place, source: str) -> Measurement:
    """Copies the image to a new registry with our own function, in a process of its own."""
    return _copied(
        place,
        lambda target: place.python(f"from modelcar.steps.mirror import mirror; mirror({source!r}, {target!r})"),
    )


def _skopeo(place: Place, source: str) -> Measurement:
    def copy(target: str) -> Measurement:
        options = ["--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"]
        return place.pods.run(["skopeo", "copy", *options, f"docker://{source}", f"docker://{target}"])

    return _copied(place, copy)


def _copied(place: Place, copy: Callable[[str], Measurement]) -> Measurement:
    with place.new_registry() as registry:
        target = f"{registry.host}/{_IMAGE}"
        measured = copy(target)
        check_image(target, place.size)
    return measured
