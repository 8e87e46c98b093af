"""Files read from Hubs that are slow, refuse connections, or lie about ranges: right bytes or a named error."""

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice

import pytest
import requests

from modelcar import retries
from modelcar.errors import HubError, HubUnwellError, StoppedError
from modelcar.hub import read_ahead, reader
from modelcar.hub.client import Hub as HubClient
from modelcar.hub.read_ahead import ReadAhead
from modelcar.hub.reader import HubFile, Session, Transport
from modelcar.hub.snapshot import Snapshot
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.hub_faults import RangeLie, Refusal

REPO = "org/large"
FILE = "model.safetensors"
CONTENT = random.Random(1).randbytes(24 << 20)
SLOW = 8e6
"""Bytes a second of a connection: with one, the file takes three seconds."""


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """Give a Hub that has a file of many windows."""
    hub.publish(REPO, {FILE: CONTENT, "config.json": "{}"})
    return hub


@pytest.fixture
def client(hub: Hub) -> Iterator[HubClient]:
    with HubClient() as client:
        yield client


@pytest.fixture
def snapshot(client: HubClient) -> Snapshot:
    return client.snapshot(REPO)


@pytest.fixture
def file(client: HubClient, snapshot: Snapshot) -> HubFile:
    return client.reader(snapshot, snapshot.by_path[FILE])


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def whole(file: HubFile, start: int = 0, end: int | None = None, *, unbroken: bool = False) -> bytes:
    return b"".join(file.read(start, end, unbroken=unbroken))


def links_asked_for(hub: Hub) -> int:
    return sum("/resolve/" in served.path for served in hub.requests)


def test_bytes_come_in_order_over_several_connections(hub: Hub, file: HubFile) -> None:
    hub.connection_rate = SLOW

    assert whole(file) == CONTENT

    assert hub.most_connections > 4
    assert links_asked_for(hub) == 1
    assert sum(served.bytes for served in hub.requests) == len(CONTENT)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 0), (0, 1), (5, 100), (1 << 20, (1 << 20) + 1), (len(CONTENT) - 3, None), (len(CONTENT), None), (7, 3)],
)
def test_any_part_can_be_read_alone(hub: Hub, file: HubFile, start: int, end: int | None) -> None:
    assert whole(file, start, end) == CONTENT[start:end]
    assert sum(served.bytes for served in hub.requests) == len(CONTENT[start:end])


def test_one_connection_can_be_asked_for(hub: Hub, file: HubFile) -> None:
    assert digest(whole(file, 10, unbroken=True)) == digest(CONTENT[10:])
    assert hub.most_connections == 1


def test_reader_that_goes_away_ends_what_is_read_ahead(hub: Hub, file: HubFile) -> None:
    hub.connection_rate = SLOW
    reading = file.read()
    first = b"".join(islice(reading, 2))
    reading.close()  # type: ignore[attr-defined]

    assert CONTENT.startswith(first)
    assert whole(file, 0, 1000) == CONTENT[:1000]


def test_memory_that_is_read_ahead_is_bounded(hub: Hub, snapshot: Snapshot) -> None:
    """A reader that takes nothing for a while: no more is asked for than there is room."""
    url = f"{hub.url}/{REPO}/resolve/{snapshot.commit}/{FILE}"
    file = HubFile(url, REPO, FILE, len(CONTENT), Transport(Session(), ReadAhead(6 << 20)))
    reading = file.read()
    first = next(reading)
    settled = threading.Event()
    while not settled.wait(0.3):
        before = hub.bytes_served
        if settled.wait(0.3) or hub.bytes_served == before:
            break

    assert sum(served.bytes for served in hub.requests) <= 8 << 20
    assert first + b"".join(reading) == CONTENT


