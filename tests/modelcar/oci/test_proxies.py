"""Between this machine and registries and the Hub stands a proxy, as companies have one."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import close_session

from modelcar.errors import HubError, ModelcarError, RegistryError, RegistryUnwellError
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.mirror import mirror
from tests.conftest import LogIn
from tests.parts.forward_proxy import ForwardProxy, forward_proxy
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry, TokenAuthRegistry
from tests.parts.steps import stream

MODEL = "example/behind-a-proxy"
USER, PASSWORD = "clerk", "hush-hush"
IN_CLUSTER = "registry.models.svc:5000"

Use = Callable[[str], None]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForwardProxy]:
    with forward_proxy(tmp_path_factory.mktemp("proxy"), f"{USER}:{PASSWORD}") as proxy:
        yield proxy


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Give a function that sends everything, loopback included, through a proxy."""

    def used(url: str) -> None:
        for name in ("HTTPS_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, url)
        monkeypatch.setenv("NO_PROXY", "")
        # The Hub's client reads the settings once in its life.
        close_session()

    yield used
    close_session()


def passed(proxy: ForwardProxy, *hosts: str) -> bool:
    """Whether connections to hosts went through a proxy; it tells when they end."""
    deadline = time.monotonic() + 600
    while not proxy.hosts().issuperset(hosts) and time.monotonic() < deadline:
        time.sleep(0.05)
    return proxy.hosts().issuperset(hosts)


def ask(host: str) -> None:
    with Repository(Reference.parse(f"{host}/proxies/asked:1")) as repository:
        repository.find_manifest("1")


def failure(work: Callable[[], object]) -> ModelcarError:
    with pytest.raises(ModelcarError) as raised:
        work()
    assert "\n" not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    return raised.value


def test_everything_goes_through_the_proxy(
    proxy: ForwardProxy,
    use: Use,
    hub: Hub,
    token_registry: TokenAuthRegistry,
    plain_registry: Registry,
    log_in: LogIn,
    tmp_path: Path,
) -> None:
    hub.publish(MODEL, tiny_llama(tmp_path / "model", shards=2, consolidated=False))
    log_in(token_registry)
    use(proxy.url)

    streamed = stream(MODEL, f"{token_registry.host}/proxies/streamed:1").image
    mirrored = mirror(str(streamed), f"{plain_registry.host}/proxies/mirrored:1").image
    close_session()

    assert token_registry.token_server
    assert mirrored.digest == streamed.digest
    assert passed(proxy, token_registry.host, urlsplit(token_registry.token_server.realm).netloc)
    assert passed(proxy, plain_registry.host, urlsplit(hub.url).netloc)


def test_authority_from_certs_d_is_trusted_through_the_proxy(
    proxy: ForwardProxy,
    use: Use,
    token_registry: TokenAuthRegistry,
    log_in: LogIn,
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log_in(token_registry)
    monkeypatch.delenv("SSL_CERT_FILE")
    use(proxy.url)
    assert "no trusted TLS connection" in str(failure(lambda: ask(token_registry.host)))
    assert token_registry.token_server
    assert token_registry.ca_file
    folder = isolated / "certs.d" / token_registry.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(token_registry.ca_file.read_bytes())

    ask(token_registry.host)


def test_hosts_that_need_no_proxy_are_reached_without_it(
    use: Use, plain_registry: Registry, hub: Hub, tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(MODEL, tiny_llama(tmp_path / "model", shards=1, consolidated=False))
    use(f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,.svc")

    assert stream(MODEL, f"{plain_registry.host}/proxies/direct:1").image.digest


def test_names_of_the_cluster_need_no_proxy(
    proxy: ForwardProxy, use: Use, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no such name here: who fails to find it tells who was asked for it."""
    use(proxy.url)
    assert f"the proxy {proxy.address} does not connect us to {IN_CLUSTER}" in str(failure(lambda: ask(IN_CLUSTER)))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,.svc,.cluster.local")

    assert f"cannot reach the registry {IN_CLUSTER}" in str(failure(lambda: ask(IN_CLUSTER)))


@pytest.mark.parametrize("credentials", ["", f"{USER}:wrong@"])
def test_refusal_names_the_settings_at_once(
    credentials: str, proxy: ForwardProxy, use: Use, token_registry: TokenAuthRegistry, waits: list[float]
) -> None:
    use(f"http://{credentials}{proxy.address}")

    error = failure(lambda: ask(token_registry.host))

    assert isinstance(error, RegistryError)
    assert f"the proxy {proxy.address} does not connect us to {token_registry.host}: " in str(error)
    assert "407 Proxy Authentication Required" in str(error)
    assert "Check HTTPS_PROXY (http://user:password@host:port)" in str(error)
    assert "export NO_PROXY=$NO_PROXY,localhost" in str(error)
    assert waits == []


def test_dead_proxy_is_tried_again_and_named(
    use: Use, token_registry: TokenAuthRegistry, closed_port: int, waits: list[float]
) -> None:
    use(f"http://{USER}:{PASSWORD}@127.0.0.1:{closed_port}")

    error = failure(lambda: ask(token_registry.host))

    assert isinstance(error, RegistryUnwellError)
    assert f"the proxy 127.0.0.1:{closed_port} does not connect us" in str(error)
    assert waits


def test_hub_behind_a_proxy_that_refuses(
    proxy: ForwardProxy, use: Use, plain_registry: Registry, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    use(f"http://{proxy.address}")

    error = failure(lambda: stream(MODEL, f"{plain_registry.host}/proxies/refused:1"))

    assert isinstance(error, HubError)
    assert "https://hub.example" in str(error)
    assert "407" in str(error)
    assert "proxy settings" in str(error)
