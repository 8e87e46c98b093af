"""Building without a builder: ours against plain uploads, olot with skopeo, and the request's recipe."""

import shlex
import shutil
from pathlib import Path

import modelcar_base_image
from modelcar_base_image.constants import EMBEDDED_OCI_LAYOUT_DIR

from benchmarks import build
from benchmarks.pairs import Side, alternate
from benchmarks.peers import OLOT, installed
from benchmarks.place import Place, check_image, files
from benchmarks.pod import Measurement
from benchmarks.report import Figure, ratio

FIGURES = (
    "direct_over_curl",
    "direct_over_olot_skopeo",
    "direct_over_request_recipe",
    "direct_without_notes_over_curl",
)
SHARDS = 4
LARGE_FIGURES = ("direct_over_curl_at_8_gib",)
LARGE_SHARDS = 8
LARGE_SPARSE = False
MOST_OVER_CURL = 1.10
OURS = "`build(directory, target, builder='direct')`"
UNNOTED = f"{OURS} of a download beside which no digests are noted, so that every byte is hashed twice"
OLOT_SKOPEO = (
    f"`olot --root-dir DIRECTORY LAYOUT FILE …` (`{OLOT}`), then "
    "`skopeo copy --preserve-digests --dest-tls-verify=false oci:LAYOUT docker://TARGET`, with `LAYOUT` a copy of the "
    "layout of `modelcar-base-image`, made beforehand"
)
_IMAGE = "example/llama:1.0"


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures the build without a builder."""
    programs = installed(place, OLOT)
    sides = (
        *_ours_and_curl(place),
        Side("ours without notes", UNNOTED, lambda: build.build(place, "direct", noted=False)),
        Side("olot and skopeo", OLOT_SKOPEO, lambda: _olot_skopeo(place, programs)),
        Side("the request's recipe", build.RECIPE, lambda: build.recipe(place)),
    )
    ours, uploaded, unnoted, olot, requested = alternate(sides, runs)
    return [
        ratio("direct_over_curl", ours, uploaded, target=MOST_OVER_CURL),
        ratio("direct_over_olot_skopeo", ours, olot, target=0.40),
        ratio("direct_over_request_recipe", ours, requested, target=0.10),
        ratio("direct_without_notes_over_curl", unnoted, uploaded),
    ]


def measure_large(place: Place, runs: int) -> list[Figure]:
    """Measures it against plain uploads alone."""
    ours, uploaded = alternate(_ours_and_curl(place), runs)
    return [ratio(LARGE_FIGURES[0], ours, uploaded, target=MOST_OVER_CURL)]


def _ours_and_curl(place: Place) -> tuple[Side, Side]:
    return (
        Side("ours", OURS, lambda: build.build(place, "direct")),
        Side("curl", build.CURL, lambda: build.curl(place)),
    )


def _olot_skopeo(place: Place, programs: Path) -> Measurement:
    directory = place.downloaded
    with place.new_directory() as work, place.new_registry() as registry:
        layout, target = work / "layout", f"{registry.host}/{_IMAGE}"
        shutil.copytree(Path(modelcar_base_image.__file__).parent / EMBEDDED_OCI_LAYOUT_DIR, layout)
        added = [programs / "olot", "--root-dir", directory, layout, *(directory / name for name in files(directory))]
        copy = [
            "skopeo",
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            f"oci:{layout}",
            f"docker://{target}",
        ]
        script = " && ".join(shlex.join(map(str, command)) for command in (added, copy))
        measured = place.pods.run(["sh", "-c", script], {"TMPDIR": str(work)})
        check_image(target, place.size)
    return measured
