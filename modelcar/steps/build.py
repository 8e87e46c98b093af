"""Makes an image of a downloaded model and puts it into a registry."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelcar.claim.downloads import Download, open_download
from modelcar.claim.scratch import scratch
from modelcar.claim.space import check_space, claim_errors
from modelcar.errors import BuildError
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.image import buildah, layer_digests, layout, proof
from modelcar.image.base_contents import examine_base
from modelcar.image.builder import uses_buildah
from modelcar.image.model_image import ModelImage, describe_layer
from modelcar.image.push import Push, publish
from modelcar.image.request import ImageRequest
from modelcar.image.send import Sent, send_base, send_layers
from modelcar.oci.reference import Reference
from modelcar.oci.tar_writer import Layer
from modelcar.progress import Count, Progress

MAX_BYTES_AHEAD = 64 << 20
"""Bytes of a layer that may be read twice: once to find whether the registry has it, and once to send it. The download
notes the digest of each file that is a layer by itself, so these are files that share one."""


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


class BuildRequest(BaseModel):
    """A build that is asked for; as JSON it is the argument of a build's Job.

    Attributes:
        directory: A finished download, as the pod that builds sees it.
        image: The image that is asked for.
        builder: `buildah`; `direct`, which streams the files into the registry without any builder and without scratch
            space; or `auto`: buildah where there is one and it may work.
        record_digest: The download's record that the build may go by (what the Hub published, and digests of layers),
            as the download gave its digest. Empty: whichever is on the claim; nothing that is made by it is signed.
    """

    model_config = ConfigDict(frozen=True)

    directory: Path
    image: ImageRequest = ImageRequest()
    builder: str = "auto"
    record_digest: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "BuildRequest":
        """Takes what it needs of a step's parameters."""
        return cls(
            directory=given["directory"],
            image=ImageRequest.of(given),
            builder=given["builder"],
            record_digest=given["record_digest"],
        )


def build(request: BuildRequest) -> Built:
    """Builds the image of a downloaded model and pushes it; the tag is written last.

    The same commit gives the same image, to the digest, on any machine, on any day and with either builder.

    Args:
        request: What to build.

    Raises:
        BuildError: A file is too large for a layer, the builder failed, or it is to sign what nobody vouches for.
        ClaimError: The claim is too small or read-only.
        RegistryError: The registry is unreachable or refused.
        TagError: The tag holds something that may not be replaced.
        WrongBytesError: A file on the claim is not what the Hub published, or the record of that is another one.
    """
    with_buildah = uses_buildah(request.builder)
    with open_download(request.directory) as found:
        if request.record_digest:
            found.check_record(request.record_digest)
        return _build(found, request, with_buildah=with_buildah)


def _build(found: Download, request: BuildRequest, *, with_buildah: bool) -> Built:
    snapshot, directory, asked = found.snapshot, found.folder.path, request.image
    destination = asked.destination(snapshot)
    image = ModelImage.of(snapshot, layout.on_disk(found.folder), asked)
    push = Push(destination, image, asked.if_exists)
    with push.repository:
        if not request.record_digest:
            _tell_unproved(found, signs=push.signs)
        if push.unchanged:
            push.sign_unchanged()
            print(f"{destination} already holds commit {snapshot.commit}; nothing to do{push.caveat}")
            return Built(push.unchanged, len(image.layers), 0, unchanged=True)
        examine_base(image.base, allow_models=asked.allow_base_models)
        with claim_errors(directory):
            found.check_sizes()
        print(f"{len(image.layers)} layers for {destination}, on {image.base.name}", flush=True)
        noted = layer_digests.read_digests(found.layer_digests) if request.record_digest else {}
        if with_buildah:
            sent = _build_with_buildah(push, found, noted)
            send_base(image.base, push)
        else:
            sent = send_layers("build", image, [push], noted | _hash_ahead(image, noted))
        sent.tell()
        (written,) = publish([push], sent.digests)
        return Built(written, len(image.layers), sent.sent_bytes, unchanged=push.stays)


def _hash_ahead(image: ModelImage, noted: Mapping[str, str]) -> dict[str, str]:
    """Returns the digests of small layers that are not noted, by which a registry tells whether it has them."""
    return {
        key: proof.digest(layer, image.proved)
        for layer, key in zip(image.layers, image.keys, strict=True)
        if key not in noted and layer.size <= MAX_BYTES_AHEAD
    }


def _tell_unproved(found: Download, *, signs: bool) -> None:
    """Tells that nobody vouches for the record on the claim, which others may write to; nothing is signed by it."""
    note = found.folder.path / DOWNLOAD_NOTE
    if signs:
        raise BuildError(
            f"nobody vouches for {note}, so nothing that is made by it is signed",
            "Give the build record_digest, an output of the download step, or do without the signing key",
        )
    print(
        f"What the Hub published is taken from {note}, which was not given by its digest: it is not proved. "
        "`modelcar verify` asks the Hub",
        flush=True,
    )


def _build_with_buildah(push: Push, found: Download, noted: Mapping[str, str]) -> Sent:
    """Has buildah make and push the layers, one after the other, for each takes its size in scratch space."""
    image, sent = push.image, Sent()
    with (
        found.folder.below(str(DOWNLOAD_NOTE.parent)) as ours,
        scratch(ours) as place,
        claim_errors(found.folder.path),
    ):
        linked = all(buildah.links(layer, place) for layer in image.layers)
        room = max(layer.size for layer in image.layers) * (1 if linked else 2)
        check_space(place, room, "Enlarge it, or choose builder=direct, which needs no room")
        process = buildah.Buildah(place)
        held = push.find_layers()
        known = {**held.proved, **noted}

        def ready(layer: Layer, key: str) -> tuple[str, bool, buildah.Container | None]:
            digest = known.get(key) or proof.digest(layer, image.proved)
            there = push.repository.has_blob(digest)
            return digest, there, process.prepare(layer) if linked and not there else None

        # One thread hashes and prepares ahead, while buildah commits the layer before.
        with Progress("build", sum(layer.size for layer in image.layers)) as progress, ThreadPoolExecutor(1) as ahead:
            readied = ahead.map(ready, image.layers, image.keys)
            try:
                for layer, key, (digest, there, container) in zip(image.layers, image.keys, readied, strict=True):
                    if there:
                        progress.advance(layer.size)
                    else:
                        container = container or process.prepare(layer)
                        _put_layer(process, container, layer, digest, push, progress.advance)
                        # Many registries remove what no tag leads to after an hour, and builds take longer.
                        push.note(describe_layer(layer, key, digest))
                        sent.sent_bytes += layer.size
                    sent.digests[key] = digest
            except BaseException:
                ahead.shutdown(wait=False, cancel_futures=True)
                raise
    return sent


def _put_layer(
    process: buildah.Buildah, container: buildah.Container, layer: Layer, digest: str, push: Push, count: Count
) -> None:
    repository = push.repository
    try:
        process.put_layer(container, layer, digest, repository.reference, insecure=repository.is_insecure, count=count)
    except BuildError:
        proof.check_noted(layer, push.image.proved, digest)
        raise
