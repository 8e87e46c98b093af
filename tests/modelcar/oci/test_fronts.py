"""Real nginx before a real registry: TLS that ends there, time-outs, limits, and clients' certificates."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import certifi
import pytest
import requests

from modelcar import pod
from modelcar.errors import RegistryError
from modelcar.oci import trust
from modelcar.oci.connection import Connection, Scope
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.mirror import mirror
from tests.parts.access_log import read_access_log
from tests.parts.bent_registry import UPLOADS, BentRegistry, error
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.nginx import (
    HARBOR,
    HARBOR_LOCATION,
    INGRESS,
    INGRESS_LOCATION,
    OPENSHIFT_LOCATION,
    free_port,
    nginx_before,
)
from tests.parts.registries import Registry
from tests.parts.steps import stream

MODEL = "example/tiny-llama"

pytestmark = pytest.mark.skipif(
    shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="nginx is not installed (apt install nginx-light)"
)

Front = Callable[..., Registry]


@pytest.fixture
def published(hub: Hub, tmp_path: Path) -> Hub:
    files = tiny_llama(tmp_path / "model", shards=2, consolidated=False)
    hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
    return hub


@pytest.fixture
def front(
    plain_registry: Registry, tmp_path: Path, isolated: Path, request: pytest.FixtureRequest
) -> Iterator[Registry]:
    """Give nginx with TLS before the registry; a marker's options are its own."""
    options = dict(getattr(request, "param", {}))
    with free_port() as port, nginx_before(plain_registry, tmp_path / "nginx", port=port, **options) as registry:
        if registry.ca_file:
            trusted = isolated / "certs.d" / registry.host
            trusted.mkdir(parents=True)
            (trusted / "ca.crt").write_bytes(registry.ca_file.read_bytes())
        yield registry


def test_tls_is_kept_although_the_registry_does_not_know_of_it(published: Hub, front: Registry) -> None:
    """docker-registry names itself with `http` where no X-Forwarded-Proto tells it better."""
    with closing(Connection(front.host, "front/tls")) as connection:
        scope = Scope("front/tls", "pull,push")
        started = connection.request("POST", "/v2/front/tls/blobs/uploads/", scope, {202})
        assert started.headers["Location"].startswith("http://")

    done = stream(MODEL, f"{front.host}/front/tls:1")

    assert mirror(str(done.image), f"{front.host}/front/copied:1").image.digest == done.image.digest


FRONTS = {
    "harbor": {"settings": HARBOR, "location": HARBOR_LOCATION},
    "openshift": {"settings": HARBOR, "location": OPENSHIFT_LOCATION},
    "ingress": {"settings": INGRESS, "location": INGRESS_LOCATION},
    "plain": {"tls": False},
}


@pytest.mark.parametrize("front", FRONTS.values(), indirect=True, ids=FRONTS)
def test_fronts_as_people_have_them(published: Hub, front: Registry, request: pytest.FixtureRequest) -> None:
    """With their limits and time-outs; there and back."""
    name = request.node.callspec.id
    if front.scheme == "http":
        front.host = front.host.replace("localhost", "127.0.0.1")

    done = stream(MODEL, f"{front.host}/front/{name}:1").image

    assert mirror(str(done), f"{front.host}/front/{name}/copy:1").image.digest == done.digest


@pytest.mark.parametrize("front", [{"settings": "client_max_body_size 1m;"}], indirect=True)
def test_small_bodies_alone(published: Hub, front: Registry) -> None:
    """Nginx takes 1 MiB where nobody says otherwise."""
    done = stream(MODEL, f"{front.host}/front/small:1")

    with Repository(Reference.parse(str(done.image))) as repository:
        assert repository.capabilities.max_body == 512 << 10


def test_gateway_that_gives_up(published: Hub, plain_registry: Registry, tmp_path: Path, isolated: Path) -> None:
    """As OpenShift's route after 30 seconds: the registry still commits, and the gateway answers 504."""
    settings = "client_max_body_size 0; proxy_read_timeout 3s;"
    with BentRegistry(plain_registry.host) as slow, free_port() as port:
        slow.delay(6, method="PUT", path="/blobs/uploads/", times=3)
        behind = Registry(slow.host, "http", 0, plain_registry.storage, plain_registry.log, plain_registry.access_log)
        with nginx_before(behind, tmp_path / "nginx", port=port, settings=settings, tls=False) as front:
            host = front.host.replace("localhost", "127.0.0.1")
            assert stream(MODEL, f"{host}/front/late:1").image.digest


