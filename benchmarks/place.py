"""Where everything is measured: a claim, a Hub with one model and registries, on loopback and file systems apart."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import requests

from benchmarks import disk
from benchmarks.pod import REPOSITORY, Measurement, Pods
from modelcar.claim.downloads import DIGESTS, open_download, read_snapshot
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from tests.parts.hub import Hub
from tests.parts.models import sparse_model, tiny_llama
from tests.parts.registries import Registry, registry_plain
from tests.parts.steps import PROGRAMS
from tests.parts.xet import XetStorage

MODEL = "example/llama"
GIGABIT = 125_000_000
"""Bytes a second."""
MOST_ON_DISK = 6
"""Times the model: on the claim, what the request's recipe makes of it; else the Hub's and two registries'."""


@dataclass
class Place:
    """Everything that a benchmark needs.

    Attributes:
        claim: A file system of its own.
        servers: Another one, for what the servers keep.
        pods: Runs commands.
        program: The folder that has this project's programs, installed apart, and Python.
        hub_root: Where the Hubs keep what is published.
        hub_url: A Hub that has the model.
        slow_hub_url: The same Hub at the end of a wire of 1 Gbit/s.
        size: Bytes of all files of the model.
    """

    claim: Path
    servers: Path
    pods: Pods
    program: Path
    hub_root: Path
    hub_url: str
    slow_hub_url: str
    size: int

    def python(self, code: str, env: dict[str, str] | None = None) -> Measurement:
        """Runs a line of Python with our package, as a pipeline's step would: start-up and imports count."""
        return self.pods.run([self.program / "python", "-c", code], env)

    @property
    def hub_env(self) -> dict[str, str]:
        """Where the Hub is; plain HTTP, no news from the internet."""
        return hub_env(self.hub_url)

    @property
    def slow_hub_env(self) -> dict[str, str]:
        """The same for the Hub at the end of the wire."""
        return hub_env(self.slow_hub_url)

    @cached_property
    def downloaded(self) -> Path:
        """A finished download on the claim, made when it is first asked for."""
        claim = self.claim / "models"
        self.download_to(claim)
        (record,) = claim.glob(f"*/*/{DOWNLOAD_NOTE}")
        return record.parents[1]

    def stream(self, model: str, *targets: str, hub: str) -> Measurement:
        """Streams a model into one registry, or into two, with our own function."""
        return self._step("stream", hub, [model, *targets])

    def download(self, model: str, claim: Path, *, hub: str, memory: int = 0) -> Measurement:
        """Downloads a model with our own function, with so much memory; 0 for as much as it wants."""
        return self._step("download", hub, [model, str(claim)], memory)

    def download_to(self, claim: Path) -> Measurement:
        """Downloads the model."""
        return self.download(MODEL, claim, hub=self.hub_url)

    def _step(self, name: str, hub: str, arguments: Sequence[str], memory: int = 0) -> Measurement:
        code = f"import sys; from pathlib import Path; {PROGRAMS[name]}"
        return self.pods.run([self.program / "python", "-c", code, *arguments], hub_env(hub), memory)

    @cached_property
    def noted(self) -> bytes:
        """The digests of layers that the download noted, without what builds add to them."""
        return (self.downloaded / DIGESTS).read_bytes()

    def build_to(self, target: str, builder: str, *, noted: bool = True) -> Measurement:
        """Builds the model's image from the finished download and pushes it with our own function.

        Each is a first build: what an earlier one noted beside the download is of no use to it.

        Args:
            target: The image.
            builder: How to build.
            noted: Let it have the digests that the download noted.
        """
        (self.downloaded / DIGESTS).write_bytes(self.noted if noted else b"{}")
        code = "from pathlib import Path; from modelcar.image.request import ImageRequest; "
        code += "from modelcar.steps.build import BuildRequest, build; "
        request = f"directory={str(self.downloaded)!r}, image=ImageRequest({target!r}), builder={builder!r}"
        with open_download(self.downloaded) as found:
            request += f", record_digest={found.record_digest!r}"
        return self.python(f"{code}build(BuildRequest({request}))")

    @contextmanager
    def hub(self, *, rate: float = 0, connection_rate: float = 0, xet: XetStorage | None = None) -> Iterator[str]:
        """A Hub of its own that has the same models; gives its address.

        Args:
            rate: Bytes a second over all connections together; 0 for as fast as it can.
            connection_rate: Bytes a second over each connection; 0 for as fast as it can.
            xet: The Xet storage that has files; None for no such.
        """
        options = [*(("--rate", str(rate)) if rate else ()), "--connection-rate", str(connection_rate)]
        options += ["--xet", json.dumps({"endpoint": xet.endpoint, "hashes": xet.hashes})] if xet else []
        with _hub(self.hub_root, *options) as url:
            yield url

    @contextmanager
    def new_registry(self) -> Iterator[Registry]:
        """A registry that has nothing yet; what it had is gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="registry-", dir=self.servers))
        try:
            with registry_plain(folder) as registry:
                self.settle()
                yield registry
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def new_far_registry(self, rate: float, connection_rate: float) -> Iterator[str]:
        """A registry that has nothing yet, at the far end of a line; gives its host for those who are here.

        Args:
            rate: Bytes a second over all connections together, in each direction.
            connection_rate: Bytes a second over each connection.
        """
        with self.new_registry() as registry:
            command = ["tests.parts.shaping_proxy", registry.host]
            with _serving([*command, "--rate", str(rate), "--connection-rate", str(connection_rate)]) as host:
                yield host

    @contextmanager
    def new_directory(self) -> Iterator[Path]:
        """An empty directory on the claim, removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="work-", dir=self.claim) as folder:
            self.settle()
            yield Path(folder)

    def settle(self) -> None:
        """Lets the disk come to rest before a run."""
        for place in (self.claim, self.servers):
            disk.settle(place)


