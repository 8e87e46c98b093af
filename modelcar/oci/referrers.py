"""Referrers of an image: documents and signatures, each a manifest that names the image as its subject.

See https://github.com/opencontainers/distribution-spec (referrers). A registry that knows referrers lists them itself.
In one that does not, an index under the tag `sha256-<digest>` lists them, which the clients keep. Signatures have a tag
besides, `sha256-<digest>.sig`, for cosign and those that read what it writes look only there.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from modelcar.errors import CredentialsError, RegistryError, RegistryUnwellError
from modelcar.oci import spec
from modelcar.oci.body import MAX_MANIFEST_BYTES
from modelcar.oci.registry import Repository, Stored

SIGNATURES, ATTESTATIONS, INVENTORIES = ".sig", ".att", ".sbom"
"""Endings of the tags under which cosign keeps them."""

MAX_LISTED_CHARS = 1 << 14
"""Length of the annotations that the list repeats: it has the limit of a manifest, and is in memory as a whole."""

_NO_TYPES = (None, "", spec.EMPTY, spec.CONFIG)
"""Types in a list that say nothing: older Harbors give that of the config (https://github.com/goharbor/harbor/issues/19867)."""

_NO_PLATFORM = spec.Platform(architecture="unknown", os="unknown")
"""Platform of what runs nowhere, as buildx writes it too. OpenShift's API server refuses an index with an entry without
one."""


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
    """Attachments of an image.

    Attributes:
        stored: Its manifest.
        tag_end: The end of the tag that it has; empty for none.
    """

    stored: Stored
    tag_end: str = ""


def attach(repository: Repository, subject: Stored, attachments: Sequence[Attachment]) -> None:
    """Attaches documents and signatures to an image; what others attached stays, and what is attached is not written.

    Args:
        repository: Where the image is, or will be.
        subject: The image.
        attachments: What to attach.

    Raises:
        RegistryError: The registry is unreachable or refused.
    """
    described = [(attachment, *_manifest(subject, attachment)) for attachment in attachments]
    lacking = list(missing(repository, subject, [attached for _, _, attached in described]))
    contents = [
        content.content
        for attachment, config, attached in described
        if attached in lacking
        for content in (config, *attachment.contents)
    ]
    repository.put_small_blobs(contents)
    put(repository, subject, lacking)


def put(repository: Repository, subject: Stored, attached: Iterable[Attached]) -> None:
    """Writes the manifests of attachments whose blobs are there, and sees to it that they are found.

    Args:
        repository: Where to.
        subject: The image in it.
        attached: What is attached to it; taken one by one, as each may be large.

    Raises:
        RegistryError: The registry is unreachable, or refused some of it; the others are there.
    """
    unlisted, refused = [], None
    for one in attached:
        try:
            stored, listed = _put_tagged(repository, subject, one) if one.tag_end else _put(repository, one.stored)
        except RegistryError as error:
            # One that is not answered at all ends it; an answer is one to this attachment.
            if not error.status:
                raise
            refused = refused or error
            continue
        if not listed and stored.manifest().subject is not None:
            unlisted.append(_entry(stored))
    if unlisted:
        _list(repository, subject.digest, unlisted)
    if refused is not None:
        raise refused


def missing(repository: Repository, subject: Stored, attached: Iterable[Attached]) -> Iterator[Attached]:
    """Yields what is not attached to an image yet.

    Args:
        repository: Where the image is.
        subject: The image.
        attached: What is to be attached; taken one by one, as each may be large.
    """
    listed = {
        entry.digest for entry in [*repository.list_referrers(subject.digest), *_listed(repository, subject.digest)]
    }
    for one in attached:
        there = _at_tag(repository, tag(subject.digest, one.tag_end), subject.digest) if one.tag_end else None
        stored = there if there is not None and _holds(there, one.stored) else one.stored
        # What stands there without a subject is in no list.
        is_listed = stored.digest in listed or stored.manifest().subject is None
        if not is_listed or (one.tag_end and stored is not there):
            yield one


def _put(repository: Repository, stored: Stored) -> tuple[Stored, bool]:
    return stored, repository.put_manifest(stored, stored.digest)


def _put_tagged(repository: Repository, subject: Stored, one: Attached) -> tuple[Stored, bool]:
    """Writes a tag of cosign's: several may sign an image, and their signatures share a manifest."""
    name = tag(subject.digest, one.tag_end)
    there = _at_tag(repository, name, subject.digest)
    if there is None or _holds(one.stored, there):
        return _put_bare_if_need_be(repository, one.stored, name)
    if _holds(there, one.stored):
        return _put(repository, there)
    together = _together(repository, one.stored, there)
    try:
        return _put_bare_if_need_be(repository, together, name)
    except CredentialsError:
        raise
    except RegistryError as error:
        # What others wrote there may be gone, or be too much: anybody who may push may write it.
        print(f"the tag {name} is written anew, without what others put there: {error}", flush=True)
        return _put_bare_if_need_be(repository, one.stored, name)


def _put_bare_if_need_be(repository: Repository, stored: Stored, name: str) -> tuple[Stored, bool]:
    """Writes a tag of cosign's; without a subject to a registry that takes none, as cosign itself writes it."""
    known = repository.capabilities
    bare = Stored(stored.manifest().model_copy(update={"subject": None}).encoded(), stored.media_type)
    if known.takes_subject is False:
        return bare, repository.put_manifest(bare, name)
    try:
        listed = repository.put_manifest(stored, name)
    except RegistryError as error:
        if not error.status or bare.content == stored.content:
            raise
        repository.put_manifest(bare, name)
        known.takes_subject = False
        return bare, False
    return stored, listed


def find(repository: Repository, digest: str) -> list[Attached]:
    """Returns everything that is attached to an image, see each."""
    return list(each(repository, digest))


def each(repository: Repository, digest: str) -> Iterator[Attached]:
    """Yields everything that is attached to an image, each once, of which it keeps none.

    Indexes are passed over: nothing we know of attaches any. What cosign's tags name comes first.

    Args:
        repository: Where the image is.
        digest: The image's digest.
    """
    found = {digest}
    for tag_end in (SIGNATURES, ATTESTATIONS, INVENTORIES):
        stored = _at(repository, tag(digest, tag_end))
        if stored is not None and not stored.is_index and stored.digest not in found:
            found.add(stored.digest)
            yield Attached(stored, tag_end)
    listed = [*repository.list_referrers(digest), *_listed(repository, digest)]
    for entry in [entry for entry in listed if entry.media_type in spec.MANIFESTS]:
        if entry.digest in found:
            continue
        found.add(entry.digest)
        stored = _at(repository, entry.digest)
        # A list may name what is gone, or what belongs to another image.
        if stored is not None and not stored.is_index and _subject(stored) == digest:
            yield Attached(stored)


def _at(repository: Repository, version: str) -> Stored | None:
    """Returns what stands there, if the registry gives it: what is attached must not keep anybody from the image."""
    try:
        return repository.find_manifest(version)
    except RegistryError as error:
        # What answers nothing at all is another matter than one that does not answer this.
        if isinstance(error, RegistryUnwellError) and not error.status:
            raise
        print(f"what is attached as {version} is passed over: {error.what}", flush=True)
        return None


def of_type(repository: Repository, digest: str, artifact_type: str) -> Iterator[Stored]:
    """Yields what is attached to an image and of one type; what is listed as of another is not fetched.

    Args:
        repository: Where the image is.
        digest: The image's digest.
        artifact_type: The type.
    """
    for entry in [*repository.list_referrers(digest), *_listed(repository, digest)]:
        if entry.artifact_type in (artifact_type, *_NO_TYPES) and entry.media_type in spec.MANIFESTS:
            stored = _at(repository, entry.digest)
            if stored is None or stored.is_index or _subject(stored) != digest:
                continue
            if entry.artifact_type == artifact_type or stored.manifest().artifact_type == artifact_type:
                yield stored


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


def _at_tag(repository: Repository, name: str, subject: str) -> Stored | None:
    """Returns the manifest under a tag; None if there is none, or something else that nobody can read."""
    try:
        stored = repository.find_manifest(name)
        # GitLab takes such a tag for the image's digest.
        if stored is None or stored.is_index or stored.digest == subject:
            return None
        stored.manifest()
    except (CredentialsError, RegistryUnwellError):
        raise
    except RegistryError:
        return None
    return stored


def _holds(whole: Stored, part: Stored) -> bool:
    layers = whole.manifest().layers
    return all(layer in layers for layer in part.manifest().layers)


def _together(repository: Repository, ours: Stored, others: Stored) -> Stored:
    layers = others.manifest().layers
    layers = [*layers, *(layer for layer in ours.manifest().layers if layer not in layers)]
    config = _image_config(layers)
    repository.put_small_blob(config.content)
    manifest = ours.manifest().model_copy(update={"layers": layers, "config": config.descriptor()})
    return Stored(manifest.encoded(), spec.MANIFEST)


def _image_config(layers: list[spec.Descriptor]) -> Content:
    config = spec.Config(architecture="", os="", rootfs=spec.RootFs(diff_ids=[layer.digest for layer in layers]))
    return Content(spec.CONFIG, config.encoded())


def _entry(stored: Stored) -> spec.Descriptor:
    manifest = stored.manifest()
    annotations = manifest.annotations
    size = sum(len(name) + len(value) for name, value in (annotations or {}).items())
    return spec.describe(
        stored.content,
        stored.media_type,
        artifactType=manifest.artifact_type or manifest.config.media_type,
        annotations=annotations if size <= MAX_LISTED_CHARS else None,
        platform=_NO_PLATFORM,
    )


def _list(repository: Repository, digest: str, entries: Iterable[spec.Descriptor]) -> None:
    before = _listed(repository, digest)
    together = {entry.digest: _with_platform(entry) for entry in [*before, *entries]}
    if list(together.values()) == before:
        return
    try:
        _put_list(repository, digest, list(together.values()))
    except CredentialsError:
        raise
    except RegistryError:
        # Some registries take no list of what is gone.
        _put_list(repository, digest, list({entry.digest: entry for entry in entries}.values()))


def _put_list(repository: Repository, digest: str, entries: list[spec.Descriptor]) -> None:
    index = spec.Index(manifests=entries).encoded()
    if len(index) > MAX_MANIFEST_BYTES:
        # Annotations help those who look through the list; what is attached is found without.
        bare = [entry.model_copy(update={"annotations": None}) for entry in entries]
        index = spec.Index(manifests=bare).encoded()
    repository.put_manifest(Stored(index, spec.INDEX), tag(digest))


def _with_platform(entry: spec.Descriptor) -> spec.Descriptor:
    """Completes an entry that another client, or an earlier release, wrote without a platform."""
    return entry if entry.has_platform else entry.model_copy(update={"platform": _NO_PLATFORM})


def _listed(repository: Repository, digest: str) -> list[spec.Descriptor]:
    stored = _at(repository, tag(digest))
    # GitLab takes such a tag for the image's digest: an image for several platforms is not a list of attachments.
    return stored.index().manifests if stored is not None and stored.is_index and stored.digest != digest else []


def _subject(stored: Stored) -> str:
    with suppress(RegistryError):
        subject = stored.manifest().subject
        return subject.digest if subject else ""
    return ""
