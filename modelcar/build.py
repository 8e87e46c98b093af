"""Makes an image of a downloaded model and puts it into a registry."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from modelcar import buildah, layers
from modelcar.annotations import RECIPE, describe
from modelcar.claim import check_space, claim_errors, scratch
from modelcar.default_target import target_for
from modelcar.errors import BuildError, WrongBytesError
from modelcar.oci import spec
from modelcar.oci.base_image import open_base_image
from modelcar.oci.image import ModelLayer, write_image
from modelcar.oci.layer import Layer
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.progress import Progress
from modelcar.snapshot import RECORD, Snapshot

BuilderName = Literal["auto", "buildah", "direct"]
BUILDERS: tuple[BuilderName, ...] = ("auto", "buildah", "direct")
PARALLEL_UPLOADS = 4


@dataclass(frozen=True)
class Built:
    """An image of a model.

    Attributes:
        image: The image, pinned to its digest.
        layer_count: How many layers the model has, without the base's.
        sent_bytes: Bytes of layers that were sent; what the registry had is not counted.
        unchanged: Whether the tag already held this very image.
    """

    image: Reference
    layer_count: int
    sent_bytes: int
    unchanged: bool


class _Builder(Protocol):
    """Brings one layer into the target's repository."""

    parallel: int

    def put(self, layer: Layer, digest: str, progress: Progress) -> None: ...


def build(
    directory: Path,
    target: str,
    *,
    base_image: str = "",
    builder: BuilderName = "auto",
    max_layer_size: int = layers.MAX_LAYER_SIZE,
) -> Built:
    """Builds the image of a downloaded model and pushes it; the tag is written last.

    The same commit gives the same image, to the digest, on any machine, on any day and with either builder.

    Args:
        directory: A finished download.
        target: Where to put the image, `registry/repository:tag`; empty, in a pod, for OpenShift's own registry.
        base_image: The image under the model; empty for the one that KServe's modelcars need.
        builder: `buildah`; `direct`, which streams the files into the registry without any builder and without scratch
            space; or `auto`: buildah where there is one.
        max_layer_size: The largest layer that the registry takes, in bytes.

    Raises:
        BuildError: A file is too large for a layer, or the builder failed.
        ClaimError: The claim is too small or read-only.
        RegistryError: The registry is unreachable or refused.
        WrongBytesError: A file on the claim is not what the Hub published.
    """
    if builder not in BUILDERS:
        raise BuildError(f"there is no builder {builder!r}", f"Choose one of {', '.join(BUILDERS)}")
    snapshot = Snapshot.read(directory)
    goal = Reference.parse_target(target) if target else target_for(snapshot)
    parts = layers.part(snapshot, directory, max_layer_size)
    base = open_base_image(base_image)
    wanted = describe(snapshot, layers.recipe(parts, base.digest, snapshot))
    with Repository(goal, push=True) as repository:
        existing = _digest_of_same(repository, goal.tag, wanted)
        if existing:
            print(f"{goal} already holds commit {snapshot.commit}; nothing to do")
            return Built(goal.at(existing), len(parts), 0, unchanged=True)
        print(f"{len(parts)} layers for {goal}, on {base.name}", flush=True)
        with _builder(builder, repository, directory, parts) as chosen:
            placed, sent = _place(repository, chosen, parts, snapshot)
        written = write_image(repository, base, placed, wanted, goal.tag)
        arrived = repository.manifest(goal.tag).digest
        if arrived != written.digest:
            raise WrongBytesError(f"{goal} is {arrived}, not {written.digest}", "Did another run write this tag?")
    return Built(goal.at(written.digest), len(parts), sent, unchanged=False)


def _digest_of_same(repository: Repository, tag: str, wanted: dict[str, str]) -> str:
    """The digest of what the tag holds, if that is the image that would be built; else empty."""
    stored = repository.find_manifest(tag)
    if stored is None:
        return ""
    found = stored.annotations()
    same = all(found.get(key) == wanted[key] for key in (spec.REVISION, RECIPE))
    return stored.digest if same else ""


@contextmanager
def _builder(name: BuilderName, repository: Repository, directory: Path, parts: list[Layer]) -> Iterator[_Builder]:
    if name == "direct" or (name == "auto" and not buildah.is_there()):
        yield _Direct(repository)
        return
    with scratch(directory / RECORD.parent) as place, claim_errors(directory):
        # buildah keeps one layer at a time beside the weights, as a temporary file.
        check_space(
            place, max(layer.size for layer in parts), "Enlarge it, or choose builder=direct, which needs no room"
        )
        yield _Buildah(buildah.Buildah(place), repository)


class _Direct:
    """Streams a layer's files into the registry."""

    parallel = PARALLEL_UPLOADS

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def put(self, layer: Layer, digest: str, progress: Progress) -> None:
        self._repository.put_blob(digest, layer.size, lambda: progress.watch(layer.chunks()))


class _Buildah:
    """Has buildah make and push a layer: one at a time, for each takes its size in scratch space."""

    parallel = 1

    def __init__(self, process: buildah.Buildah, repository: Repository) -> None:
        self._process = process
        self._repository = repository

    def put(self, layer: Layer, digest: str, progress: Progress) -> None:
        plain_http = self._repository.plain_http
        self._process.put_layer(
            layer, digest, self._repository.reference, plain_http=plain_http, count=progress.advance
        )


def _place(
    repository: Repository, builder: _Builder, parts: list[Layer], snapshot: Snapshot
) -> tuple[list[ModelLayer], int]:
    """Makes sure that every layer is in the repository; gives them with their digests, and the bytes sent."""
    placed: list[ModelLayer] = []
    jobs: list[Future[int]] = []
    with (
        Progress("build", sum(layer.size for layer in parts)) as progress,
        ThreadPoolExecutor(builder.parallel) as pool,
        # One thread hashes ahead while the builder works on the layer before.
        ThreadPoolExecutor(1) as hashing,
    ):
        try:
            for layer, digest in zip(
                parts, hashing.map(lambda layer: layers.digest(layer, snapshot), parts), strict=True
            ):
                descriptor = spec.descriptor(spec.LAYER, digest, layer.size)
                placed.append(ModelLayer(descriptor, layer.title))
                jobs.append(pool.submit(_ensure, repository, builder, layer, digest, progress))
                for job in jobs:
                    if job.done():
                        job.result()
            sent = sum(job.result() for job in jobs)
        except BaseException:
            hashing.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return placed, sent


def _ensure(repository: Repository, builder: _Builder, layer: Layer, digest: str, progress: Progress) -> int:
    if repository.has_blob(digest):
        progress.advance(layer.size)
        return 0
    builder.put(layer, digest, progress)
    return layer.size
