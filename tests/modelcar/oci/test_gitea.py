"""Gitea's package registry: tokens, mounts, no list of referrers. Only where it was built, which takes long."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelcar.oci.capabilities import capabilities_of
from modelcar.steps.mirror import mirror
from tests.conftest import LogIn
from tests.parts.gitea import PROGRAMS, gitea_registry
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import BasicAuthRegistry, Registry
from tests.parts.steps import stream

MODEL = "example/tiny-llama"

pytestmark = pytest.mark.skipif(PROGRAMS() is None, reason="Gitea was not built (make registries)")


@pytest.fixture(scope="module")
def gitea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BasicAuthRegistry]:
    with gitea_registry(tmp_path_factory.mktemp("gitea")) as registry:
        yield registry


@pytest.fixture
def published(hub: Hub, tmp_path: Path) -> Hub:
    files = tiny_llama(tmp_path / "model", shards=2, consolidated=False)
    hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
    return hub


def test_model_goes_there_and_back(
    published: Hub, gitea: BasicAuthRegistry, plain_registry: Registry, log_in: LogIn
) -> None:
    log_in(gitea)
    there = stream(MODEL, f"{plain_registry.host}/gitea/source:1").image

    done = stream(MODEL, f"{gitea.host}/modelcar/model:1")

    assert done.image.digest == there.digest
    assert stream(MODEL, f"{gitea.host}/modelcar/model:1").unchanged
    assert mirror(str(done.image), f"{gitea.host}/modelcar/other:1").copied_bytes == 0
    assert mirror(str(done.image), f"{plain_registry.host}/gitea/back:1").image.digest == there.digest
    assert "mounts" in capabilities_of(gitea.host).line()
