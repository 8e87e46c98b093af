"""Registries that break connections, lie, stall and damage: the image is right in the end, or there is none."""

import random
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from modelcar.errors import ModelcarError, RegistryError, WrongBytesError
from modelcar.hub import connection_limit, read_ahead
from modelcar.hub.reader import MAX_CHUNK_BYTES
from modelcar.oci import spec, turns
from modelcar.steps.mirror import mirror
from tests.conftest import LogIn
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import BasicAuthRegistry, Registry
from tests.parts.steps import build, download, stream
from tests.soak.images import pulled_whole

MODEL = "example/two-shards"
SHARDS = 2
SHARD_BYTES = 1_100_000
MIB = 1 << 20
WAYS = ("stream", "build", "mirror")

Break = Callable[[FaultProxy], object]


@dataclass(frozen=True)
class Undisturbed:
    """The model on a Hub and on a claim, and the image that an undisturbed build made of it."""

    hub: Hub
    directory: Path
    source: str
    digest: str

    def run(self, way: str, target: str) -> str:
        """Make the image at a target in one of the ways; gives its digest."""
        if way == "stream":
            return stream(MODEL, target).image.digest
        if way == "build":
            return build(self.directory, target, builder="direct").image.digest
        return mirror(self.source, target).image.digest


@pytest.fixture(scope="module")
def made(plain_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    files = tiny_llama(folder / "model", shards=SHARDS, bytes_per_shard=SHARD_BYTES, consolidated=False)
    with Hub(folder / "hub") as hub, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", hub.url)
        hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
        directory = download(MODEL, folder / "claim").directory
        image = build(directory, f"{plain_registry.host}/faults/source:1", builder="direct").image
        yield Undisturbed(hub, directory, str(image), str(image.digest))


@pytest.fixture
def undisturbed(made: Undisturbed, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Undisturbed:
    """Give what an undisturbed run makes; modelcar goes to its Hub, and pauses between attempts pass at once."""
    monkeypatch.setenv("HF_ENDPOINT", made.hub.url)
    # What an earlier build noted beside the download would spare this one the sending.
    for note in made.directory.rglob("*digests*"):
        note.unlink()
    return made


@pytest.fixture
def proxy(plain_registry: Registry) -> Iterator[FaultProxy]:
    with FaultProxy(plain_registry.host) as proxy:
        yield proxy


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Give a repository of the test's own."""
    return "faults/" + "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower()).strip("-")


def tagged(registry: Registry, repository: str, tag: str = "1") -> str:
    """The digest under a tag, as the registry itself has it; empty if there is no such tag."""
    listed = requests.get(f"{registry.url}/v2/{repository}/tags/list", timeout=600)
    if not listed.ok or tag not in (listed.json()["tags"] or ()):
        return ""
    accept = {"Accept": ", ".join((*spec.INDEXES, *spec.MANIFESTS))}
    found = requests.get(f"{registry.url}/v2/{repository}/manifests/{tag}", headers=accept, timeout=600)
    return spec.digest_of(found.content)


def failure(work: Callable[[], object]) -> ModelcarError:
    """What work fails with, which must be one line."""
    with pytest.raises(ModelcarError) as raised:
        work()
    assert str(raised.value)
    assert "\n" not in str(raised.value)
    return raised.value


def uploaded(proxy: FaultProxy) -> int:
    """Bytes of blobs that were sent, more than once if need be."""
    return sum(request.received for request in proxy.requests if request.method == "PATCH")


def test_through_the_proxy_nothing_is_changed(undisturbed: Undisturbed, proxy: FaultProxy, name: str) -> None:
    for way in WAYS:
        assert undisturbed.run(way, f"{proxy.host}/{name}/{way}:1") == undisturbed.digest
    assert {"HEAD", "GET", "POST", "PATCH", "PUT"} <= {request.method for request in proxy.requests}


BORNE: dict[str, Break] = {
    "upload reset at once": lambda proxy: proxy.reset(after=0, method="PATCH", times=2),
    "upload reset after a byte": lambda proxy: proxy.reset(after=1, method="PATCH", times=2),
    "upload reset in the middle": lambda proxy: proxy.reset(after=300_000, method="PATCH", times=4),
    "upload reset at its end": lambda proxy: proxy.reset(after=1 << 30, method="PATCH", times=2),
    "upload taken unheard": lambda proxy: proxy.lose_answer(method="PATCH", times=2),
    "upload dropped": lambda proxy: proxy.drop(method="PATCH", times=2),
    "end of upload dropped": lambda proxy: proxy.drop(method="PUT", path="/blobs/", times=2),
    "end of upload taken unheard": lambda proxy: proxy.lose_answer(method="PUT", path="/blobs/"),
    "upload not begun": lambda proxy: proxy.reset(after=0, method="POST", times=2),
    "upload begun unheard": lambda proxy: proxy.lose_answer(method="POST", times=2),
    "login ended": lambda proxy: proxy.status(401, method="PATCH", times=2),
    "server error": lambda proxy: proxy.status(500, method="PATCH", times=2),
    "greeting dropped": lambda proxy: proxy.drop(),
    "greeting refused": lambda proxy: proxy.status(503),
    "greeting reset": lambda proxy: proxy.reset_answer(after=0),
    "unavailable now and then": lambda proxy: proxy.status(503, times=4, skip=4),
    "tag dropped": lambda proxy: proxy.drop(method="PUT", path="/manifests/1$", times=2),
    "tag answered by a gateway": lambda proxy: proxy.status(502, method="PUT", path="/manifests/", times=2),
    "tag written unheard": lambda proxy: proxy.lose_answer(method="PUT", path="/manifests/", times=2),
    "tag asked for in vain": lambda proxy: proxy.reset_answer(after=0, method="GET", path="/manifests/1$"),
    "manifest cut": lambda proxy: proxy.truncate(after=10, method="GET", path="/manifests/1$", skip=1),
    "manifest reset": lambda proxy: proxy.reset_answer(after=10, method="GET", path="/manifests/1$", skip=1),
    "delayed": lambda proxy: proxy.delay(0.05, times=8),
    "throttled": lambda proxy: proxy.throttle(4_000_000),
}
EVERY_WAY = list(BORNE)[:8]
BORNE_IN = [(fault, way) for fault in EVERY_WAY for way in WAYS]
BORNE_IN += [(fault, ("stream", "mirror")[number % 2]) for number, fault in enumerate(list(BORNE)[8:])]


@pytest.mark.parametrize(("fault", "way"), BORNE_IN)
def test_what_passes_is_borne(
    fault: str, way: str, undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    BORNE[fault](proxy)

    assert undisturbed.run(way, f"{proxy.host}/{name}:1") == undisturbed.digest

    assert tagged(plain_registry, name) == undisturbed.digest


@pytest.mark.parametrize(("code", "method"), [(429, "PATCH"), (503, "POST"), (429, "PUT")])
def test_a_registry_that_asks_to_wait_is_waited_for(
    code: int, method: str, undisturbed: Undisturbed, proxy: FaultProxy, waits: list[float], name: str
) -> None:
    proxy.status(code, retry_after=37, method=method)

    undisturbed.run("stream", f"{proxy.host}/{name}:1")

    assert max(waits) >= 37


def test_a_break_costs_no_more_than_what_was_sent_before_it(
    undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    """docker-registry cannot go on with an upload that broke, so that one is begun anew; the others are not."""
    undisturbed.run("stream", f"{proxy.host}/{name}/undisturbed:1")
    whole = uploaded(proxy)
    proxy.requests.clear()
    proxy.reset(after=400_000, method="PATCH", times=2)

    undisturbed.run("stream", f"{proxy.host}/{name}:1")

    assert uploaded(proxy) < whole + 2 * 500_000
    assert tagged(plain_registry, name) == undisturbed.digest


FATAL: dict[str, tuple[Break, str]] = {
    "server error for ever": (lambda proxy: proxy.status(500, method="PATCH", times=None), "answered 500"),
    "resets for ever": (lambda proxy: proxy.reset(after=1, method="PATCH", times=None), "cannot reach the registry"),
    "tag refused": (lambda proxy: proxy.status(403, method="PUT", path="/manifests/1$"), "does not let us push to"),
    "damaged uploads": (lambda proxy: proxy.corrupt(at=1000, method="PATCH", times=None), "answered 400 to PUT"),
    "no Location": (lambda proxy: proxy.location(None, method="POST", times=None), "Location"),
    "redirects for ever": (lambda proxy: proxy.redirect(method="POST"), "redirect"),
    "no Location after bytes": (lambda proxy: proxy.location(None, method="PATCH", times=None), "Location|upload"),
    "Location is no URL": (lambda proxy: proxy.location("http://[x", method="POST", times=None), r"http://\[x"),
}


FATAL_IN = [(fault, ("stream", "mirror")[number % 2]) for number, fault in enumerate(FATAL)]


@pytest.mark.parametrize(("fault", "way"), FATAL_IN)
def test_what_stays_is_named_and_the_next_run_finishes(
    fault: str, way: str, undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    show, words = FATAL[fault]
    show(proxy)
    target = f"{proxy.host}/{name}:1"

    error = failure(lambda: undisturbed.run(way, target))

    assert isinstance(error, RegistryError)
    assert re.search(words, str(error))
    assert tagged(plain_registry, name) == ""
    proxy.clear()
    assert undisturbed.run(way, target) == undisturbed.digest
    assert tagged(plain_registry, name) == undisturbed.digest


@pytest.mark.parametrize("way", WAYS)
def test_one_damaged_upload_is_refused_and_never_tagged(
    way: str, undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    proxy.corrupt(at=1000, method="PATCH", skip=1)
    target = f"{proxy.host}/{name}:1"

    failure(lambda: undisturbed.run(way, target))

    assert tagged(plain_registry, name) == ""
    assert undisturbed.run(way, target) == undisturbed.digest


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_tag_is_put_right_by_the_next_run_at_the_latest(
    way: str, undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    """A registry cannot tell: it stores what arrives under a tag."""
    url = f"{plain_registry.url}/v2/faults/source/manifests/{undisturbed.digest}"
    index = requests.get(url, headers={"Accept": spec.INDEX}, timeout=600).content
    proxy.corrupt(at=index.rindex(b"org.opencontainers.image.") + 28, method="PUT", path="/manifests/1$")
    target = f"{proxy.host}/{name}:1"

    with suppress(WrongBytesError):
        assert undisturbed.run(way, target) == undisturbed.digest

    assert undisturbed.run(way, target) == undisturbed.digest
    assert tagged(plain_registry, name) == undisturbed.digest


SOURCE: dict[str, Break] = {
    "blob cut": lambda proxy: proxy.truncate(after=300_000, method="GET", path="/blobs/", times=2),
    "blob cut at once": lambda proxy: proxy.truncate(after=0, method="GET", path="/blobs/", times=2),
    "blob reset": lambda proxy: proxy.reset_answer(after=300_000, method="GET", path="/blobs/", times=2),
    "blob dropped": lambda proxy: proxy.drop(method="GET", path="/blobs/", times=2),
    "blob refused": lambda proxy: proxy.status(503, method="GET", path="/blobs/", times=3),
    "login ended": lambda proxy: proxy.status(401, method="GET", path="/blobs/"),
    "manifest cut": lambda proxy: proxy.truncate(after=10, method="GET", path="/manifests/"),
    "manifest reset": lambda proxy: proxy.reset_answer(after=10, method="GET", path="/manifests/", skip=1),
}


@pytest.mark.parametrize("fault", SOURCE)
def test_a_copy_bears_a_source_that_breaks(
    fault: str, undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    SOURCE[fault](proxy)
    source = undisturbed.source.replace(plain_registry.host, proxy.host)

    assert mirror(source, f"{plain_registry.host}/{name}:1").image.digest == undisturbed.digest

    assert tagged(plain_registry, name) == undisturbed.digest


@pytest.mark.parametrize("part", ["blobs", "manifests"])
def test_damage_on_the_way_from_the_source_is_caught(
    part: str, undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    proxy.corrupt_answer(at=400, method="GET", path=f"/{part}/", times=None)
    source = undisturbed.source.replace(plain_registry.host, proxy.host)

    failure(lambda: mirror(source, f"{plain_registry.host}/{name}:1"))

    assert tagged(plain_registry, name) == ""
    proxy.clear()
    assert mirror(source, f"{plain_registry.host}/{name}:1").image.digest == undisturbed.digest


@pytest.mark.parametrize("way", WAYS)
def test_note_of_a_blob_that_a_full_disk_cut_short_is_mended(
    way: str, undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    """docker-registry answers 500 for ever when it is asked for such a blob; to write it again mends it."""
    target = f"{proxy.host}/{name}:1"
    undisturbed.run(way, f"{proxy.host}/{name}:0")
    repository = plain_registry.storage / "docker/registry/v2/repositories" / name
    for link in repository.glob("_layers/sha256/*/link"):
        link.write_text("")

    assert undisturbed.run(way, target) == undisturbed.digest

    assert pulled_whole(f"{plain_registry.host}/{name}:1") == undisturbed.digest


def test_tag_that_arrives_altered_is_asked_for_again(
    undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    """No digest was asked for, but the registry says which it sent."""
    proxy.corrupt_answer(at=400, method="GET", path="/manifests/1$", times=2)
    source = f"{proxy.host}/faults/source:1"

    assert mirror(source, f"{plain_registry.host}/{name}:1").image.digest == undisturbed.digest

    proxy.corrupt_answer(at=400, method="GET", path="/manifests/1$", times=None)
    assert "on the way alters it" in str(failure(lambda: mirror(source, f"{plain_registry.host}/{name}:2")))
    assert tagged(plain_registry, name, "2") == ""


@pytest.mark.parametrize("way", ["stream", "mirror"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_upload_on_another_host_is_refused_and_told_nothing(
    method: str, way: str, undisturbed: Undisturbed, basic_registry: BasicAuthRegistry, log_in: LogIn, name: str
) -> None:
    with FaultProxy(basic_registry.host) as proxy, FaultProxy(basic_registry.host) as other:
        log_in(replace(basic_registry, host=proxy.host), replace(basic_registry, host=other.host))
        proxy.location(f"http://{other.host}/v2/elsewhere/blobs/uploads/1", method=method, times=None)

        error = failure(lambda: undisturbed.run(way, f"{proxy.host}/{name}:1"))

        assert f"another host, {other.host}" in str(error)
        assert other.requests == []
        proxy.clear()
        assert undisturbed.run(way, f"{proxy.host}/{name}:1") == undisturbed.digest


def test_a_redirect_to_another_host_takes_no_credentials_there(
    undisturbed: Undisturbed, basic_registry: BasicAuthRegistry, log_in: LogIn, name: str
) -> None:
    with FaultProxy(basic_registry.host) as proxy, FaultProxy(basic_registry.host) as other:
        log_in(replace(basic_registry, host=proxy.host), replace(basic_registry, host=other.host))
        for method in ("POST", "PATCH", "PUT"):
            proxy.redirect(f"http://{other.host}/v2/elsewhere", method=method)

        failure(lambda: undisturbed.run("stream", f"{proxy.host}/{name}:1"))

        assert any(request.authorized for request in proxy.requests)
        assert not any(request.authorized for request in other.requests)


@pytest.mark.parametrize("broken", ["target", "mirror"])
def test_one_of_two_targets_breaks_and_the_other_is_not_sent_twice(
    broken: str, undisturbed: Undisturbed, plain_registry: Registry, name: str
) -> None:
    with FaultProxy(plain_registry.host) as first, FaultProxy(plain_registry.host) as second:
        stream(MODEL, f"{first.host}/{name}/undisturbed:1")
        undisturbed_upload = uploaded(first)
        first.requests.clear()
        bad, good = (first, second) if broken == "target" else (second, first)
        bad.reset(after=300_000, method="PATCH", times=2)

        done = stream(MODEL, f"{first.host}/{name}/a:1", mirror=f"{second.host}/{name}/b:1")

        assert done.mirrored is not None
        assert done.image.digest == done.mirrored.digest == undisturbed.digest
        assert uploaded(good) == undisturbed_upload
        assert tagged(plain_registry, f"{name}/a") == tagged(plain_registry, f"{name}/b") == undisturbed.digest


def test_one_of_two_targets_stays_broken(undisturbed: Undisturbed, plain_registry: Registry, name: str) -> None:
    with FaultProxy(plain_registry.host) as first, FaultProxy(plain_registry.host) as second:
        second.reset(after=1000, method="PATCH", times=None)
        target, copy = f"{first.host}/{name}/a:1", f"{second.host}/{name}/b:1"

        failure(lambda: stream(MODEL, target, mirror=copy))

        assert tagged(plain_registry, f"{name}/a") == tagged(plain_registry, f"{name}/b") == ""
        second.clear()
        done = stream(MODEL, target, mirror=copy)
        assert done.image.digest == undisturbed.digest
        assert tagged(plain_registry, f"{name}/a") == tagged(plain_registry, f"{name}/b") == undisturbed.digest


def test_a_slow_target_holds_the_reading_back(
    hub: Hub, plain_registry: Registry, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the fast one is ahead is what is in flight, with the sockets' buffers, however long it goes on."""
    # Less than by default, which is more than this model.
    may_be_ahead = 4 * MIB
    monkeypatch.setattr(read_ahead.ReadAhead.__init__, "__defaults__", (may_be_ahead,))
    hub.publish(MODEL, tiny_llama(tmp_path / "model", shards=1, bytes_per_shard=24_000_000, consolidated=False))
    # What is imported when it is first needed is not counted.
    stream(MODEL, f"{plain_registry.host}/{name}/first:1")
    ahead, done = [0], threading.Event()
    with FaultProxy(plain_registry.host) as fast, FaultProxy(plain_registry.host) as slow:
        slow.throttle(8_000_000, method="PATCH")

        def watch() -> None:
            while not done.wait(0.01):
                ahead.append(fast.received - slow.received)

        watcher = threading.Thread(target=watch)
        watcher.start()
        tracemalloc.start()
        try:
            stream(MODEL, f"{fast.host}/{name}/a:1", mirror=f"{slow.host}/{name}/b:1")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            done.set()
            watcher.join()
        assert fast.received > 24_000_000
        assert slow.received > 24_000_000
    assert 2 * MIB < max(ahead) < 14 * MIB
    # Besides: the chunk that each connection to the Hub has in hand, and the chunks that wait for each registry.
    assert peak < may_be_ahead + connection_limit.FIRST * MAX_CHUNK_BYTES + 2 * turns.CHUNKS * MIB


def set_on_fire(proxy: FaultProxy, chance: random.Random) -> None:
    """Show several faults, whichever they are."""
    for _ in range(chance.randint(3, 8)):
        times, skip, after = chance.randint(1, 3), chance.randint(0, 6), chance.randrange(SHARD_BYTES)
        method = chance.choice(["", "HEAD", "GET", "POST", "PATCH", "PATCH", "PATCH", "PUT"])
        kind = chance.randrange(8)
        if kind == 0:
            proxy.reset(after=after, method=method, times=times, skip=skip)
        elif kind == 1:
            proxy.reset_answer(after=after % 500, method=method, times=times, skip=skip)
        elif kind == 2:
            proxy.truncate(after=after % 500, method=method, times=times, skip=skip)
        elif kind == 3:
            proxy.status(chance.choice([401, 408, 429, 500, 502, 503, 504]), method=method, times=times, skip=skip)
        elif kind == 4:
            proxy.drop(method=method, times=times, skip=skip)
        elif kind == 5:
            proxy.lose_answer(method=method, times=times, skip=skip)
        elif kind == 6:
            proxy.corrupt(at=after, method="PATCH", times=times, skip=skip)
        else:
            proxy.delay(0.02, method=method, times=times, skip=skip)


@pytest.mark.parametrize("seed", range(20))
def test_a_registry_on_fire_never_holds_a_wrong_image(
    seed: int, undisturbed: Undisturbed, proxy: FaultProxy, plain_registry: Registry, name: str
) -> None:
    way, target = WAYS[seed % len(WAYS)], f"{proxy.host}/{name}:1"
    set_on_fire(proxy, random.Random(seed))

    for _ in range(2):
        with suppress(ModelcarError):
            assert undisturbed.run(way, target) == undisturbed.digest
        assert tagged(plain_registry, name) in ("", undisturbed.digest)
    proxy.clear()

    assert undisturbed.run(way, target) == undisturbed.digest
    assert tagged(plain_registry, name) == undisturbed.digest
