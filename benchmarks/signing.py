"""Signing a model of 80 GB, of which there is nothing but what the Hub publishes: no weight can be read for it."""

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.place import Place, hub_env
from benchmarks.report import Figure
from modelcar.attestation.keys import SigningKey
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from tests.parts.hub import Hub
from tests.parts.huge_model import HugeImage, publish
from tests.parts.signing_keys import write_keys

FIGURES = ("sign_80_gb_seconds", "sign_80_gb_again_seconds")
SHARDS = 1
TARGET_SECONDS = 2
_MODEL = "example/huge"
_SHOWN = "what a run does after its layers: provenance, bill of materials and signatures of all forms, for 17 shards"


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures the signing of a model of 80 GB."""
    first, again = [], []
    with tempfile.TemporaryDirectory() as folder, Hub(Path(folder) / "hub") as hub:
        os.environ.update(hub_env(hub.url))
        publish(hub, _MODEL)
        key = SigningKey.read(write_keys(Path(folder))[0], b"")
        for _ in range(runs):
            with place.new_registry() as registry:
                repository = Repository(Reference.parse(f"{registry.host}/example/huge:1"), push=True)
                huge = HugeImage.of(_MODEL, repository)
                first.append(_seconds(huge, repository, key))
                again.append(_seconds(huge, repository, key))
    return [
        _figure("sign_80_gb_seconds", first, _SHOWN),
        _figure("sign_80_gb_again_seconds", again, f"{_SHOWN}; all of it is there already"),
    ]


def _seconds(huge: HugeImage, repository: Repository, key: SigningKey) -> float:
    begun = time.perf_counter()
    huge.sign(repository, key)
    return time.perf_counter() - begun


def _figure(name: str, seconds: list[float], shown: str) -> Figure:
    spread = f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
    return Figure(name, round(statistics.median(seconds), 2), spread, "0 bytes of weights read", TARGET_SECONDS, shown)
