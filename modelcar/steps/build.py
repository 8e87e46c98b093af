"""Makes an image of a downloaded model and puts it into a registry."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from modelcar.claim.downloads import Download, open_download
from modelcar.claim.scratch import scratch
from modelcar.claim.space import check_space, claim_errors
from modelcar.errors import BuildError
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.image import buildah, layer_digests, layout, proof, recipe
from modelcar.image import builder as builder_module
from modelcar.image.annotations import describe
from modelcar.image.base_image import open_base_image
from modelcar.image.builder import BUILDERS, BuilderName
from modelcar.image.default_target import target_for
from modelcar.image.manifest import ModelLayer
from modelcar.image.push import Target, publish
from modelcar.image.send import describe_layer, send_layers
from modelcar.oci.reference import Reference
from modelcar.oci.tar_writer import Layer
from modelcar.progress import Progress


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
    max_layer_size: int = layout.MAX_LAYER_SIZE,
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
        if_exists: `update`, `replace` or `refuse` a tag that holds something else (modelcar.image.tag_policy).

    Raises:
        BuildError: A file is too large for a layer, or the builder failed.
        ClaimError: The claim is too small or read-only.
        RegistryError: The registry is unreachable or refused.
        TagError: The tag holds something that may not be replaced.
        WrongBytesError: A file on the claim is not what the Hub published.
    """
    if builder not in BUILDERS:
        raise BuildError(f"there is no builder {builder!r}", f"Choose one of {', '.join(BUILDERS)}")
    with open_download(directory) as found:
        return _build(found, target, base_image, builder, max_layer_size, if_exists)


def _build(
    found: Download, target: str, base_image: str, builder: BuilderName, max_layer_size: int, if_exists: str
) -> Built:
    snapshot, directory = found.snapshot, found.folder.path
    goal = Reference.parse_target(target) if target else target_for(snapshot)
    parts = layout.part(snapshot, layout.on_disk(found.folder), max_layer_size)
    base = open_base_image(base_image)
    place = Target(goal, describe(snapshot, recipe.recipe(parts, base.digest, snapshot)), if_exists)
    with place.repository:
        if place.unchanged:
            place.sign_unchanged(base, snapshot)
            print(f"{goal} already holds commit {snapshot.commit}; nothing to do")
            return Built(place.unchanged, len(parts), 0, unchanged=True)
        with claim_errors(directory):
            found.check_sizes()
        print(f"{len(parts)} layers for {goal}, on {base.name}", flush=True)
        if builder == "direct" or (
            builder == "auto" and not (builder_module.is_there() and builder_module.may_run_here())
        ):
            placed, sent = send_layers(
                "build", base, parts, snapshot, [place], proved=layer_digests.read_digests(found.folder)
            )
        else:
            placed, sent = _build_with_buildah(place, found, parts)
            send_layers("base", base, (), snapshot, [place])
        noted = layer_digests.read_digests(found.folder)
        layer_digests.write_digests(found.folder, noted | {layer.key: layer.descriptor.digest for layer in placed})
        (image,) = publish([place], base, placed, snapshot)
        return Built(image, len(parts), sent, unchanged=False)


def _build_with_buildah(target: Target, found: Download, parts: list[Layer]) -> tuple[list[ModelLayer], int]:
    """Has buildah make and push the layers, one after the other, for each takes its size in scratch space.

    Finished layers are noted in the registry: many remove what no tag leads to after an hour, and builds take longer.
    """
    snapshot, repository = found.snapshot, target.repository
    with (
        found.folder.below(str(DOWNLOAD_NOTE.parent)) as ours,
        scratch(ours) as place,
        claim_errors(found.folder.path),
    ):
        linked = all(buildah.links(layer, place) for layer in parts)
        room = max(layer.size for layer in parts) * (1 if linked else 2)
        check_space(place, room, "Enlarge it, or choose builder=direct, which needs no room")
        process = buildah.Buildah(place)
        proved = layer_digests.read_digests(found.folder)
        target.known()

        def ready(layer: Layer) -> tuple[str, bool, buildah.Container | None]:
            digest = proved.get(recipe.key(layer, snapshot)) or proof.digest(layer, snapshot)
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
                        proof.check_noted(layer, snapshot, digest)
                        raise
                    target.note(placed[-1])
                    sent += layer.size
            except BaseException:
                ahead.shutdown(wait=False, cancel_futures=True)
                raise
    return placed, sent
