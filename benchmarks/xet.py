"""Xet, the Hub's own transport, from its own storage server: against byte ranges, and as `hf` uses it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.download import OURS, hf_download
from benchmarks.pairs import Side, alternate
from benchmarks.per_link import LINK, ONE, publish
from benchmarks.place import Place, check_files, hub_env, published, size_of
from benchmarks.pod import Measurement
from benchmarks.report import Figure, mib, ratio
from tests.parts.hub import Hub
from tests.parts.nginx import free_port, nginx_before
from tests.parts.registries import Registry
from tests.parts.xet import SERVER, XetStorage, xet_server

FIGURES = ("xet_over_ranges_per_link", "xet_peak_mib", "download_over_hf_xet")
SHARDS = 4
FILE_BYTES = 400 << 20
FOUR = "example/four-files"
"""A model of which no part stands twice: of weights that share a block, Xet would send that block alone."""

OVER_XET, OVER_HTTP = (
    f"`download(Selection(model, transport='{name}'), claim)`, from a Hub and a Xet storage that give each connection "
    "20 MB/s"
    for name in ("xet", "http")
)
HF = "`hf download MODEL --local-dir $CLAIM/x --include FILE …`, over Xet"
_DOWNLOAD = (
    "import sys; from pathlib import Path; from modelcar.hub.selection import Selection; "
    "from modelcar.steps.download import download; "
    "download(Selection(sys.argv[1], transport=sys.argv[3]), Path(sys.argv[2]))"
)


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures downloads over Xet; nothing where its server was not built."""
    if not SERVER.exists():
        print("  there is no Xet server: make xet-parts builds it", flush=True)
        return []
    publish(place, ONE, [FILE_BYTES])
    publish(place, FOUR, [place.size // SHARDS] * SHARDS)
    with tempfile.TemporaryDirectory(dir=place.servers) as folder, xet_server(Path(folder) / "cas") as storage:
        for model in (ONE, FOUR):
            _fill(storage, place, model)
        return [*_per_link(place, storage, Path(folder), runs), _against_hf(place, storage, runs)]


def _per_link(place: Place, storage: XetStorage, folder: Path, runs: int) -> list[Figure]:
    with _limited(storage, folder) as limited, place.hub(connection_rate=LINK, xet=limited) as hub:
        sides = (
            Side("Xet", OVER_XET, lambda: _download(place, hub, ONE, "xet")),
            Side("ranges", OVER_HTTP, lambda: _download(place, hub, ONE, "http")),
        )
        over_xet, ranges = alternate(sides, runs)
    peak = max(size for run in over_xet.measurements for name, size in run.memory.items() if name.startswith("python"))
    return [
        ratio(FIGURES[0], over_xet, ranges),
        Figure(FIGURES[1], mib(peak), f"{mib(peak):.0f} MiB", "", 1024, OVER_XET),
    ]


def _against_hf(place: Place, storage: XetStorage, runs: int) -> Figure:
    names = list(published(place, FOUR))
    with place.hub(xet=storage) as hub:
        sides = (
            Side("ours", OURS, lambda: _download(place, hub, FOUR, "http")),
            Side("hf", HF, lambda: hf_download(place, {**hub_env(hub), "HF_HUB_DISABLE_XET": "0"}, FOUR, names)),
        )
        ours, hf = alternate(sides, runs)
    return ratio(FIGURES[2], ours, hf, target=1.15)


def _download(place: Place, hub: str, model: str, transport: str) -> Measurement:
    with place.new_directory() as work:
        command: list[str | Path] = [place.program / "python", "-c", _DOWNLOAD, model, work, transport]
        measured = place.pods.run(command, hub_env(hub))
        check_files(work, size_of(place, model))
    return measured


def _fill(storage: XetStorage, place: Place, model: str) -> None:
    store = Hub(place.hub_root).store
    repository = store.load(model)
    assert repository
    for file in repository.commits[repository.branches["main"]].files.values():
        if file.lfs:
            storage.add(store.blob(file.sha256).read_bytes())


@contextmanager
def _limited(storage: XetStorage, folder: Path) -> Iterator[XetStorage]:
    """Gives the storage behind nginx, which gives each request no more than LINK bytes a second."""
    behind = Registry(storage.endpoint.removeprefix("http://"), "http", 0, folder, folder / "log", folder / "log")
    location = f"limit_rate {LINK}; proxy_max_temp_file_size 0;"
    with free_port() as port, nginx_before(behind, folder / "nginx", port=port, tls=False, location=location) as front:
        yield XetStorage(f"http://{front.host.replace('localhost', '127.0.0.1')}", storage.hashes)
