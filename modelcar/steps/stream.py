"""Makes an image of a model out of the Hub's bytes while they arrive: no claim, no disk, no builder, one pass."""

from dataclasses import dataclass

from modelcar.hub.selection import Selection, tell
from modelcar.image.base_contents import examine_base
from modelcar.image.model_image import ModelImage
from modelcar.image.push import Push, publish
from modelcar.image.request import ImageRequest
from modelcar.image.send import Sent, send_layers
from modelcar.oci.reference import Reference
from modelcar.sources.opening import open_source


@dataclass(frozen=True)
class Streamed:
    """An image of a model, in one registry or in two.

    Attributes:
        image: The image at the target, pinned to its digest.
        mirrored: The same at the mirror; None if there is no mirror.
        commit: The commit that the revision stood for.
        read_bytes: Bytes that were read from the Hub and sent.
        unchanged: Whether the tags already held this very image.
    """

    image: Reference
    mirrored: Reference | None
    commit: str
    read_bytes: int
    unchanged: bool


def stream(selection: Selection, request: ImageRequest) -> Streamed:
    """Streams a model from the Hub into a registry, and into a mirror in the same pass.

    The image is the one that a download and a build make, to the digest. A file whose bytes are not what the Hub
    published never reaches a manifest. A run that broke off goes on, on any machine, with the layers that were not
    finished; layers that an earlier commit's image under the same tag holds are not read again.

    Args:
        selection: The model and which of its files are wanted.
        request: The image that is asked for, and its mirror.

    Raises:
        HubError: The Hub refused.
        SelectionError: The patterns leave nothing, or match nothing.
        BuildError: A file is too large for a layer.
        RegistryError: A registry is unreachable or refused.
        TagError: A tag holds something that may not be replaced.
        WrongBytesError: A file is not what the Hub published.
        WeightsError: A file was published broken, or is a pickle and may not be.
    """
    source = open_source(selection.model, selection.transport, selection.adapters)
    selected = selection.resolve(source)
    selected.check()
    snapshot, choice = selected.snapshot, selected.choice
    destinations = [request.destination(snapshot)]
    destinations += [Reference.parse_target(request.mirror_target)] if request.mirror_target else []
    image = ModelImage.of(snapshot, source.readers(snapshot), request)
    pushes = [Push(destination, image, request.if_exists) for destination in destinations]
    lacking = [push for push in pushes if push.unchanged is None]
    sent = Sent()
    if lacking:
        examine_base(image.base, allow_models=request.allow_base_models)
        tell(snapshot, choice)
        targets = " and ".join(str(push.destination) for push in lacking)
        print(f"{len(image.layers)} layers for {targets}, on {image.base.name}", flush=True)
        with source:
            sent = send_layers("stream", image, lacking)
        sent.tell()
    else:
        held = " and ".join(map(str, destinations))
        print(f"{held} already hold commit {snapshot.commit}; nothing to do{pushes[0].caveat}")
    images = publish(pushes, sent.digests)
    mirrored = images[1] if request.mirror_target else None
    unchanged = all(push.stays for push in pushes)
    return Streamed(images[0], mirrored, snapshot.commit, sent.sent_bytes, unchanged)
