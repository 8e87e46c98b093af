"""Reads what is attached to an image: provenance, inventory and signatures, each held against the image's digest."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from modelcar.attestation import cosign, provenance, sbom
from modelcar.attestation.keys import PublicKey
from modelcar.attestation.provenance import Provenance, Statement
from modelcar.errors import RegistryError, WrongBytesError
from modelcar.oci import referrers, spec
from modelcar.oci.referrers import Attached
from modelcar.oci.registry import Repository

_LARGEST = 64 << 20
"""Bytes. The statement on a model of 100,000 files has some 30 MB."""


@dataclass
class Documents:
    """What is attached to an image.

    Attributes:
        provenance: What it was made of; None if nothing trustworthy says so.
        inventory: The files that the inventory lists, with their SHA-256 where it has one; None without inventory.
        signed: Whether the provenance is signed with the key that was given.
        signatures: How many signatures of the image there are.
        is_signed: Whether one of them is of this image, with the key that was given.
        signature_problem: Why not.
        problems: What is wrong with documents, in words.
    """

    provenance: Provenance | None = None
    inventory: dict[str, str] | None = None
    signed: bool = False
    signatures: int = 0
    is_signed: bool = False
    signature_problem: str = ""
    problems: list[str] = field(default_factory=list)


def read_documents(repository: Repository, digest: str, key: PublicKey | None) -> Documents:
    """Reads what is attached to an image.

    Args:
        repository: Where the image is.
        digest: Its digest.
        key: Whose signatures count; with a key only signed statements do.

    Raises:
        RegistryError: The registry is unreachable or refused.
    """
    found = Documents()
    unsigned = 0
    for descriptor, content in _contents(repository, referrers.find(repository, digest), found):
        if descriptor.media_type == cosign.SIMPLE_SIGNING:
            _read_signature(content, descriptor, digest, key, found)
        elif descriptor.media_type == sbom.MEDIA_TYPE and key is None:
            _read_inventory(content, digest, found)
        elif descriptor.media_type == cosign.ENVELOPE:
            opened = cosign.opened(content, key)
            if opened and (opened.by_us or key is None):
                _read_statement(opened.payload, digest, found, signed=opened.by_us)
            unsigned += not (opened and opened.by_us)
        elif descriptor.media_type == cosign.IN_TOTO:
            unsigned += 1
            if key is None:
                _read_statement(content, digest, found, signed=False)
    if key is not None and found.provenance is None and not found.problems:
        said = "it is not signed with this key" if unsigned else "there is none"
        found.problems.append(said)
    return found


def _contents(
    repository: Repository, attached: list[Attached], found: Documents
) -> Iterator[tuple[spec.Descriptor, bytes]]:
    known = (cosign.SIMPLE_SIGNING, cosign.ENVELOPE, cosign.IN_TOTO, sbom.MEDIA_TYPE)
    blobs = {
        (layer.digest, json.dumps(layer.annotations, sort_keys=True)): layer
        for one in attached
        for layer in one.stored.manifest().layers
        if layer.media_type in known
    }
    for layer in blobs.values():
        if layer.size > _LARGEST:
            found.problems.append(f"an attached document has {layer.size} bytes")
            continue
        try:
            yield layer, repository.small_blob(layer.digest)
        except (WrongBytesError, RegistryError) as error:
            found.problems.append(str(error))


def _read_signature(
    payload: bytes, layer: spec.Descriptor, digest: str, key: PublicKey | None, found: Documents
) -> None:
    found.signatures += 1
    if key is None:
        return
    if not cosign.is_signed(payload, layer, key):
        found.signature_problem = found.signature_problem or "it was not made with this key"
    elif cosign.signed_digest(payload) != digest:
        found.signature_problem = f"it is of another image, {cosign.signed_digest(payload)}"
    else:
        found.is_signed = True


def _read_statement(content: bytes, digest: str, found: Documents, *, signed: bool) -> None:
    statement = Statement.read(content)
    if statement is None:
        found.problems.append("an attached statement is malformed")
    elif not statement.is_about(digest):
        of = ", ".join(f"sha256:{subject.digest.sha256}" for subject in statement.subject)
        found.problems.append(f"a statement is of another image, {of}")
    elif statement.predicate_type == provenance.PREDICATE:
        said = Provenance.read(statement.predicate)
        if said is None:
            # Others may attach theirs, with other build types.
            return
        found.provenance, found.signed = said, signed
    elif statement.predicate_type == sbom.PREDICATE:
        _read_inventory(json.dumps(statement.predicate).encode(), digest, found)


def _read_inventory(content: bytes, digest: str, found: Documents) -> None:
    files = sbom.listed_files(content, digest)
    if files is None:
        found.problems.append("an inventory is malformed, or of another image")
    else:
        found.inventory = files
