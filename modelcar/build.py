"""Makes an image of a downloaded model and puts it into a registry."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelcar import buildah, layers
from modelcar.annotations import describe
from modelcar.claim import check_space, claim_errors, scratch
from modelcar.default_target import target_for
from modelcar.errors import BuildError
from modelcar.oci.base_image import open_base_image
from modelcar.oci.image import ModelLayer
from modelcar.oci.layer import Layer
from modelcar.oci.reference import Reference
from modelcar.progress import Progress
from modelcar.snapshot import RECORD, Snapshot
from modelcar.target import Target, describe_layer, publish, send_layers

BuilderName = Literal["auto", "buildah", "direct"]
BUILDERS: tuple[BuilderName, ...] = ("auto", "buildah", "direct")


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


def build(
    directory: Path,
    target: str,
    *,
    base_image: str = "",
    builder: BuilderName = "auto",
    max_layer_size: int = layers.MAX_LAYER_SIZE,
    if_exists: str = "update",
) -> Built:
    """Builds the image of a downloaded model and pushes it; the tag is written last.

    The same commit gives the same image, to the digest, on any machine, on any day and with either builder.

    Args:
        directory: A finished download.
        target: Where to put the image, `registry/repository:tag`; empty, in a pod, for OpenShift's own registry.
        base_image: The image under the model; empty for the one that KServe's modelcars need.
        builder: `buildah`; `direct`, which streams the files into the registry without any builder and without scratch
            space; or `auto`: buildah where there is one and it may work.
        max_layer_size: The largest layer that the registry takes, in bytes.
        if_exists: `update`, `replace` or `refuse` a tag that holds something else (modelcar.if_exists).

    Raises:
        BuildError: A file is too large for a layer, or the builder failed.
        ClaimError: The claim is too small or read-only.
        RegistryError: The registry is unreachable or refused.
        TagError: The tag holds something that may not be replaced.
        WrongBytesError: A file on the claim is not what the Hub published.
    """
    if builder not in BUILDERS:
        raise BuildError(f"there is no builder {builder!r}", f"Choose one of {', '.join(BUILDERS)}")
    snapshot = Snapshot.read(directory)
    goal = Reference.parse_target(target) if target else target_for(snapshot)
    parts = layers.part(snapshot, layers.on_disk(directory), max_layer_size)
    base = open_base_image(base_image)
    place = Target(goal, describe(snapshot, layers.recipe(parts, base.digest, snapshot)), if_exists)
    with place.repository:
        if place.unchanged:
            place.sign_unchanged(base, snapshot)
            print(f"{goal} already holds commit {snapshot.commit}; nothing to do")
            return Built(place.unchanged, len(parts), 0, unchanged=True)
        with claim_errors(directory):
            snapshot.check_sizes(directory)
        print(f"{len(parts)} layers for {goal}, on {base.name}", flush=True)
        if builder == "direct" or (builder == "auto" and not (buildah.is_there() and buildah.may_run_here())):
            placed, sent = send_layers("build", base, parts, snapshot, [place], proved=layers.read_digests(directory))
        else:
            placed, sent = _build_with_buildah(place, directory, parts, snapshot)
            send_layers("base", base, (), snapshot, [place])
        layers.write_digests(directory, {layer.key: layer.descriptor.digest for layer in placed})
        (image,) = publish([place], base, placed, snapshot)
        return Built(image, len(parts), sent, unchanged=False)


def _build_with_buildah(
    target: Target, directory: Path, parts: list[Layer], snapshot: Snapshot
) -> tuple[list[ModelLayer], int]:
    """Has buildah make and push the layers, one after the other, for each takes its size in scratch space.

    Finished layers are noted in the registry: many remove what no tag leads to after an hour, and builds take longer.
    """
    repository = target.repository
    with scratch(directory / RECORD.parent) as place, claim_errors(directory):
        linked = all(buildah.links(layer, place) for layer in parts)
        room = max(layer.size for layer in parts) * (1 if linked else 2)
        check_space(place, room, "Enlarge it, or choose builder=direct, which needs no room")
        process = buildah.Buildah(place)
        proved = layers.read_digests(directory)
        target.known()

        def ready(layer: Layer) -> tuple[str, bool, buildah.Container | None]:
            digest = proved.get(layers.key(layer, snapshot)) or layers.digest(layer, snapshot)
            there = repository.has_blob(digest)
            return digest, there, process.prepare(layer) if linked and not there else None

        placed: list[ModelLayer] = []
        sent = 0
        # One thread hashes and prepares ahead, while buildah commits the layer before.
        with Progress("build", sum(layer.size for layer in parts)) as progress, ThreadPoolExecutor(1) as ahead:
            try:
                for layer, (digest, there, container) in zip(parts, ahead.map(ready, parts), strict=True):
                    placed.append(describe_layer(layer, digest, snapshot))
                    if there:
                        progress.advance(layer.size)
                        continue
                    try:
                        process.put_layer(
                            container or process.prepare(layer),
                            layer,
                            digest,
                            repository.reference,
                            plain_http=repository.plain_http,
                            count=progress.advance,
                        )
                    except BuildError:
                        layers.check_noted(layer, snapshot, digest)
                        raise
                    target.note(placed[-1])
                    sent += layer.size
            except BaseException:
                ahead.shutdown(wait=False, cancel_futures=True)
                raise
    return placed, sent
