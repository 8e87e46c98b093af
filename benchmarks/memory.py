"""The memory that our steps need, which does not depend on the model's size."""

from benchmarks import build, download, mirror
from benchmarks.place import Place
from benchmarks.pod import Measurement
from benchmarks.report import Figure, mib

FIGURES = ("peak_rss_mib", "buildah_rss_mib")
SHARDS = LARGE_SHARDS = 16
"""More than any step has in flight, so that each holds as much at once as it ever does."""

LARGE_FIGURES = tuple(f"{name}_at_8_gib" for name in FIGURES)

MOST_RUNS = 3
TARGET = 256
STEPS = "`download(…)`, `build(…, builder='buildah')`, `build(…, builder='direct')`, `mirror(…)`"
CHILDREN = "buildah's own processes meanwhile, the largest of them"


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures each step's memory."""
    return _measure(place, min(runs, MOST_RUNS), FIGURES)


def measure_large(place: Place, runs: int) -> list[Figure]:
    """Measures it once, with figures of other names."""
    return _measure(place, 1, LARGE_FIGURES)


def _measure(place: Place, runs: int, names: tuple[str, ...]) -> list[Figure]:
    steps: dict[str, list[Measurement]] = {}
    with mirror.source_image(place) as source:
        for _ in range(runs):
            steps.setdefault("download", []).append(download.download(place))
            steps.setdefault("build with buildah", []).append(build.build(place, "buildah"))
            steps.setdefault("build direct", []).append(build.build(place, "direct"))
            steps.setdefault("mirror", []).append(mirror.mirror(place, source))
    peaks = {step: _most(measured, "python") for step, measured in steps.items()}
    shown = ", ".join(f"{step} {mib(peak):.0f}" for step, peak in peaks.items()) + " MiB"
    print(f"  {shown}", flush=True)
    buildah = mib(_most(steps["build with buildah"], "buildah"))
    return [
        Figure(names[0], mib(max(peaks.values())), shown, "", TARGET, STEPS),
        Figure(names[1], buildah, "", f"{buildah:.0f} MiB", None, CHILDREN),
    ]


def _most(measured: list[Measurement], program: str) -> int:
    return max(peak for run in measured for name, peak in run.memory.items() if name.startswith(program))
