"""The memory that our steps need, which does not depend on the model's size."""

from benchmarks import build, download, mirror
from benchmarks.place import Place
from benchmarks.pod import Measurement
from benchmarks.report import Figure, mib

FIGURES = ("peak_rss_mib", "buildah_rss_mib")
TARGET = 256
STEPS = "download(…), build(…, builder='buildah'), build(…, builder='direct'), mirror(…)"


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures each step's memory."""
    figures = []
    peaks = dict.fromkeys(("download", "build with buildah", "build direct", "mirror"), 0)
    buildah = 0
    for _ in range(runs):
        steps = _each_step(place)
        for name, step in steps.items():
            peaks[name] = max(peaks[name], _of_program(step, "python"))
            buildah = max(buildah, _of_program(step, "buildah"))
    print("  " + ", ".join(f"{name} {mib(peak)} MiB" for name, peak in peaks.items()), flush=True)
    shown = ", ".join(f"{name} {mib(peak):.0f}" for name, peak in peaks.items())
    figures.append(Figure("peak_rss_mib", mib(max(peaks.values())), shown, "", TARGET, STEPS))
    figures.append(Figure("buildah_rss_mib", mib(buildah), "", f"{mib(buildah):.0f} MiB", None, "buildah commit"))
    return figures


def _each_step(place: Place) -> dict[str, Measurement]:
    with mirror.source_image(place) as source:
        return {
            "download": download.download(place),
            "build with buildah": build.build(place, "buildah"),
            "build direct": build.build(place, "direct"),
            "mirror": mirror.mirror(place, source),
        }


def _of_program(measured: Measurement, program: str) -> int:
    return max((peak for name, peak in measured.memory.items() if name.startswith(program)), default=0)
