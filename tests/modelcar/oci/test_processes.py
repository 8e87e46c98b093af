"""Transfers as processes of their own: what they take of memory, and how they end when they are told to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelcar.oci import referrers, spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry, registry_plain
from tests.parts.steps import PROGRAMS, stream

MODEL = "example/tiny-llama"
MAX_MIB = 256
PEAK = """
print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""
# As many layers in flight from the first on as a run comes to in the end.
IN_FLIGHT = """
import re, sys
from pathlib import Path
from modelcar.oci import turns
turns.Turns.__init__.__defaults__ = (turns.MAX_LAYERS, turns.MAX_LAYERS)
held, enter = [], turns.Turns.__enter__
turns.Turns.__enter__ = lambda self: (enter(self), held.append(self.held))[0]
"""
# People wait two seconds at most for uploads to be dropped; on a busy machine the test waits longer.
STEP = """
import sys
from pathlib import Path
from modelcar.oci import parallel
from modelcar.records.termination_message import exit_with_one_line
parallel.GRACE_SECONDS = 60.0
with exit_with_one_line():
    """
LONGEST_SECONDS = 300
ATTACHMENTS, ATTACHMENT_BYTES = 60, 3_900_000


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry_plain(tmp_path_factory.mktemp("second")) as registry:
        yield registry


def said(code: str, *arguments: str) -> dict[str, int]:
    """Run a program to its end; return the numbers that it prints after a word."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}


@pytest.mark.parametrize(("targets", "layers"), [(1, 16), (2, 8)])
def test_most_layers_in_flight_take_bounded_memory(
    targets: int, layers: int, hub: Hub, plain_registry: Registry, second: Registry, tmp_path: Path
) -> None:
    """Into two registries, each layer is in flight twice: sixteen uploads either way, with the Hub far faster."""
    shards = tiny_llama(tmp_path / "model", shards=24, bytes_per_shard=5_000_000, consolidated=False)
    hub.publish(MODEL, shards)
    with FaultProxy(plain_registry.host) as first, FaultProxy(second.host) as other:
        for proxy in (first, other):
            proxy.throttle(2_000_000, method="PATCH")
        goals = [f"{proxy.host}/memory/into-{targets}:1" for proxy in (first, other)[:targets]]
        found = said(IN_FLIGHT + PROGRAMS["stream"] + '\nprint("layers", max(held))' + PEAK, MODEL, *goals)

    assert found["layers"] == layers
    assert found["peak"] < MAX_MIB << 10


@pytest.mark.soak
def test_sixty_large_attachments_take_bounded_memory(plain_registry: Registry, second: Registry, hub: Hub) -> None:
    hub.publish(MODEL, {"model.gguf": b"GGUF" + bytes(2000)})
    digest = stream(MODEL, f"{plain_registry.host}/memory/attached:1").image.digest
    with Repository(Reference.parse(f"{plain_registry.host}/memory/attached:1"), push=True) as source:
        _attach_large(source, source.manifest(digest))

    target = f"{second.host}/memory/attached:1"
    code = "import re, sys; " + PROGRAMS["mirror"] + PEAK
    found = said(code, f"{plain_registry.host}/memory/attached@{digest}", target)

    assert found["peak"] < MAX_MIB << 10
    with Repository(Reference.parse(target)) as copied:
        there = [one.stored for one in referrers.each(copied, digest)]
        assert sum(len(one.content) > ATTACHMENT_BYTES for one in there) == ATTACHMENTS


def _attach_large(repository: Repository, subject: Stored) -> None:
    repository.put_small_blob(b"{}")
    empty, about = spec.describe(b"{}", spec.EMPTY), spec.describe(subject.content, subject.media_type)

    def attached() -> Iterator[referrers.Attached]:
        for number in range(ATTACHMENTS):
            made = spec.Manifest(
                artifactType="application/x-large",
                config=empty,
                layers=[empty],
                subject=about,
                annotations={"number": str(number), "filling": "x" * ATTACHMENT_BYTES},
            )
            yield referrers.Attached(Stored(made.encoded(), spec.MANIFEST))

    referrers.put(repository, subject, attached())


@pytest.mark.parametrize(("step", "number"), [("stream", signal.SIGTERM), ("mirror", signal.SIGINT)])
def test_told_to_end(
    step: str, number: signal.Signals, hub: Hub, plain_registry: Registry, second: Registry, tmp_path: Path
) -> None:
    """In the middle of layers on their way: one line, no tag, the uploads dropped, and the next run goes on."""
    shards = tiny_llama(tmp_path / "model", shards=4, bytes_per_shard=5_000_000, consolidated=False)
    hub.publish(MODEL, shards, date=datetime(2026, 1, 1, tzinfo=UTC))
    repository = f"told/{step}-{number.name.lower()}"
    given = MODEL if step == "stream" else str(stream(MODEL, f"{plain_registry.host}/{repository}:1").image)
    with FaultProxy(second.host) as proxy:
        proxy.throttle(500_000, method="PATCH", times=2)
        target = f"{proxy.host}/{repository}:1"
        ended, line = _end_in_the_middle(STEP + PROGRAMS[step], [given, target], proxy, number, tmp_path)

        assert ended == 128 + number
        assert line.count("\n") == 1
        assert "Run the same command again to go on where it stopped" in line
        assert not second.has_tag(repository)
        assert any(request.method == "DELETE" for request in proxy.requests)
        sent = proxy.received
        assert subprocess.run([sys.executable, "-c", STEP + PROGRAMS[step], given, target]).returncode == 0

    assert second.has_tag(repository)
    assert proxy.received - sent < 20_000_000


def _end_in_the_middle(
    code: str, arguments: list[str], proxy: FaultProxy, number: signal.Signals, folder: Path
) -> tuple[int, str]:
    """Start a step, and tell it to end once two layers are there and others are on their way."""
    env = {**os.environ, "MODELCAR_TERMINATION_LOG": str(folder / "last-words")}
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=env) as process:
        deadline = time.monotonic() + LONGEST_SECONDS
        while proxy.received < 12_000_000 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, line = process.communicate(timeout=LONGEST_SECONDS)
    return process.returncode, line
