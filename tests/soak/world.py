"""The real parts that the steps run against, each behind a proxy that can break what passes."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import requests

from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer, model_registry
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry, TokenAuthRegistry, auth_file, registry_plain, registry_with_token_auth
from tests.soak import images
from tests.soak.steps import Attempt

MODEL = "example/soak"
SHARDS, SHARD_BYTES = 3, 1_200_000
TOKEN_SECONDS = 2
TOKEN_SECONDS_OF_BUILDAH = 300
"""It takes each token to last a minute at least (containers/image, minimumTokenLifetimeSeconds)."""

DISK_MEGABYTES = 160
OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class World:
    """All parts.

    Attributes:
        hub: The Hub.
        proxies: What clients reach the parts through, by name.
        target: The registry that images are made in; it wants tokens, which end after seconds.
        reader: The same for tests: it lets everyone in.
        mirror: The registry that images are copied to.
        models: The Model Registry.
        disks: File systems that can be full, by name.
        environment: Variables with which steps reach all of it.
        folder: For logs.
        commit: The model's commit.
        old: Digest of the image of the commit before it.
        new: Digest of the image of it.
        layers: Digests of all layers that an image of either may name.
    """

    hub: Hub
    proxies: Mapping[str, FaultProxy]
    target: TokenAuthRegistry
    reader: Registry
    mirror: Registry
    models: ModelRegistryServer
    disks: Mapping[str, Path]
    environment: Mapping[str, str]
    folder: Path
    commit: str = ""
    old: str = ""
    new: str = ""
    layers: frozenset[str] = frozenset()
    files: dict[str, bytes] = field(default_factory=dict)

    def let_tokens_last(self, seconds: float) -> None:
        """Says how long the tokens last that the target's clients get from now on."""
        assert self.target.token_server
        self.target.token_server.lifetime = seconds

    def image(self, proxy: str, name: str) -> str:
        """An image's reference as steps see it."""
        return f"{self.proxies[proxy].host}/{name}"

    def seen(self, proxy: str, name: str) -> str:
        """The same image as tests see it."""
        return f"{(self.reader if proxy == 'target' else self.mirror).host}/{name}"

    def storage(self, proxy: str) -> Path:
        """Where a registry keeps its repositories."""
        return (self.target if proxy == "target" else self.mirror).storage / "docker/registry/v2"

    def put(self, proxy: str, digest: str, repository: str) -> None:
        """Puts one of the two images under the tag 1 of a repository, without any of the code under test."""
        source = "made/old" if digest == self.old else "made/new"
        host = self.seen(proxy, "").rstrip("/")
        images.copy_within(host, source, repository, digest)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Starts all parts, and publishes a model of two commits."""
    with ExitStack() as stack:
        disks = {
            name: stack.enter_context(tmpfs(folder / name, DISK_MEGABYTES)) for name in ("claim", "target", "mirror")
        }
        hub = stack.enter_context(Hub(folder / "hub"))
        target = stack.enter_context(
            registry_with_token_auth(
                folder / "target-registry", TOKEN_SECONDS, tls=False, storage=disks["target"] / "storage"
            )
        )
        reader = stack.enter_context(registry_plain(folder / "reader", disks["target"] / "storage"))
        mirror = stack.enter_context(registry_plain(folder / "mirror-registry", disks["mirror"] / "storage"))
        models = stack.enter_context(model_registry(folder / "models"))
        cdn_host = hub.storage
        cdn = stack.enter_context(FaultProxy(cdn_host))
        hub_proxy = FaultProxy(hub.url.removeprefix("http://"), {cdn_host: cdn.host})
        proxies = {
            "hub": stack.enter_context(hub_proxy),
            "cdn": cdn,
            "target": stack.enter_context(FaultProxy(target.host)),
            "mirror": stack.enter_context(FaultProxy(mirror.host)),
            "model_registry": stack.enter_context(FaultProxy(models.url.removeprefix("http://"))),
        }
        logins = auth_file(folder / "auth.json", replace(target, host=proxies["target"].host))
        environment = {
            "HOME": str(folder),
            "HF_ENDPOINT": f"http://{proxies['hub'].host}",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "REGISTRY_AUTH_FILE": str(logins),
            "SSL_CERT_FILE": str(target.ca_file),
            "NO_PROXY": "127.0.0.1,localhost",
        }
        made = World(hub, proxies, target, reader, mirror, models, disks, environment, folder / "runs")
        _publish(made, folder)
        yield made


def _publish(made: World, folder: Path) -> None:
    """Publishes two commits, and makes both images, undisturbed, in both registries."""
    model = tiny_llama(folder / "model", shards=SHARDS, bytes_per_shard=SHARD_BYTES, consolidated=False)
    files = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    found: list[str] = []
    layers: set[str] = set()
    for name, date, notes in (("old", OLD, b"1"), ("new", NEW, b"2" * 100_000)):
        made.files = {**files, "notes.txt": notes}
        made.commit = made.hub.publish(MODEL, made.files, date=date)
        arguments = {"model": MODEL, "target": made.image("target", f"made/{name}:1")}
        arguments["mirror"] = made.image("mirror", f"made/{name}:1")
        done = Attempt("stream", arguments, made.environment, made.folder / name).outcome(60)
        assert done.kind == "finished", done
        found.append(done.result.strip('"'))
        layers |= images.layers_of(made.seen("target", f"made/{name}:1"))
    made.files.pop(".gitattributes", None)
    made.old, made.new = found
    made.layers = frozenset(layers)


@contextmanager
def tmpfs(place: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Takes all room that a disk has left, until the context is left."""
    ballast = disk / "ballast"
    try:
        with suppress(OSError), ballast.open("wb") as file:
            while True:
                free = shutil.disk_usage(disk).free
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), max(free, 4096))
                file.seek(0, os.SEEK_END)
                if not free:
                    break
        yield
    finally:
        ballast.unlink(missing_ok=True)


def entries(server: ModelRegistryServer, name: str) -> list[list[dict[str, object]]]:
    """What a Model Registry has under a model's name: models, versions and artifacts."""

    def get(path: str) -> list[dict[str, object]]:
        url = f"{server.url}/api/model_registry/v1alpha3/{path}"
        answer = requests.get(url, params={"pageSize": "1000"}, timeout=600)
        answer.raise_for_status()
        return list(answer.json()["items"])

    # The server has no question for a name that may be in use several times.
    models = [model for model in get("registered_models") if model["name"] == name]
    versions = [version for model in models for version in get(f"registered_models/{model['id']}/versions")]
    artifacts = [artifact for version in versions for artifact in get(f"model_versions/{version['id']}/artifacts")]
    return [models, versions, artifacts]
