"""A model that is served by a Hub, and its image in an ordinary registry, for tests of other registries."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.steps import stream

MODEL = "example/tiny-llama"
SOURCE = "ordinary/source"
"""The repository of its image, in the plain registry."""


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Give a Hub with a model of two shards."""
    folder = tmp_path_factory.mktemp("served")
    with Hub(folder / "hub") as hub:
        files = tiny_llama(folder / "model", shards=2, consolidated=False)
        hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
        yield hub


@pytest.fixture
def with_served(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to that Hub."""
    monkeypatch.setenv("HF_ENDPOINT", served.url)


@pytest.fixture(scope="session")
def expected(served: Hub, plain_registry: Registry) -> str:
    """Give the digest that the image has in an ordinary registry."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", served.url)
        return stream(MODEL, f"{plain_registry.host}/{SOURCE}:1").image.digest