def test_close_ends_a_read_that_waits(hub: Hub, client: HubClient, file: HubFile) -> None:
    hub.delay(60)
    ended: list[BaseException] = []

    def read() -> None:
        try:
            whole(file)
        except StoppedError as error:
            ended.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    client.close()
    thread.join(600)

    assert ended


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("skip", [0, 1, 5])
@pytest.mark.parametrize("lie", [lie for lie in RangeLie if lie is not RangeLie.MISLABELLED])
def test_a_lie_about_a_range_is_mended(hub: Hub, file: HubFile, lie: RangeLie, skip: int) -> None:
    hub.bend_ranges(REPO, FILE, lie, times=1, skip=skip)

    assert digest(whole(file)) == digest(CONTENT)


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("skip", [0, 1, 5])
@pytest.mark.parametrize("lie", list(RangeLie))
def test_lies_that_do_not_end_are_named_or_mended(hub: Hub, file: HubFile, lie: RangeLie, skip: int) -> None:
    hub.bend_ranges(REPO, FILE, lie, times=None, skip=skip)
    if lie in (RangeLie.SHIFTED, RangeLie.OTHER_SIZE, RangeLie.UNLABELLED):
        with pytest.raises(HubError, match=FILE):
            whole(file)
    else:
        # What is called what was asked for only the file's hash can tell from it; the reader reads on.
        found = whole(file)
        assert len(found) == len(CONTENT)
        assert (digest(found) == digest(CONTENT)) == (lie is not RangeLie.MISLABELLED)


def test_hub_without_ranges_gives_the_file_over_one_connection(hub: Hub, file: HubFile) -> None:
    hub.bend_ranges(REPO, FILE, RangeLie.IGNORED)

    assert digest(whole(file)) == digest(CONTENT)
    # What a connection for a later part was given before is dropped as it comes.
    unasked = [request for request in hub.requests if request.status == HTTPStatus.OK and request.range]
    assert [request.bytes for request in unasked].count(len(CONTENT)) == 1


@pytest.mark.usefixtures("waits")
def test_hub_without_ranges_that_breaks_is_taken_up(hub: Hub, file: HubFile) -> None:
    hub.bend_ranges(REPO, FILE, RangeLie.IGNORED)
    hub.cut(REPO, FILE, 10 << 20, times=2)

    assert digest(whole(file)) == digest(CONTENT)


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("refusal", list(Refusal))
def test_connections_above_a_servers_limit(
    hub: Hub, file: HubFile, refusal: Refusal, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "SILENCE_SECONDS", 1.0)
    hub.connection_rate = SLOW
    hub.limit_connections(most, refusal)

    assert digest(whole(file)) == digest(CONTENT)
    assert file.connections <= most + 1


def test_slow_first_byte_is_made_up_for_by_connections(hub: Hub, file: HubFile) -> None:
    hub.delay(0.2)

    assert digest(whole(file)) == digest(CONTENT)
    assert hub.most_connections >= 4


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("after", [0, 1000, 700_000])
def test_connections_that_break_are_taken_up(hub: Hub, file: HubFile, after: int) -> None:
    hub.cut(REPO, FILE, after, times=7)

    assert digest(whole(file)) == digest(CONTENT)


