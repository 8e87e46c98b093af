"""Reads what is attached to an image: provenance, inventory and signatures, each held against what follows from it.

Whoever may write to a repository may attach what they like. With a key only what is signed with it counts, and the rest
is passed over; without one nothing is proved by an attachment, but one that says other than the image is a fault of it.
Documents are read one after the other and none is kept, so memory does not grow with their number.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from modelcar.attestation import bundle, cosign, dsse, model_signing, provenance, sbom
from modelcar.attestation.contents import Contents
from modelcar.attestation.keyless import Identity
from modelcar.attestation.provenance import Provenance, Statement
from modelcar.attestation.signer import Checker
from modelcar.errors import UnsoundImageError, WrongBytesError
from modelcar.oci import referrers, spec
from modelcar.oci.referrers import Attached
from modelcar.oci.registry import MAX_SMALL_BLOB_BYTES, Repository

MAX_DOCUMENTS = 1000
"""Attached documents that are read. An image has some five, and as many more for each key that signed it."""

_OPENERS = {
    dsse.MEDIA_TYPE: dsse.opened,
    bundle.MEDIA_TYPE: bundle.opened,
    model_signing.MEDIA_TYPE: bundle.opened,
}
"""Openers of signed statements, by the media type of what they are in."""

_KNOWN = (cosign.SIMPLE_SIGNING, dsse.IN_TOTO, sbom.MEDIA_TYPE, *_OPENERS)


@dataclass
class Verdict:
    """Result of looking for one kind of document.

    Attributes:
        found: How many there are, whoever made them.
        counted: How many of those count: with a key, those that are signed with it.
        is_right: Whether one of those that count is right.
        problem: What is wrong with one that counts; empty for nothing.
    """

    found: int = 0
    counted: int = 0
    is_right: bool = False
    problem: str = ""

    def note(self, problem: str) -> None:
        """Notes one that counts: that it is right, or what is wrong with it."""
        self.is_right = self.is_right or not problem
        self.problem = self.problem or problem


@dataclass
class Documents:
    """Documents that are attached to an image.

    Attributes:
        provenance: The statements on what it was made of.
        inventory: The bills of materials.
        signature: The signatures of the image itself.
        model: The signatures of the model's files (modelcar.attestation.model_signing).
    """

    provenance: Verdict = field(default_factory=Verdict)
    inventory: Verdict = field(default_factory=Verdict)
    signature: Verdict = field(default_factory=Verdict)
    model: Verdict = field(default_factory=Verdict)


def find_provenance(repository: Repository, digest: str, key: Checker | None) -> Provenance | None:
    """Finds a statement on what an image was made of.

    Args:
        repository: Where the image is.
        digest: Its digest.
        key: Who must have signed the statement; None for anybody's, which proves nothing.

    Raises:
        RegistryError: The registry is unreachable or refused.
    """
    for descriptor, content in _contents(repository, digest, Verdict()):
        payload = _payload(descriptor, content, key)
        statement = Statement.read(payload) if payload else None
        if statement and statement.predicate_type == provenance.PREDICATE and statement.is_about(digest):
            said = Provenance.read(statement.predicate)
            if said is not None:
                return said
    return None


def signed_provenance(repository: Repository, digest: str, key: Checker) -> Provenance | None:
    """Finds the statement on what an image was made of that the owner of a key signed."""
    return find_provenance(repository, digest, key)


def read_documents(repository: Repository, digest: str, key: Checker | None, contents: Contents | None) -> Documents:
    """Reads all that is attached to an image.

    Args:
        repository: Where the image is.
        digest: Its digest.
        key: Whose signatures count; with a key only signed statements do.
        contents: What it was made of, which the documents must say; None if that is not known.

    Raises:
        RegistryError: The registry is unreachable or refused.
    """
    found = Documents()
    for descriptor, content in _contents(repository, digest, found.provenance):
        if descriptor.media_type == cosign.SIMPLE_SIGNING:
            _check_signature(content, descriptor, digest, key, found.signature)
            continue
        payload = _payload(descriptor, content, key)
        if descriptor.media_type == sbom.MEDIA_TYPE:
            if key is None:
                _check_inventory(_read(content), digest, contents, found.inventory)
        elif descriptor.media_type == model_signing.MEDIA_TYPE:
            _check_model_signature(payload, contents, found.model, signed=key is not None)
        elif payload is None:
            found.provenance.found += 1
        else:
            _check_statement(payload, digest, contents, found, signed=key is not None)
    return found


def _contents(repository: Repository, digest: str, trouble: Verdict) -> Iterator[tuple[spec.Descriptor, bytes]]:
    """Yields the documents that are attached to an image, each once; what cannot be read goes to the verdict."""
    seen: set[int] = set()
    for one in referrers.each(repository, digest):
        for layer in _layers(one, trouble):
            if layer.media_type not in _KNOWN or (place := hash(layer.model_dump_json())) in seen:
                continue
            seen.add(place)
            if len(seen) > MAX_DOCUMENTS:
                trouble.note(f"more than {MAX_DOCUMENTS} documents are attached, of which the rest was not read")
                return
            if layer.size > MAX_SMALL_BLOB_BYTES:
                trouble.note(f"an attached document has {layer.size} bytes")
                continue
            try:
                yield layer, repository.small_blob(layer.digest)
            except (WrongBytesError, UnsoundImageError) as error:
                trouble.note(str(error))


def _layers(attached: Attached, trouble: Verdict) -> list[spec.Descriptor]:
    try:
        return attached.stored.manifest().layers
    except UnsoundImageError as error:
        trouble.note(str(error))
        return []


def _payload(descriptor: spec.Descriptor, content: bytes, key: Checker | None) -> bytes | None:
    """Returns the statement in a document, if it counts: with a key, if it is signed with it."""
    if descriptor.media_type == dsse.IN_TOTO:
        return content if key is None else None
    if descriptor.media_type not in _OPENERS:
        return None
    opened = _OPENERS[descriptor.media_type](content, key)
    return opened.payload if opened and (opened.by_us or key is None) else None


def _check_signature(
    payload: bytes, layer: spec.Descriptor, digest: str, key: Checker | None, verdict: Verdict
) -> None:
    verdict.found += 1
    if key is None or isinstance(key, Identity):
        # Who signs without a key signs bundles.
        return
    if not cosign.is_signed(payload, layer, key):
        verdict.note("it was not made with this key")
    elif cosign.signed_digest(payload) != digest:
        verdict.note(f"it is of another image, {cosign.signed_digest(payload)}")
    else:
        verdict.note("")


def _check_statement(payload: bytes, digest: str, contents: Contents | None, found: Documents, *, signed: bool) -> None:
    statement = Statement.read(payload)
    if statement is None:
        found.provenance.found += 1
        found.provenance.note("an attached statement is malformed")
    elif statement.predicate_type == cosign.SIGN:
        found.signature.found += 1
        if signed:
            found.signature.note("" if statement.is_about(digest) else "it is of another image")
    elif not statement.is_about(digest):
        found.provenance.found += 1
        of = ", ".join(f"sha256:{subject.digest.sha256}" for subject in statement.subject[:3])
        found.provenance.note(f"a statement is of another image, {of}")
    elif statement.predicate_type == provenance.PREDICATE:
        said = Provenance.read(statement.predicate)
        # Others may attach theirs, with other build types.
        if said is not None:
            found.provenance.found += 1
            found.provenance.counted += 1
            if contents is not None:
                found.provenance.note(_provenance_problem(statement.predicate, said, contents))
    elif statement.predicate_type == sbom.PREDICATE:
        _check_inventory(statement.predicate, digest, contents, found.inventory)


def _check_model_signature(payload: bytes | None, contents: Contents | None, verdict: Verdict, *, signed: bool) -> None:
    verdict.found += 1
    if payload is not None and signed and contents is not None:
        verdict.note(model_signing.problem(payload, contents.snapshot, contents.hashes))


def _check_inventory(document: Any, digest: str, contents: Contents | None, verdict: Verdict) -> None:
    verdict.found += 1
    # Offline a snapshot lacks what the Hub knows besides of the model, such as its licence.
    if contents is not None and contents.by_hub:
        verdict.note(_inventory_problem(document, digest, contents))


def _provenance_problem(predicate: dict[str, Any], said: Provenance, contents: Contents) -> str:
    """Says how a statement differs from what this software would state; empty if it does not."""
    if _same(predicate, contents.provenance(said.version)):
        return ""
    snapshot = contents.snapshot
    if (said.model, said.commit) != (snapshot.model, snapshot.commit):
        return f"it is of {said.model} at {said.commit}"
    known = {file.path: file for file in said.files}
    taken = {file.path: file for file in snapshot.files}
    for path, file in known.items():
        held = taken.get(path)
        if held is None or (held.identity, held.size) != (file.identity, file.size):
            return f"it names {path}, of which the image holds no such bytes"
        if said.layers[path] != contents.layers[path]:
            return f"it names another layer for {path}"
    for path in taken:
        if path not in known:
            return f"it does not name {path}"
    return "it is of another recipe" if said.recipe != contents.recipe else "it says other than this image does"


def _inventory_problem(document: Any, digest: str, contents: Contents) -> str:
    if not isinstance(document, dict):
        return "it is malformed"
    if _same(document, contents.inventory(digest, sbom.writer_version(document))):
        return ""
    return "it lists other files, or says other than this image does"


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _same(one: Any, other: Any) -> bool:
    """Tells whether two documents are the same JSON. In Python 1 equals 1.0 and True, which are written otherwise."""
    try:
        return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    except (RecursionError, ValueError, TypeError):
        return False
