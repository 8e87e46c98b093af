"""Building and pushing an image with buildah: ours against the recipe that the request ended with."""

import functools
import hashlib
import json
from pathlib import Path

import requests

from benchmarks.pairs import Runs, Side, alternate
from benchmarks.place import Place, check_image, files
from benchmarks.pod import Measurement
from benchmarks.report import Figure, mib, ratio

FIGURES = (
    "buildah_over_request_recipe",
    "buildah_scratch_over_weights",
    "buildah_node_mib",
    "buildah_over_curl",
    "request_recipe_claim_over_weights",
)
SHARDS = 4
OURS = "`build(directory, target, builder='buildah')`"
RECIPE = (
    "`buildah $GLOBALS bud -t image -f Containerfile DIRECTORY`, then "
    "`buildah $GLOBALS push --tls-verify=false image docker://TARGET`, with `TMPDIR=$CLAIM/tmp`, `$GLOBALS` being "
    "`--root $CLAIM/root --runroot $CLAIM/run --storage-driver vfs`, and `FROM scratch`, `COPY FILE … /models/`"
)
CURL = "`curl --parallel --parallel-max 4 --upload-file FILE UPLOAD?digest=DIGEST …`, all files in one call"
_IMAGE = "example/llama:1.0"
_LEAST_COMPRESSED = 0.5
"""gzip makes no weights smaller than this."""


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures the build with buildah."""
    weights = place.size
    sides = (
        Side("ours", OURS, lambda: build(place, "buildah")),
        Side("the request's recipe", RECIPE, lambda: recipe(place)),
        Side("curl", CURL, lambda: curl(place)),
    )
    ours, requested, uploaded = alternate(sides, runs)
    node = ours.disk("node")
    return [
        ratio("buildah_over_request_recipe", ours, requested, target=0.40),
        _times_weights("buildah_scratch_over_weights", ours, weights, 0.30),
        Figure("buildah_node_mib", mib(node), _mib(node), _mib(requested.disk("node")), 16, OURS),
        ratio("buildah_over_curl", ours, uploaded),
        _times_weights("request_recipe_claim_over_weights", requested, weights, None),
    ]


def build(place: Place, builder: str, *, noted: bool = True) -> Measurement:
    """Builds and pushes the model to a new registry with our own function, in a process of its own."""
    with place.new_registry() as registry:
        target = f"{registry.host}/{_IMAGE}"
        measured = place.build_to(target, builder, noted=noted)
        check_image(target, place.size)
    return measured


def recipe(place: Place) -> Measurement:
    """Builds and pushes the model as the request ended with."""
    directory = place.downloaded
    with place.new_directory() as work, place.new_registry() as registry:
        copied = json.dumps([*files(directory), "/models/"])
        (work / "Containerfile").write_text(f"FROM scratch\nCOPY {copied}\n")
        (work / "tmp").mkdir()
        target = f"{registry.host}/{_IMAGE}"
        buildah = f"buildah --root {work}/root --runroot {work}/run --storage-driver vfs"
        script = (
            f"{buildah} bud -t image -f {work}/Containerfile {directory} && "
            f"{buildah} push --tls-verify=false image docker://{target}"
        )
        measured = place.pods.run(["sh", "-c", script], {"TMPDIR": str(work / "tmp")})
        check_image(target, int(place.size * _LEAST_COMPRESSED))
    return measured


def curl(place: Place) -> Measurement:
    """Uploads the same bytes without making anything of them: what this registry can take is the limit."""
    directory = place.downloaded
    digests = _digests(directory)
    with place.new_registry() as registry:
        blobs = f"{registry.url}/v2/example/llama/blobs"
        command = ["curl", "--silent", "--show-error", "--fail-early", "--fail", "--header", "Expect:"]
        command += ["--parallel", "--parallel-immediate", "--parallel-max", "4"]
        for name, digest in digests.items():
            upload = requests.post(f"{blobs}/uploads/", timeout=10).headers["Location"]
            command += ["--upload-file", str(directory / name), f"{upload}&digest={digest}"]
        measured = place.pods.run(command)
        for digest in digests.values():
            requests.head(f"{blobs}/{digest}", timeout=10).raise_for_status()
    return measured


@functools.cache
def _digests(directory: Path) -> dict[str, str]:
    digests = {}
    for name in files(directory):
        with (directory / name).open("rb") as file:
            digests[name] = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _times_weights(name: str, runs: Runs, weights: int, target: float | None) -> Figure:
    most = runs.disk("claim")
    return Figure(name, round(most / weights, 3), _mib(most), f"{_mib(weights)} of weights", target, runs.side.shown)


def _mib(size: int) -> str:
    return f"{mib(size):.1f} MiB"
