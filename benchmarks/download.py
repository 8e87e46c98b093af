"""Downloading a model from a Hub: ours, which checks every byte, against the Hub's own client, which does not."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.pairs import Side, alternate
from benchmarks.place import MODEL, Place, check_files, files, size_of
from benchmarks.pod import Measurement
from benchmarks.report import Figure, ratio

FIGURES = ("download_over_hf",)
SHARDS = 4
OURS = "`download(model, claim)`"
HF = "`HF_HUB_DISABLE_XET=1 hf download MODEL --local-dir $CLAIM/x --include FILE …`, for each file that ours takes"


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures the download."""
    names = files(place.downloaded)
    sides = (
        Side("ours", OURS, lambda: download(place)),
        Side("hf", HF, lambda: hf_download(place, place.hub_env, MODEL, names)),
    )
    ours, hf = alternate(sides, runs)
    return [ratio("download_over_hf", ours, hf, target=1.15)]


def download(place: Place) -> Measurement:
    """Downloads the model to an empty claim with our own function, in a process of its own."""
    with place.new_directory() as work:
        measured = place.download_to(work)
        check_files(work, place.size)
    return measured


def hf_download(place: Place, env: dict[str, str], model: str, names: Sequence[str]) -> Measurement:
    """Downloads files of a model with `hf`, to an empty directory on the claim."""
    include = [argument for name in names for argument in ("--include", name)]
    with place.new_directory() as work:
        command: list[str | Path] = [place.program / "hf", "download", model, "--local-dir", work, *include]
        measured = place.pods.run(command, env)
        check_files(work, size_of(place, model, names))
    return measured
