"""Streams into real registries that say at random that it is too much: right in the end, in bounded memory."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from modelcar.oci.turns import MAX_LAYERS, MIN_LAYERS
from tests.conftest import LogIn
from tests.parts.fault_proxy import FaultProxy
from tests.parts.gitea.server import PROGRAMS as GITEA
from tests.parts.gitea.server import gitea_registry
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.nginx import free_port, nginx_before
from tests.parts.registries import Registry, registry_plain
from tests.parts.steps import PROGRAMS, stream

pytestmark = pytest.mark.soak

MODEL = "example/pressed"
SHARDS, SHARD_BYTES = 24, 5_000_000
SEEDS = range(12)
MAX_MIB = 256
LONGEST_SECONDS = 900

# The number of layers in flight is measured often, so that a run of seconds sees it go up and down.
RUN = """
import atexit, re, sys
from pathlib import Path
from modelcar.oci import turns
from modelcar.records.termination_message import exit_with_one_line
turns.WINDOW_SECONDS, turns.CLIMB_SECONDS = 0.5, 0.2
limits = set()
def noted(self, name, value):
    object.__setattr__(self, name, value)
    if name == "limit":
        limits.add(value)
turns.Turns.__setattr__ = noted
@atexit.register
def told():
    peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
    print("figures", peak, min(limits, default=4), max(limits, default=4))
with exit_with_one_line():
    """

ZONES = """
limit_req_zone $binary_remote_addr zone=requests:1m rate=40r/s; limit_req_status 429;
limit_conn_zone $binary_remote_addr zone=connections:1m; limit_conn_status 503;
"""
LIMITS = "client_max_body_size 3m; limit_req zone=requests burst=20 nodelay; limit_conn connections 5;"


@dataclass(frozen=True)
class Ended:
    """End of a run: its exit code, its last line, MiB at its peak, the least and the most layers in flight."""

    code: int
    line: str
    peak: float
    least: int
    most: int


def run(target: str) -> Ended:
    """Stream in a process of its own."""
    command = [sys.executable, "-c", RUN + PROGRAMS["stream"], MODEL, target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS)
    figures = re.search(r"figures (\d+) (\d+) (\d+)", done.stdout)
    assert figures, done.stderr
    peak, least, most = map(int, figures.groups())
    return Ended(done.returncode, done.stderr.strip(), peak / 1024, least, most)


def press(proxy: FaultProxy, random: Random) -> None:
    """Let some requests fail, and be slow, at moments that are drawn."""
    for _ in range(random.randint(4, 12)):
        path, method = random.choice(("/blobs/", "/manifests/", "/")), random.choice(("POST", "PATCH", "PUT", "HEAD"))
        where = {"path": path, "method": method, "skip": random.randint(0, 20)}
        times = random.randint(1, 4)
        kind = random.randrange(6)
        if kind < 3:
            code = random.choice((429, 429, 503, 503, 502, 504, 408, 425, 500))
            proxy.status(code, retry_after=random.choice((None, 0, 1)), times=times, **where)  # type: ignore[arg-type]
        elif kind == 3:
            proxy.reset(after=random.randint(1, SHARD_BYTES), times=times, **where)  # type: ignore[arg-type]
        elif kind == 4:
            proxy.lose_answer(times=times, **where)  # type: ignore[arg-type]
        else:
            proxy.delay(random.uniform(0.1, 3), times=times, **where)  # type: ignore[arg-type]
    if random.random() < 0.7:
        proxy.throttle(random.choice((1e6, 4e6, 16e6)), method="PATCH")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry_plain(tmp_path_factory.mktemp("pressed")) as registry:
        yield registry


@pytest.fixture(scope="module", params=["docker-registry", "nginx", "gitea"])
def pressed(
    request: pytest.FixtureRequest, plain: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """Give a registry."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "docker-registry":
        yield plain
    elif request.param == "nginx":
        with free_port() as port:
            pass
        with nginx_before(plain, folder, tls=False, settings=LIMITS, zones=ZONES, port=port) as registry:
            yield registry
    elif GITEA() is None:
        pytest.skip("Gitea was not built (make registries)")
    else:
        with gitea_registry(folder) as registry:
            yield registry


@pytest.mark.parametrize("seed", SEEDS)
def test_stream_is_right_or_ends_with_one_line(
    seed: int, pressed: Registry, plain: Registry, hub: Hub, log_in: LogIn, tmp_path: Path
) -> None:
    files = tiny_llama(tmp_path / "model", shards=SHARDS, bytes_per_shard=SHARD_BYTES, consolidated=False)
    hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
    expected = stream(MODEL, f"{plain.host}/pressed/expected:1").image.digest
    with FaultProxy(pressed.host.replace("localhost", "127.0.0.1")) as proxy:
        log_in(replace(pressed, host=proxy.host))
        press(proxy, Random(seed))
        target = f"{proxy.host}/modelcar/{pressed.host.replace(':', '-')}-{seed}:1"
        first = run(target)
        proxy.clear()
        last = run(target) if first.code else first
        print(f"pressure: {pressed.host} seed {seed}: {first}, {last}")

        assert first.code == 0 or (first.code == 1 and "\n" not in first.line)
        assert last.code == 0, last.line
        assert max(first.peak, last.peak) < MAX_MIB
        assert MIN_LAYERS <= min(first.least, last.least) <= max(first.most, last.most) <= MAX_LAYERS
        assert stream(MODEL, target).image.digest == expected
