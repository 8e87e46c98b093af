"""Files over Xet, from a storage that the real `hf_xet` filled and reads, and what happens where it fails."""

import hashlib
import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from modelcar.errors import HubError, ModelcarError
from modelcar.hub import xet as xet_module
from modelcar.hub.client import Hub as HubClient
from modelcar.hub.reader import MIN_XET_BYTES, HubFile
from modelcar.hub.xet import is_trusted
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import download, stream
from tests.parts.xet import SERVER, XetStorage, xet_folder, xet_server

REPO, FILE = "org/xet", "model.safetensors"
CONTENT = random.Random(2).randbytes(2 * MIN_XET_BYTES)


NEEDS_SERVER = pytest.mark.skipif(not SERVER.exists(), reason="there is no Xet server: make xet-parts builds it")


@pytest.fixture(params=["folder", pytest.param("server", marks=NEEDS_SERVER)])
def xet(
    request: pytest.FixtureRequest, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> Iterator[XetStorage]:
    """Give a storage that has the model's file, named by the Hub."""
    with ExitStack() as stack:
        if request.param == "server":
            storage = stack.enter_context(xet_server(tmp_path / "xet"))
        else:
            storage = xet_folder(tmp_path / "xet")
            monkeypatch.setattr(xet_module, "is_trusted", lambda *_: True)
        storage.add(CONTENT)
        hub.publish(REPO, {FILE: CONTENT})
        hub.name_xet(storage)
        yield storage


@pytest.fixture
def file(xet: XetStorage) -> Iterator[HubFile]:
    with HubClient("xet") as client:
        snapshot = client.snapshot(REPO)
        yield client.reader(snapshot, snapshot.by_path[FILE])


def whole(file: HubFile, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(file.read(start, end))


def over_http(hub: Hub) -> int:
    return sum(served.bytes for served in hub.requests if "/cdn/" in served.path)


@pytest.mark.parametrize(("start", "end"), [(0, None), (5, None), (7, 7 + MIN_XET_BYTES)])
def test_bytes_come_over_xet(hub: Hub, file: HubFile, start: int, end: int | None) -> None:
    assert whole(file, start, end) == CONTENT[start:end]
    assert over_http(hub) == 0


def test_small_parts_come_over_plain_http(hub: Hub, file: HubFile) -> None:
    assert whole(file, 0, 100) == CONTENT[:100]
    assert over_http(hub) == 100


def test_one_token_serves_several_files(hub: Hub, xet: XetStorage, file: HubFile) -> None:
    assert whole(file) + whole(file) == CONTENT + CONTENT
    assert xet.tokens_given == 1


def test_plain_http_is_what_comes_without_asking(hub: Hub, xet: XetStorage) -> None:
    with HubClient() as client:
        snapshot = client.snapshot(REPO)
        assert whole(client.reader(snapshot, snapshot.by_path[FILE])) == CONTENT
    assert over_http(hub) == len(CONTENT)


def test_storage_that_goes_away_is_made_up_for(
    hub: Hub,
    xet: XetStorage,
    file: HubFile,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xet_module, "RETRY_SECONDS", 1)
    shutil.rmtree(tmp_path / "xet")
    xet.endpoint = xet.endpoint if xet.endpoint.startswith("local:") else "http://127.0.0.1:1"

    assert hashlib.sha256(whole(file)).digest() == hashlib.sha256(CONTENT).digest()
    assert over_http(hub) == len(CONTENT)
    assert "the rest comes over plain HTTP" in capsys.readouterr().out


def test_file_that_is_not_on_xet_comes_over_plain_http(hub: Hub, xet: XetStorage, file: HubFile) -> None:
    xet.hashes.clear()

    assert whole(file) == CONTENT
    assert over_http(hub) == len(CONTENT)


def test_storage_that_is_not_over_tls_is_not_asked(
    hub: Hub, xet: XetStorage, file: HubFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Hub must not have us read this machine's own files either."""
    monkeypatch.setattr(xet_module, "is_trusted", is_trusted)
    xet.endpoint = f"local://{xet.endpoint.partition('://')[2]}"

    assert whole(file) == CONTENT
    assert over_http(hub) == len(CONTENT)


@pytest.mark.parametrize(
    ("limit", "memory"),
    [
        ("max", 1 << 30),
        (str(64 << 30), 1 << 30),
        (str(2 << 30), 512 << 20),
        (str(1 << 30), 0),
        ("9223372036854771712", 1 << 30),
    ],
)
def test_memory_is_a_quarter_of_the_pods(
    limit: str, memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(xet_module, "LIMITS", (tmp_path / "memory.max", tmp_path / "none"))

    assert xet_module.memory_for_xet() == memory


def test_too_little_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("500000000\n")
    monkeypatch.setattr(xet_module, "LIMITS", (tmp_path / "memory.max",))

    with pytest.raises(HubError, match=r"Xet needs 1\.6 GB of memory.*transport=http"):
        HubClient("xet")
    with HubClient("auto") as client:
        assert client is not None


def test_unknown_transport_is_named() -> None:
    with pytest.raises(HubError, match=r"no transport 'pigeon'\. Choose one of auto, xet, http"):
        HubClient("pigeon")


def test_download_and_stream_take_the_transport(
    hub: Hub, xet: XetStorage, plain_registry: Registry, tmp_path: Path
) -> None:
    hub.publish(REPO, {"model.gguf": CONTENT})

    done = download(REPO, tmp_path / "claim", transport="xet")
    stream(REPO, f"{plain_registry.host}/xet/streamed:1", transport="xet")

    assert (done.directory / "model.gguf").read_bytes() == CONTENT
    # The selection looks at the first bytes of each file; the rest came by Xet.
    assert over_http(hub) <= len(CONTENT) // 100
    with pytest.raises(HubError, match="no transport 'pigeon'"):
        download(REPO, tmp_path / "claim", transport="pigeon")


@NEEDS_SERVER
class TestServer:
    """Xet's own storage server, behind a proxy that breaks it in the middle of a file."""

    @pytest.fixture
    def proxy(self, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
        monkeypatch.setattr(xet_module, "RETRY_SECONDS", 1)
        with xet_server(tmp_path / "xet") as storage, FaultProxy(storage.endpoint.removeprefix("http://")) as proxy:
            storage.add(CONTENT)
            hub.publish(REPO, {FILE: CONTENT})
            self.storage = XetStorage(f"http://{proxy.host}", storage.hashes)
            hub.name_xet(self.storage)
            yield proxy

    @pytest.fixture
    def file(self, proxy: FaultProxy) -> Iterator[HubFile]:
        with HubClient("xet") as client:
            snapshot = client.snapshot(REPO)
            yield client.reader(snapshot, snapshot.by_path[FILE])

    @pytest.mark.parametrize("skip", [0, 1])
    @pytest.mark.parametrize("fault", ["drop", "status", "truncate"])
    def test_what_goes_away_is_made_up_for(self, fault: str, skip: int, proxy: FaultProxy, file: HubFile) -> None:
        options = {"status": {"code": 500}, "truncate": {"after": 1000}}.get(fault, {})
        getattr(proxy, fault)(path="/fetch_term", skip=skip, times=None, **options)

        assert whole(file) == CONTENT

    def test_wrong_bytes_are_found_by_the_hash_of_the_file(
        self, hub: Hub, proxy: FaultProxy, plain_registry: Registry, tmp_path: Path
    ) -> None:
        """`hf_xet` hands on what the storage gave; a download then fetches the file once more, over plain HTTP."""
        hub.publish(REPO, {"model.gguf": CONTENT})
        proxy.corrupt_answer(at=5000, path="/fetch_term", times=None)

        done = download(REPO, tmp_path / "claim", transport="xet")
        with pytest.raises(ModelcarError, match="not what the Hub published"):
            stream(REPO, f"{plain_registry.host}/xet/wrong:1", transport="xet")

        assert (done.directory / "model.gguf").read_bytes() == CONTENT

    def test_token_that_ends_is_fetched_anew(self, hub: Hub, proxy: FaultProxy) -> None:
        """Several reads of one transport, with a token that lasts no longer than one of them."""
        self.storage.token_seconds = 1.0
        proxy.throttle(8_000_000, path="/fetch_term")
        with HubClient("xet") as client:
            snapshot = client.snapshot(REPO)
            for _ in range(2):
                assert whole(client.reader(snapshot, snapshot.by_path[FILE])) == CONTENT

        assert self.storage.tokens_given > 1
        assert over_http(hub) == 0


@pytest.mark.parametrize(
    ("storage", "hub_url", "trusted"),
    [
        ("https://cas.example", "https://hub.example", True),
        ("http://cas.example", "https://hub.example", False),
        ("http://cas.example", "http://hub.example", True),
        ("https://cas.example", "http://hub.example", True),
        ("local:///etc", "http://hub.example", False),
        ("file:///etc", "https://hub.example", False),
        ("", "https://hub.example", False),
    ],
)
def test_storage_is_asked_over_tls_or_as_plainly_as_the_hub(storage: str, hub_url: str, trusted: bool) -> None:
    assert is_trusted(storage, hub_url) == trusted
