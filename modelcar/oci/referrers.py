"""What is attached to an image: documents and signatures, each a manifest that names the image as its subject.

See https://github.com/opencontainers/distribution-spec (referrers). A registry that knows referrers lists them itself.
In one that does not, an index under the tag `sha256-<digest>` lists them, which the clients keep. Signatures have a tag
besides, `sha256-<digest>.sig`, for cosign and those that read what it writes look only there.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import ValidationError

from modelcar.oci import spec
from modelcar.oci.registry import Repository, Stored

SIGNATURES, ATTESTATIONS, INVENTORIES = ".sig", ".att", ".sbom"
"""Ends of the tags under which cosign keeps them."""

_NO_PLATFORM = spec.Platform(architecture="unknown", os="unknown")
"""Of what runs nowhere, as buildx writes it too. OpenShift's API server refuses an index with an entry without one."""


@dataclass(frozen=True)
class Content:
    """A blob of an attachment.

    Attributes:
        media_type: What it is.
        content: Its bytes.
        annotations: What is said of it in the manifest.
    """

    media_type: str
    content: bytes
    annotations: dict[str, str] = field(default_factory=dict)

    def descriptor(self) -> spec.Descriptor:
        """As a manifest names it."""
        return spec.describe(self.content, self.media_type, annotations=self.annotations or None)


@dataclass(frozen=True)
class Attachment:
    """Something to attach to an image.

    Attributes:
        artifact_type: What it is, for those who look for it in the list of an image's referrers.
        contents: Its blobs.
        annotations: What is said of it in that list.
        tag_end: The end of the tag that cosign looks for; empty for a referrer alone.
    """

    artifact_type: str
    contents: tuple[Content, ...]
    annotations: dict[str, str] = field(default_factory=dict)
    tag_end: str = ""


@dataclass(frozen=True)
class Attached:
    """What is attached to an image.

    Attributes:
        stored: Its manifest.
        tag_end: The end of the tag that it has; empty for none.
    """

    stored: Stored
    tag_end: str = ""


def attach(repository: Repository, subject: Stored, attachments: Sequence[Attachment]) -> None:
    """Attaches documents and signatures to an image; what others attached stays.

    Args:
        repository: Where the image is, or will be.
        subject: The image.
        attachments: What to attach.

    Raises:
        RegistryError: The registry is unreachable or refused.
    """
    contents = [content.content for attachment in attachments for content in attachment.contents]
    described = [_manifest(subject, attachment) for attachment in attachments]
    repository.put_small_blobs([*contents, *(config.content for config, _ in described)])
    put(repository, subject, [attached for _, attached in described])


def put(repository: Repository, subject: Stored, attached: Sequence[Attached]) -> None:
    """Writes the manifests of attachments whose blobs are there, and sees to it that they are found.

    Args:
        repository: Where to.
        subject: The image in it.
        attached: What is attached to it.
    """
    unlisted = []
    for one in attached:
        stored = _with_others(repository, subject, one) if one.tag_end else one.stored
        listed = repository.put_manifest(stored, tag(subject.digest, one.tag_end) if one.tag_end else stored.digest)
        if not listed and stored.manifest().subject is not None:
            unlisted.append(_entry(stored))
    if unlisted:
        _list(repository, subject.digest, unlisted)


def find(repository: Repository, digest: str) -> list[Attached]:
    """Everything that is attached to an image, each once.

    Indexes are passed over: nothing we know of attaches any.

    Args:
        repository: Where the image is.
        digest: The image's digest.
    """
    found: dict[str, Attached] = {}
    for tag_end in (SIGNATURES, ATTESTATIONS, INVENTORIES):
        stored = repository.find_manifest(tag(digest, tag_end))
        if stored is not None and not stored.is_index:
            found[stored.digest] = Attached(stored, tag_end)
    listed = [*repository.list_referrers(digest), *_listed(repository, digest)]
    for entry in listed:
        if entry.digest not in found and entry.media_type in spec.MANIFESTS:
            stored = repository.find_manifest(entry.digest)
            # A list may name what is gone, or what belongs to another image.
            if stored is not None and _subject(stored) == digest:
                found[stored.digest] = Attached(stored)
    return list(found.values())


def tag(digest: str, tag_end: str = "") -> str:
    """The tag at which something of an image is found by its digest."""
    return digest.replace(":", "-") + tag_end


def _manifest(subject: Stored, attachment: Attachment) -> tuple[Content, Attached]:
    """The config and the manifest of an attachment."""
    layers = [content.descriptor() for content in attachment.contents]
    # Some registries look only at the config's type, and take an image's from everybody.
    config = _image_config(layers) if attachment.tag_end else Content(spec.EMPTY, b"{}")
    manifest = spec.Manifest(
        artifactType=attachment.artifact_type,
        config=config.descriptor(),
        layers=layers,
        subject=spec.describe(subject.content, subject.media_type),
        annotations=attachment.annotations or None,
    )
    return config, Attached(Stored(manifest.encoded(), spec.MANIFEST), attachment.tag_end)


def _with_others(repository: Repository, subject: Stored, one: Attached) -> Stored:
    """What a tag of cosign's will hold: several may sign an image, and their signatures share a manifest."""
    there = repository.find_manifest(tag(subject.digest, one.tag_end))
    if there is None or there.is_index:
        return one.stored
    ours, others = one.stored.manifest(), there.manifest().layers
    layers = [*others, *(layer for layer in ours.layers if layer not in others)]
    if layers == others:
        return there
    config = _image_config(layers)
    repository.put_small_blob(config.content)
    together = ours.model_copy(update={"layers": layers, "config": config.descriptor()})
    return Stored(together.encoded(), spec.MANIFEST)


def _image_config(layers: list[spec.Descriptor]) -> Content:
    config = spec.Config(architecture="", os="", rootfs=spec.RootFs(diff_ids=[layer.digest for layer in layers]))
    return Content(spec.CONFIG, config.encoded())


def _entry(stored: Stored) -> spec.Descriptor:
    manifest = stored.manifest()
    return spec.describe(
        stored.content,
        stored.media_type,
        artifactType=manifest.artifact_type or manifest.config.media_type,
        annotations=manifest.annotations,
        platform=_NO_PLATFORM,
    )


def _list(repository: Repository, digest: str, entries: Iterable[spec.Descriptor]) -> None:
    before = _listed(repository, digest)
    together = {entry.digest: _with_platform(entry) for entry in [*before, *entries]}
    if list(together.values()) != before:
        index = spec.Index(manifests=list(together.values()))
        repository.put_manifest(Stored(index.encoded(), spec.INDEX), tag(digest))


def _with_platform(entry: spec.Descriptor) -> spec.Descriptor:
    """Completes an entry that another client, or an earlier release, wrote without a platform."""
    return entry if entry.has_platform else entry.model_copy(update={"platform": _NO_PLATFORM})


def _listed(repository: Repository, digest: str) -> list[spec.Descriptor]:
    stored = repository.find_manifest(tag(digest))
    return stored.index().manifests if stored is not None and stored.is_index else []


def _subject(stored: Stored) -> str:
    with suppress(ValidationError):
        subject = stored.manifest().subject
        return subject.digest if subject else ""
    return ""