@pytest.mark.parametrize("code", [429, 503])
def test_pause_that_the_hub_asks_for_is_made(
    hub: Hub, client: HubClient, snapshot: Snapshot, code: int, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(hub.url.removeprefix("http://")) as proxy:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{proxy.host}")
        proxy.status(code, method="GET", path="/resolve/", retry_after=77)
        with HubClient() as slow:
            assert digest(whole(slow.reader(snapshot, snapshot.by_path[FILE]))) == digest(CONTENT)

    # What is left of them when a connection that was told so begins its pause.
    assert any(17 < pause <= 77 for pause in waits)


@pytest.mark.usefixtures("waits")
def test_pause_that_is_too_long_is_named(hub: Hub, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultProxy(hub.url.removeprefix("http://")) as proxy:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{proxy.host}")
        proxy.status(429, method="GET", path="/resolve/", retry_after=20000, times=None)
        with HubClient() as slow, pytest.raises(HubError, match=r"answered 429.*20000 s"):
            whole(slow.reader(snapshot, snapshot.by_path[FILE]))


@pytest.mark.usefixtures("waits")
def test_link_that_ends_is_fetched_anew_for_what_is_left(hub: Hub, file: HubFile) -> None:
    hub.connection_rate = SLOW / 8
    hub.end_links(0.4)

    assert digest(whole(file)) == digest(CONTENT)
    assert 1 < links_asked_for(hub) < 30


@pytest.mark.usefixtures("waits")
def test_link_that_another_part_was_given_and_that_ended_is_no_refusal(
    hub: Hub, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question for it and its use there may be more time than it lasts."""
    hub.connection_rate = SLOW
    storage = hub.storage
    with FaultProxy(storage) as cdn, FaultProxy(hub.url.removeprefix("http://"), {storage: cdn.host}) as front:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{front.host}")
        cdn.status(403, method="GET", skip=1, times=6)
        with HubClient() as client:
            assert digest(whole(client.reader(snapshot, snapshot.by_path[FILE]))) == digest(CONTENT)


@pytest.mark.usefixtures("waits")
def test_server_that_falls_silent_is_asked_again(hub: Hub, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(reader, "LINK_SECONDS", 0.5)
    storage = hub.storage
    with FaultProxy(storage) as cdn, FaultProxy(hub.url.removeprefix("http://"), {storage: cdn.host}) as front:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{front.host}")
        for skip in (0, 2, 3):
            cdn.delay(30, method="GET", skip=skip)
        with HubClient() as client:
            assert digest(whole(client.reader(snapshot, snapshot.by_path[FILE]))) == digest(CONTENT)


def test_server_that_says_nothing_is_named(hub: Hub, file: HubFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(read_ahead, "MAX_SILENCE_SECONDS", 0.2)
    hub.delay(60)

    with pytest.raises(HubError, match=f"sends nothing of {REPO}/{FILE}"):
        whole(file)


def test_token_stays_with_the_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish(REPO, {FILE: CONTENT}, gated="manual")
    hub.tokens["friend"] = {REPO}
    monkeypatch.setenv("HF_TOKEN", "friend")
    with HubClient() as client:
        snapshot = client.snapshot(REPO)
        assert digest(whole(client.reader(snapshot, snapshot.by_path[FILE]))) == digest(CONTENT)

    assert not any(served.authorized for served in hub.requests if "/cdn/" in served.path)
    assert all(served.authorized for served in hub.requests if "/resolve/" in served.path)


def test_never_from_tls_to_plain_http() -> None:
    answer = requests.Response()
    answer.url, answer.status_code = "https://hub.example/a", 302
    for target in ("http://hub.example/a", "HTTP://storage.example/b"):
        answer.headers["Location"] = target
        with pytest.raises(HubError, match="from TLS to plain HTTP"):
            Session().get_redirect_target(answer)
    answer.headers["Location"] = "https://storage.example/b"
    assert Session().get_redirect_target(answer) == "https://storage.example/b"


@pytest.mark.parametrize("seed", range(6))
def test_random_faults_never_give_a_wrong_byte(
    hub: Hub, file: HubFile, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "pause", lambda seconds: time.sleep(min(seconds, 0.1)))
    chance = random.Random(seed)
    hub.connection_rate = chance.choice((0, SLOW, 4 * SLOW))
    hub.end_links(chance.choice((0, 0.3)))
    for _ in range(chance.randint(1, 6)):
        match chance.randrange(4):
            case 0:
                hub.cut(REPO, FILE, chance.randrange(2 << 20), times=chance.randint(1, 3))
            case 1:
                hub.status(chance.choice(("/cdn/", "/resolve/")), chance.choice((408, 429, 500, 502, 503)))
            case 2:
                lies = [lie for lie in RangeLie if lie is not RangeLie.MISLABELLED]
                hub.bend_ranges(REPO, FILE, chance.choice(lies), times=1, skip=chance.randrange(8))
            case 3:
                hub.limit_connections(chance.randint(1, 5), chance.choice((Refusal.STATUS, Refusal.RESET)))
    start = chance.choice((0, chance.randrange(len(CONTENT))))

    try:
        read = whole(file, start)
    except HubUnwellError:
        # Several attempts in a row met a fault, and the last one is named.
        return
    assert digest(read) == digest(CONTENT[start:])


def test_threads_end_when_there_is_nothing_to_read(file: HubFile, client: HubClient) -> None:
    whole(file)
    client.close()
    for thread in threading.enumerate():
        if thread.name == "hub-connection":
            thread.join(600)
            assert not thread.is_alive()
