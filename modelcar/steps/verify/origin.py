"""Origin of an image: the Hub's own word, a signed statement, and the base image."""

from dataclasses import dataclass, replace

from pydantic import ValidationError

from modelcar.attestation.documents import find_provenance
from modelcar.attestation.provenance import Provenance
from modelcar.attestation.signer import Checker
from modelcar.errors import HubError, ModelcarError, NoSuchRevisionError, UnsafeNameError
from modelcar.hub.client import Hub
from modelcar.hub.environment import HUB
from modelcar.hub.facts import Facts
from modelcar.hub.reshard import Resharded, reshard
from modelcar.hub.selection import facts_of
from modelcar.hub.snapshot import Snapshot
from modelcar.image.annotations import MAX_SHARD_LAYER, folder_of_image
from modelcar.image.base_image import BaseImage, open_base_image
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.steps.verify.found import FoundImage
from modelcar.steps.verify.result import Link, broken, not_proved, proved


@dataclass(frozen=True)
class Origin:
    """Origin that an image is held against.

    Attributes:
        published: What the Hub published or, offline, what a statement says it did; None if nobody says.
        by_hub: Whether the Hub says so.
        statement: What a statement says; None if none was needed, or there is none.
        is_signed: Whether the statement is signed with the key that was given.
        has_key: Whether a key was given; then whatever is attached must be signed with it.
        facts: What the repository's small files say of how the model is put together; None if the Hub was not asked.
        whole: All that the Hub published, before files were cut; None if none was, or the Hub was not asked.
        resharded: How they were cut.
    """

    published: Snapshot | None
    by_hub: bool
    statement: Provenance | None
    is_signed: bool
    has_key: bool
    facts: Facts | None = None
    whole: Snapshot | None = None
    resharded: Resharded | None = None


def find_origin(image: FoundImage, key: Checker | None, *, offline: bool, quick: bool) -> tuple[Origin, list[Link]]:
    """Asks the Hub what was published and, where it is not asked or layers are not read, finds the statement.

    Args:
        image: The image.
        key: Who must have signed the statement; None for anybody, which proves nothing.
        offline: Whether the Hub is not to be asked.
        quick: Whether no layer is to be read.
    """
    links: list[Link] = []
    published: Snapshot | None = None
    is_own = not image.said.get(spec.SOURCE, "").startswith(f"{HUB}/")
    if not offline and not is_own:
        published, link = _ask_hub(image)
        links.append(link)
    by_hub = published is not None
    statement = None
    if quick or not by_hub:
        statement = find_provenance(image.repository, image.top.digest, key)
    if published is None and statement is not None:
        published = _stated(image, statement)
    has_key = key is not None
    if is_own:
        links.append(_own(image, is_signed=statement is not None and has_key))
    if published is not None:
        published = published.placed(folder_of_image(image.said))
    is_signed = statement is not None and has_key
    if published is None or not by_hub:
        return Origin(published, by_hub, statement, is_signed, has_key), links
    hub = Hub()
    facts = facts_of(published, hub.peek(published))
    origin = Origin(published, by_hub, statement, is_signed, has_key, facts)
    limit = image.said.get(MAX_SHARD_LAYER, "")
    if not (limit.isascii() and limit.isdecimal()):
        return origin, links
    resharded = reshard(published, hub.readers(published), int(limit))
    cut = resharded.apply(published)
    return replace(origin, published=cut, whole=published, resharded=resharded), links


def _own(image: FoundImage, *, is_signed: bool) -> Link:
    """Says on what the proof of a model rests that no Hub published."""
    where = f"a model of one's own, from {image.said.get(spec.SOURCE) or 'nowhere that it names'}"
    if is_signed:
        return proved("source", f"{where}: its first reading made the list of hashes, which is signed with this key")
    return not_proved("source", f"{where}: only a signed list of hashes proves its files; give the key (--key)")


def _ask_hub(image: FoundImage) -> tuple[Snapshot | None, Link]:
    hub = Hub()
    try:
        whole = hub.snapshot(image.model, image.commit)
        if whole.commit != image.commit:
            return None, broken("Hub", f"{image.model} has no commit {image.commit}")
        branch = hub.branch_of(image.model, image.commit)
    except NoSuchRevisionError as error:
        return None, broken("Hub", str(error))
    except (HubError, UnsafeNameError) as error:
        return None, not_proved("Hub", str(error))
    if whole.model != image.model:
        # The Hub leads from a repository's former name to the one that it has now.
        whole = whole.model_copy(
            update={"model": image.model, "source": whole.source.replace(whole.model, image.model)}
        )
    if not branch:
        return whole, broken(
            "Hub",
            f"no branch and no tag of {image.model} leads to commit {image.commit}: it may be of a pull request, "
            "which anybody can open",
        )
    return whole, proved("Hub", f"{image.model} at commit {image.commit}, in the history of {branch}")


def _stated(image: FoundImage, statement: Provenance) -> Snapshot | None:
    try:
        return Snapshot.model_validate(
            {
                "model": statement.model,
                "commit": statement.commit,
                "created": image.said[spec.CREATED],
                "source": image.said.get(spec.SOURCE, ""),
                "files": statement.files,
            }
        )
    except (ValidationError, UnsafeNameError):
        return None


def find_base(image: FoundImage, *, offline: bool) -> tuple[BaseImage | None, Link]:
    """Finds the base image that an image names.

    Args:
        image: The image.
        offline: Whether no other registry is to be asked.
    """
    name, digest = image.said[spec.BASE_NAME], image.said[spec.BASE_DIGEST]
    base = open_base_image("")
    if (base.name, base.digest) != (name, digest):
        if offline:
            return None, not_proved("base image", f"{name} at {digest}: offline it is not read")
        try:
            named = Reference.parse(name).at(digest)
            base = open_base_image(str(named))
        except ModelcarError as error:
            return None, not_proved("base image", f"{name} at {digest}: {error}")
        base = replace(base, name=name)
    wanted = [[layer.digest for layer in variant.layers] for variant in base.variants]
    found = [[layer.digest for layer in stored.manifest().layers] for stored in image.manifests]
    same = len(found) == len(wanted) and all(
        have[: len(need)] == need for have, need in zip(found, wanted, strict=True)
    )
    if not same:
        return base, broken("base image", f"its layers are not those of {name} at {digest}")
    return base, proved("base image", f"{name} at {digest}")
