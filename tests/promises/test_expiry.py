"""What ends while bytes are under way: the Hub's signed links, bearer tokens, a pod's token. The run goes on."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import requests

from modelcar import pod
from modelcar.errors import HubError
from modelcar.hub.reader import MAX_CHUNK_BYTES
from modelcar.oci.parallel import WORKERS
from tests.conftest import LogIn
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry, registry_with_basic_auth, registry_with_token_auth
from tests.parts.steps import build, download, stream

MODEL = "example/expiry"
CHUNK = MAX_CHUNK_BYTES
LINK_SECONDS, TOKEN_SECONDS = 0.5, 1


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_llama(tmp_path / "model", shards=2, bytes_per_shard=3 * CHUNK // 2, consolidated=False)


@pytest.fixture
def fronted(hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FaultProxy, FaultProxy]]:
    """Give proxies before a Hub and before the storage that it sends clients to, by links that end."""
    hub.publish(MODEL, model)
    hub.end_links(LINK_SECONDS)
    storage = hub.storage
    with FaultProxy(storage) as cdn, FaultProxy(hub.url.removeprefix("http://"), {storage: cdn.host}) as front:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{front.host}")
        yield front, cdn


def links_asked_for(front: FaultProxy) -> int:
    return sum(request.path.endswith(".safetensors") for request in front.requests)


def test_download_asks_for_a_new_link(fronted: tuple[FaultProxy, FaultProxy], model: Path, tmp_path: Path) -> None:
    """Connections break after the link has ended: the client's own attempts, by the same link, are refused."""
    front, cdn = fronted
    cdn.throttle(1.2 * CHUNK, method="GET", times=2)
    cdn.reset_answer(after=CHUNK + 1000, method="GET", times=2)

    done = download(MODEL, tmp_path / "claim")

    for file in done.snapshot.files:
        assert (done.directory / file.path).read_bytes() == (model / file.path).read_bytes()
    assert links_asked_for(front) > 2
    assert [request.range for request in cdn.requests if request.range], "it began anew"


def test_stream_asks_for_a_new_link(fronted: tuple[FaultProxy, FaultProxy], plain_registry: Registry) -> None:
    front, cdn = fronted
    cdn.delay(3 * LINK_SECONDS, method="GET", times=1)
    cdn.throttle(1.2 * CHUNK, method="GET", times=2)
    cdn.reset_answer(after=CHUNK + 1000, method="GET", times=2)

    assert stream(MODEL, f"{plain_registry.host}/expiry/links:1").read_bytes > 2 * CHUNK

    assert links_asked_for(front) > 2


@pytest.mark.parametrize("way", ["download", "stream"])
def test_storage_that_refuses_every_link_is_named(
    way: str,
    fronted: tuple[FaultProxy, FaultProxy],
    plain_registry: Registry,
    tmp_path: Path,
    waits: list[float],
) -> None:
    _, cdn = fronted
    cdn.status(403, method="GET", times=None)

    def run() -> object:
        if way == "download":
            return download(MODEL, tmp_path / "claim")
        return stream(MODEL, f"{plain_registry.host}/expiry/refused:1")

    said = rf"rejected the Hub's signed link to {MODEL}/[\w.-]+ \(403\): it has expired\. Check the clock"
    with pytest.raises(HubError, match=said):
        run()


def test_bearer_tokens_end_several_times_in_a_stream_into_two_registries(
    hub: Hub, model: Path, plain_registry: Registry, tmp_path: Path, log_in: LogIn
) -> None:
    hub.publish(MODEL, model)
    with (
        registry_with_token_auth(tmp_path / "registry", TOKEN_SECONDS, tls=False) as registry,
        FaultProxy(registry.host) as proxy,
    ):
        log_in(replace(registry, host=proxy.host))
        proxy.throttle(CHUNK * 3 // 4, method="PATCH")
        # A connection that breaks after the token has ended, so that its end is felt.
        proxy.reset(after=CHUNK + 1000, least=CHUNK, method="PATCH")

        done = stream(MODEL, f"{proxy.host}/expiry/tokens:1", mirror=f"{plain_registry.host}/expiry/tokens:1")

        assert done.mirrored is not None
        assert done.image.digest == done.mirrored.digest
        assert registry.tokens_issued >= 3


def test_token_of_the_service_account_rotates_in_the_middle_of_a_build(
    hub: Hub, model: Path, isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenShift's registry refuses the old one at once; each request reads the file."""
    hub.publish(MODEL, model)
    directory = download(MODEL, tmp_path / "claim").directory
    with registry_with_basic_auth(tmp_path / "registry") as registry, FaultProxy(registry.host) as proxy:
        account = isolated / "serviceaccount"
        account.mkdir()
        monkeypatch.setattr(pod, "OPENSHIFT_REGISTRY", "127.0.0.1")
        monkeypatch.setattr("tests.parts.registries.USERNAME", "serviceaccount")
        arrivals, one_at_a_time = count(1), threading.Lock()

        def rotate() -> None:
            registry.rotate()
            new = account / "new"
            new.write_text(f"{registry.password}\n")
            new.replace(account / "token")

        def rotate_now_and_then() -> None:
            with one_at_a_time:
                # Not twice within a request that is refused and sent again, however many are on the way.
                if next(arrivals) % (2 * WORKERS + 1) == 0:
                    rotate()

        rotate()
        proxy.arrived = rotate_now_and_then

        assert build(directory, f"{proxy.host}/expiry/rotated:1", builder="direct").image.digest

        refused = [request for request in registry.requests() if request.status == requests.codes.unauthorized]
        assert len(refused) > 2
