"""`python -m benchmarks.scale`: what large models cost, from constants measured here, as scale.md explains."""

import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from modelcar.claim.files import OnDisk
from modelcar.errors import BuildError
from modelcar.hub.selection import Selection
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.image import layout
from modelcar.image.request import ImageRequest
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.oci.turns import FIRST
from modelcar.steps.stream import stream
from tests.parts.hub import Hub
from tests.parts.registries import registry_plain

MODEL = "example/scale"
SMALL_FILES = 12
LAYER_COUNTS = (5, 25)
"""Layers of the two images that are made to count what a layer costs."""

ROUND_TRIP = 0.02
"""Seconds between a client and a registry or Hub that are not in the same data centre."""

HASHED_MIB = 256
MODELS = ((100, 5.0), (400, 5.0), (400, 10.0), (1500, 5.0), (1500, 9.5), (1500, 20.0), (2500, 10.0))
"""GB of weights, and GB of each shard."""


class Run(NamedTuple):
    """One stream, as the servers saw it."""

    to_registry: int
    to_hub: int
    manifest: int


@dataclass(frozen=True)
class Constants:
    """What was measured.

    Attributes:
        hashed: Bytes that one core hashes in a second, each of them once.
        per_layer: Requests to a registry for each layer.
        per_image: Requests to a registry besides.
        hub_per_layer: Requests to the Hub for each layer of one file.
        hub_per_image: Requests to the Hub besides.
        manifest_per_layer: Bytes of the image's manifest for each layer.
        manifest: Bytes of it besides.
    """

    hashed: float
    per_layer: float
    per_image: float
    hub_per_layer: float
    hub_per_image: float
    manifest_per_layer: float
    manifest: float


def main() -> None:
    """Measures, and prints both tables."""
    found = _measure()
    print("| constant | value |\n|---|---:|")
    for label, value in (
        ("SHA-256 of one core, `H`", f"{found.hashed / 1e9:.2f} GB/s"),
        ("requests to each registry", f"{found.per_layer:.1f} per layer + {found.per_image:.0f}"),
        ("requests to the Hub", f"{found.hub_per_layer:.1f} per layer + {found.hub_per_image:.0f}"),
        ("image manifest", f"{found.manifest_per_layer:.0f} bytes per layer + {found.manifest:.0f}"),
    ):
        print(f"| {label} | {value} |")
    print()
    print("| weights | shards | layers | largest layer | 1 Gbit/s | 10 Gbit/s | hashing, 1 core | 2 cores |", end="")
    print(" requests | their time | manifest | notes |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for total, shard in MODELS:
        print(_row(total, shard, found))


def _row(total: int, shard: float, found: Constants) -> str:
    files = _files(total, shard)
    begin = f"| {total} GB | {len(files) - SMALL_FILES} of {shard:g} GB"
    try:
        parts = layout.part(_snapshot(files), lambda file: OnDisk.at(Path(file.path)))
    except BuildError as error:
        return f"{begin} | refused: {str(error).partition('. ')[0]} |" + " |" * 9
    count, size = len(parts), sum(part.size for part in parts)
    hub = found.hub_per_layer * (len(files) - SMALL_FILES) + found.hub_per_image
    asked = found.per_layer * count + found.per_image + hub
    manifest = found.manifest_per_layer * count + found.manifest
    # Each finished layer is noted by writing the note anew, with all layers that were finished before it.
    notes = found.manifest_per_layer * count * (count + 1) / 2
    cells = (
        f"{count}",
        f"{max(part.size for part in parts) / 1e9:.1f} GB",
        _time(size * 8 / 1e9),
        _time(size * 8 / 1e10),
        _time(2 * size / found.hashed),
        _time(2 * size / found.hashed / 2),
        f"{asked:.0f}",
        f"{asked * ROUND_TRIP / FIRST:.0f} s",
        f"{manifest / 1000:.0f} kB",
        f"{notes / 1000:.0f} kB",
    )
    return " | ".join((begin, *cells)) + " |"


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02}" if minutes > 90 else f"{minutes} min"


def _files(total: int, shard: float) -> list[PublishedFile]:
    count = round(total / shard)
    large = [(f"model-{number:05}-of-{count:05}.safetensors", int(shard * 1e9)) for number in range(1, count + 1)]
    small = [(f"file-{number}.json", 20_000) for number in range(SMALL_FILES)]
    return [
        PublishedFile(path=path, size=size, sha256=hashlib.sha256(path.encode()).hexdigest(), git_blob="")
        for path, size in (*large, *small)
    ]


def _snapshot(files: Sequence[PublishedFile]) -> Snapshot:
    return Snapshot(
        model=MODEL,
        commit="0" * 40,
        created=datetime.now(UTC),
        source=MODEL,
        licence="",
        base_models=(),
        quantization="",
        files=tuple(files),
    )


def _measure() -> Constants:
    with tempfile.TemporaryDirectory(prefix="modelcar-scale-") as folder:
        runs = [_run(Path(folder) / str(count), count) for count in LAYER_COUNTS]

    def line(values: Sequence[int]) -> tuple[float, float]:
        slope = (values[-1] - values[0]) / (LAYER_COUNTS[-1] - LAYER_COUNTS[0])
        return slope, values[0] - slope * LAYER_COUNTS[0]

    return Constants(
        _hash_speed(),
        *line([run.to_registry for run in runs]),
        *line([run.to_hub for run in runs]),
        *line([run.manifest for run in runs]),
    )


def _run(folder: Path, count: int) -> Run:
    """Streams a model of so many layers of a file each into a new registry."""
    files = {
        f"model-{number:05}-of-{count:05}.safetensors": os.urandom(layout.OWN_LAYER_SIZE) for number in range(count)
    }
    with ExitStack() as stack:
        hub = stack.enter_context(Hub(folder / "hub"))
        registry = stack.enter_context(registry_plain(folder / "registry"))
        hub.publish(MODEL, files)
        os.environ["HF_ENDPOINT"] = hub.url
        target = f"{registry.host}/example/scale:1.0"
        before = len(registry.requests())
        stream(Selection(MODEL), ImageRequest(target))
        after = len(registry.requests())
        reference = Reference.parse(target)
        with Repository(reference) as repository:
            index = repository.manifest(reference.version).index()
            manifest = repository.manifest(index.manifests[0].digest)
        assert len(manifest.manifest().layers) >= count
        return Run(after - before, len(hub.requests), len(manifest.content))


def _hash_speed() -> float:
    data = os.urandom(1 << 20)
    hasher = hashlib.sha256()
    start = time.process_time()
    for _ in range(HASHED_MIB):
        hasher.update(data)
    return HASHED_MIB * len(data) / (time.process_time() - start)


if __name__ == "__main__":
    main()