@contextmanager
def prepared(
    program: Path, size: int, shards: int, *, zeros: bool = False, times_on_disk: int = MOST_ON_DISK
) -> Iterator[Place]:
    """Prepares a place and a model of about so many bytes in so many files; nothing of it is left afterwards.

    Args:
        program: The folder that has this project's programs.
        size: The model's bytes.
        shards: Its files.
        zeros: Let its weights be zeros, which take no room as a source, and let what the servers keep be compressed, so
            that they take none in a registry either.
        times_on_disk: How often its bytes are on the disk, at most.

    Raises:
        SystemExit: The disk is too small.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelcar-benchmark-")))
        room = size // 8 if zeros else times_on_disk * size
        if shutil.disk_usage(folder).free < room:
            raise SystemExit(f"{folder} needs {room >> 30} GiB of room; set TMPDIR to where there is")
        claim = stack.enter_context(disk.ext4(folder / "claim", 8 * size))
        own = disk.compressed if zeros else disk.ext4
        servers = stack.enter_context(own(folder / "servers", 8 * size))
        published = _publish(servers / "hub", size, shards, zeros=zeros)
        url = stack.enter_context(_hub(servers / "hub"))
        slow_url = stack.enter_context(_hub(servers / "hub", "--rate", str(GIGABIT)))
        pods = Pods(servers / "pods", {"claim": claim})
        yield Place(claim, servers, pods, program, servers / "hub", url, slow_url, published)


def check_image(target: str, size: int) -> None:
    """Checks that an image is complete, at least by its layers' sizes: a fast run must not be a failed one.

    Args:
        target: The image, with a tag.
        size: The least number of bytes its layers have.
    """
    reference = Reference.parse(target)
    with Repository(reference) as repository:
        top = repository.manifest(reference.version)
        manifest = repository.manifest(top.index().manifests[0].digest) if top.is_index else top
        layers = manifest.manifest().layers
        there = all(repository.has_blob(layer.digest) for layer in layers)
    if not there or sum(layer.size for layer in layers) < size:
        raise SystemExit(f"{target} is not complete")


def check_files(directory: Path, size: int) -> None:
    """Checks that a directory holds the model, at least by its size."""
    kept = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    if kept < size:
        raise SystemExit(f"{directory} has {kept} of {size} bytes")


def published(place: Place, model: str) -> dict[str, int]:
    """Returns a model's files on the Hub and their bytes."""
    repository = Hub(place.hub_root).store.load(model)
    assert repository
    return {name: file.size for name, file in repository.commits[repository.branches["main"]].files.items()}


def size_of(place: Place, model: str, names: Sequence[str] = ()) -> int:
    """Returns the bytes of a model's files on the Hub; of some, where they are named."""
    return sum(size for name, size in published(place, model).items() if not names or name in names)


def files(directory: Path) -> list[str]:
    """The model's files in a finished download."""
    return [file.path for file in read_snapshot(directory).files]


def _publish(root: Path, size: int, shards: int, *, zeros: bool) -> int:
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        if zeros:
            model = sparse_model(Path(folder), shards, size // shards)
        else:
            # The shards alone: both sides of each figure then move the same bytes whatever they choose.
            model = tiny_llama(Path(folder), shards=shards, bytes_per_shard=size // shards, consolidated=False)
        Hub(root).publish(MODEL, model)
        return sum(path.stat().st_size for path in model.iterdir())


def hub_env(hub_url: str) -> dict[str, str]:
    """Variables that lead to a Hub: plain HTTP, no news from the internet."""
    return {"HF_ENDPOINT": hub_url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}


@contextmanager
def _hub(root: Path, *options: str) -> Iterator[str]:
    with _serving(["tests.parts.hub", "--root", str(root), *options]) as url:
        requests.get(f"{url}/api/models/{MODEL}", timeout=30).raise_for_status()
        yield url


@contextmanager
def _serving(module: Sequence[str]) -> Iterator[str]:
    """Runs a module, with its arguments, that prints where it serves."""
    # It ends when its standard input does, so also when this process is killed.
    with subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