@pytest.mark.parametrize("front", [{"clients": True}], indirect=True)
class TestClientCertificates:
    """Fronts that ask for a certificate."""

    def folder(self, isolated: Path, front: Registry) -> Path:
        return isolated / "certs.d" / front.host

    def test_pair_of_certs_d_is_shown(
        self, published: Hub, front: Registry, isolated: Path, tmp_path: Path, log_in: object
    ) -> None:
        folder = self.folder(isolated, front)
        shutil.copy(tmp_path / "nginx" / "client.crt", folder / "client.cert")
        shutil.copy(tmp_path / "nginx" / "client.key", folder / "client.key")

        assert stream(MODEL, f"{front.host}/front/client:1").image.digest

    def test_pair_of_a_secret_is_shown(
        self, published: Hub, front: Registry, isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The Secret that the pipelines mount holds the login, and beside it the pair and the authority."""
        shutil.rmtree(self.folder(isolated, front))
        secret = tmp_path / "secrets" / "registry"
        secret.mkdir(parents=True)
        (secret / ".dockerconfigjson").write_text(json.dumps({"auths": {f"https://{front.host}": {}}}))
        for name in ("ca.crt", "client.cert", "client.key"):
            own = front.ca_file if name == "ca.crt" else tmp_path / "nginx" / name.replace(".cert", ".crt")
            assert own
            shutil.copy(own, secret / name)
        monkeypatch.setattr(pod, "SECRETS", tmp_path / "secrets")

        assert stream(MODEL, f"{front.host}/front/secret:1").image.digest
        done = modelcar("doctor", "--registry", f"{front.host}/front/secret")
        assert done.returncode == 0, done.stdout

    def test_pair_of_another_registrys_secret_is_not_shown(
        self, published: Hub, front: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = tmp_path / "secrets" / "registry"
        secret.mkdir(parents=True)
        (secret / ".dockerconfigjson").write_text(json.dumps({"auths": {"registry.example": {}}}))
        shutil.copy(tmp_path / "nginx" / "client.crt", secret / "client.cert")
        shutil.copy(tmp_path / "nginx" / "client.key", secret / "client.key")
        monkeypatch.setattr(pod, "SECRETS", tmp_path / "secrets")

        with pytest.raises(RegistryError):
            stream(MODEL, f"{front.host}/front/not-ours:1")

    def test_without_one_the_remedy_is_named(self, published: Hub, front: Registry) -> None:
        with pytest.raises(RegistryError) as raised:
            stream(MODEL, f"{front.host}/front/nobody:1")

        assert "400" in str(raised.value) or "client.cert" in str(raised.value)

    def test_half_a_pair_is_named(self, published: Hub, front: Registry, isolated: Path, tmp_path: Path) -> None:
        shutil.copy(tmp_path / "nginx" / "client.crt", self.folder(isolated, front) / "client.cert")

        with pytest.raises(RegistryError, match=r"client\.cert has no key beside it"):
            stream(MODEL, f"{front.host}/front/half:1")


class TestInsecure:
    """Plain HTTP, and certificates that nobody checks: by name, on purpose."""

    @pytest.fixture
    def at_a_name(self, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch) -> str:
        """Give the plain registry at a name that is not loopback's."""
        real, port = socket.getaddrinfo, plain_registry.host.rpartition(":")[2]

        def resolved(host: str, *arguments: object, **options: object) -> object:
            return real("127.0.0.1" if host == "registry.lan" else host, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,registry.lan")
        return f"registry.lan:{port}"

    def conf(self, isolated: Path, text: str) -> Path:
        file = isolated / ".config" / "containers" / "registries.conf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def test_is_refused_unless_named(self, published: Hub, at_a_name: str) -> None:
        with pytest.raises(RegistryError, match=r"does not speak TLS.*insecure=true"):
            stream(MODEL, f"{at_a_name}/lan/model:1")

    @pytest.mark.parametrize(
        "text",
        [
            '[[registry]]\nlocation = "{host}"\ninsecure = true\n',
            '[[registry]]\nprefix = "{host}/lan"\nlocation = "{host}/lan"\ninsecure = true\n',
            '[[registry]]\nprefix = "*.lan"\ninsecure = true\n',
            '[registries.insecure]\nregistries = ["{host}"]\n',
        ],
    )
    def test_named_is_spoken_to(self, text: str, published: Hub, at_a_name: str, isolated: Path) -> None:
        file = self.conf(isolated, text.replace("{host}", at_a_name))

        done = stream(MODEL, f"{at_a_name}/lan/model:1")

        with Repository(done.image) as repository:
            assert repository.scheme == f"plain HTTP, named insecure in {file}"

    def test_another_name_is_not_meant(self, published: Hub, at_a_name: str, isolated: Path) -> None:
        self.conf(isolated, '[[registry]]\nlocation = "other.lan"\ninsecure = true\n')

        with pytest.raises(RegistryError, match="does not speak TLS"):
            stream(MODEL, f"{at_a_name}/lan/model:1")

    @pytest.mark.parametrize("said", ["insecure = false", "", "private-storage = true"])
    def test_the_longest_prefix_counts(self, said: str, published: Hub, at_a_name: str, isolated: Path) -> None:
        """As a whole, as podman has it: what it does not say is not taken from a shorter one."""
        blocks = f'[[registry]]\nprefix = "{at_a_name}"\ninsecure = true\n'
        blocks += f'[[registry]]\nprefix = "{at_a_name}/lan"\nlocation = "{at_a_name}/lan"\n{said}\n'
        self.conf(isolated, blocks)

        with pytest.raises(RegistryError, match="does not speak TLS"):
            stream(MODEL, f"{at_a_name}/lan/model:1")

    @pytest.mark.parametrize("bundle", ["", certifi.where()])
    def test_certificate_that_nobody_checks(
        self, bundle: str, published: Hub, front: Registry, isolated: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither where a bundle is named, as in the pods of OpenShift AI: of requests, that would undo it."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
        monkeypatch.setattr(trust, "CERTIFICATES", ())
        with pytest.raises(RegistryError, match="no trusted TLS connection"):
            stream(MODEL, f"{front.host}/front/unknown:1")
        self.conf(isolated, f'[[registry]]\nlocation = "{front.host}"\ninsecure = true\n')

        done = stream(MODEL, f"{front.host}/front/unknown:1")

        with Repository(done.image) as repository:
            assert repository.scheme.startswith("TLS with a certificate that nobody checks")

    def test_file_that_is_none_is_named(self, published: Hub, at_a_name: str, isolated: Path) -> None:
        file = self.conf(isolated, "[[registry\n")

        with pytest.raises(RegistryError, match=str(file)):
            stream(MODEL, f"{at_a_name}/lan/model:1")


def test_no_password_goes_to_port_80(plain_registry: Registry, published: Hub, front: Registry) -> None:
    """A Location on the same host is taken with TLS; on another it is not followed."""
    answer = requests.Response()
    answer.url = f"https://{front.host}/v2/"
    with closing(Connection(front.host, "front/leak")) as connection:
        for host in (front.host, "localhost"):
            answer.headers["Location"] = f"http://{host}/x"
            assert connection.location(answer) == f"https://{front.host}/x"
        answer.headers["Location"] = "http://elsewhere/x"
        with pytest.raises(RegistryError, match="from TLS to plain HTTP at elsewhere"):
            connection.location(answer)
    assert read_access_log(plain_registry.access_log)


def test_upload_led_to_plain_http_elsewhere(
    published: Hub, plain_registry: Registry, tmp_path: Path, isolated: Path
) -> None:
    with BentRegistry(plain_registry.host) as bent, BentRegistry(plain_registry.host) as other, free_port() as port:
        bent.bend("POST", UPLOADS, lambda answer: answer.with_headers(Location=f"http://{other.host}/v2/x"))
        other.bend(".*", ".", error(500))
        behind = Registry(bent.host, "http", 0, plain_registry.storage, plain_registry.log, plain_registry.access_log)
        with nginx_before(behind, tmp_path / "nginx", port=port) as front:
            trusted = isolated / "certs.d" / front.host
            trusted.mkdir(parents=True)
            assert front.ca_file
            (trusted / "ca.crt").write_bytes(front.ca_file.read_bytes())

            with pytest.raises(RegistryError, match="from TLS to plain HTTP"):
                stream(MODEL, f"{front.host}/front/led:1")

        assert other.requests == []
