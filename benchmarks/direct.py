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
LARGE_FIGURES = tuple(f"{name}_at_8_gib" for name in FIGURES)
LARGE_SHARDS = 8
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
    return _measure(place, runs, FIGURES)


def measure_large(place: Place, runs: int) -> list[Figure]:
    """Measures the same, with figures of other names."""
    return _measure(place, runs, LARGE_FIGURES)


def _measure(place: Place, runs: int, names: tuple[str, ...]) -> list[Figure]:
    programs = installed(place.claim, OLOT)
    sides = (
        Side("ours", OURS, lambda: build.build(place, "direct")),
        Side("curl", build.CURL, lambda: build.curl(place)),
        Side("olot and skopeo", OLOT_SKOPEO, lambda: _olot_skopeo(place, programs)),
        Side("the request's recipe", build.RECIPE, lambda: build.recipe(place)),
        Side("ours without notes", UNNOTED, lambda: build.build(place, "direct", noted=False)),
    )
    ours, uploaded, olot, requested, unnoted = alternate(sides, runs)
    return [
        ratio(names[0], ours, uploaded, target=1.10),
        ratio(names[1], ours, olot, target=0.40),
        ratio(names[2], ours, requested, target=0.10),
        ratio(names[3], unnoted, uploaded),
    ]


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
