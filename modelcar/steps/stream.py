"""Makes an image of a model out of the Hub's bytes while they arrive: no claim, no disk, no builder, one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelcar.hub import selection
from modelcar.hub.client import DEFAULT_REVISION, Hub
from modelcar.image import layout
from modelcar.image.base_contents import refuse_models
from modelcar.image.base_image import open_base_image
from modelcar.image.default_target import target_for
from modelcar.image.model_image import ModelImage
from modelcar.image.push import Push, publish
from modelcar.image.send import Sent, send_layers
from modelcar.oci.reference import Reference


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


def stream(
    model: str,
    target: str,
    *,
    mirror: str = "",
    revision: str = DEFAULT_REVISION,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    everything: bool = False,
    allow_pickle: bool = False,
    base_image: str = "",
    max_layer_size: int = layout.MAX_LAYER_SIZE,
    if_exists: str = "update",
) -> Streamed:
    """Streams a model from the Hub into a registry, and into a mirror in the same pass.

    The image is the one that a download and a build make, to the digest. A file whose bytes are not what the Hub
    published never reaches a manifest. A run that broke off goes on, on any machine, with the layers that were not
    finished; layers that an earlier commit's image under the same tag holds are not read again.

    Args:
        model: The model's id on the Hub, `organisation/name`.
        target: Where to put the image, `registry/repository:tag`; empty, in a pod, for OpenShift's own registry.
        mirror: Where to put it as well, in the same pass; empty for nowhere.
        revision: A branch, a tag or a commit.
        include: Glob patterns; where there are any, only what they match is taken.
        exclude: Glob patterns of what not to take.
        everything: Take duplicate weights too.
        allow_pickle: Take files that run code when they are loaded.
        base_image: The image under the model; empty for the one that KServe's modelcars need.
        max_layer_size: The largest layer that the registries take, in bytes.
        if_exists: `update`, `replace` or `refuse` tags that hold something else (modelcar.image.tag_policy).

    Raises:
        HubError: The Hub refused.
        SelectionError: The patterns leave nothing, or match nothing.
        BuildError: A file is too large for a layer.
        RegistryError: A registry is unreachable or refused.
        TagError: A tag holds something that may not be replaced.
        WrongBytesError: A file is not what the Hub published.
        WeightsError: A file was published broken, or is a pickle and may not be.
    """
    hub = Hub()
    whole = hub.snapshot(model, revision)
    choice = selection.choose(whole.files, include, exclude, everything=everything)
    snapshot = whole.model_copy(update={"files": choice.taken, "allow_pickle": allow_pickle})
    if not allow_pickle:
        selection.refuse_pickles(choice)
    destinations = [Reference.parse_target(target) if target else target_for(snapshot)]
    destinations += [Reference.parse_target(mirror)] if mirror else []
    layers = tuple(layout.part(snapshot, hub.readers(snapshot), max_layer_size))
    image = ModelImage(snapshot, layers, open_base_image(base_image))
    pushes = [Push(destination, image, if_exists) for destination in destinations]
    lacking = [push for push in pushes if push.unchanged is None]
    sent = Sent()
    if lacking:
        refuse_models(image.base)
        selection.tell(snapshot, choice)
        targets = " and ".join(str(push.destination) for push in lacking)
        print(f"{len(layers)} layers for {targets}, on {image.base.name}", flush=True)
        sent = send_layers("stream", image, lacking)
        sent.tell()
    else:
        print(f"{' and '.join(map(str, destinations))} already hold commit {snapshot.commit}; nothing to do")
    images = publish(pushes, sent.digests)
    unchanged = all(push.stays for push in pushes)
    return Streamed(images[0], images[1] if mirror else None, snapshot.commit, sent.sent_bytes, unchanged)
