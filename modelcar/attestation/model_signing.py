"""OpenSSF Model Signing: a signature over a model's files, which `model_signing verify` checks where they are used.

It is made of the files' published hashes, so that no weights are read. See https://github.com/ossf/model-signing-spec.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from modelcar.attestation.provenance import STATEMENT
from modelcar.hub.snapshot import Snapshot
from modelcar.oci import spec
from modelcar.oci.referrers import Attachment, Content

PREDICATE = "https://model_signing/signature/v1.0"
MEDIA_TYPE = "application/vnd.io.modelcar.model-signature.v1+json"
"""Type of the attachment. It holds a Sigstore bundle, but what says so cosign takes for a signature of the image."""

FILE_NAME = "model.sig"
"""Name that the tool itself gives it; whoever pulls the attachment gets a file of this name."""

IGNORED = (".git", ".gitattributes", ".github", ".gitignore")
"""Files that the tool leaves out by default, where it signs and where it verifies."""

Json = dict[str, Any]


def statement(model: str, hashes: Mapping[str, str]) -> Json:
    """States which files a model has.

    Args:
        model: The model's name. It is for people; nothing is checked by it.
        hashes: The SHA-256 of each file, by its place in /models.
    """
    signed = sorted((path for path in hashes if path.split("/")[0] not in IGNORED), key=lambda path: path.split("/"))
    return {
        "_type": STATEMENT,
        "subject": [{"name": model, "digest": {"sha256": _root(hashes[path] for path in signed)}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(IGNORED),
            },
            "resources": [{"name": path, "algorithm": "sha256", "digest": hashes[path]} for path in signed],
        },
    }


def attachment(bundle: bytes) -> Attachment:
    """Makes an attachment of the bundle in which such a statement is signed."""
    return Attachment(MEDIA_TYPE, (Content(MEDIA_TYPE, bundle, {spec.TITLE: FILE_NAME}),))


def signed_files(payload: bytes) -> dict[str, str] | None:
    """Reads such a statement.

    Args:
        payload: The statement.

    Returns:
        The SHA-256 of each file, by its path; None if it is no such statement, or contradicts itself.
    """
    try:
        read = _Statement.model_validate(json.loads(payload))
    except (ValidationError, ValueError, RecursionError):
        return None
    resources = read.predicate.resources
    files = {resource.name: resource.digest for resource in resources}
    if read.predicate_type != PREDICATE or len(files) != len(resources) or len(read.subject) != 1:
        return None
    return files if read.subject[0].digest.get("sha256") == _root(files.values()) else None


def problem(payload: bytes, snapshot: Snapshot, hashes: Mapping[str, str]) -> str:
    """Says how such a statement differs from the files that were published; empty if it does not.

    Args:
        payload: The statement.
        snapshot: The files.
        hashes: The SHA-256 of those that were read, by their places in /models. Of a file that was not, and that the
            Hub publishes by git's object id, there is nothing to compare with.
    """
    files = signed_files(payload)
    if files is None:
        return "it is malformed"
    wanted = {file.place: file for file in snapshot.files if file.place.split("/")[0] not in IGNORED}
    for path in sorted(files.keys() ^ wanted.keys()):
        return f"it names {path}, which is not there" if path in files else f"it does not name {path}"
    for path, file in wanted.items():
        known = file.sha256 or hashes.get(path, "")
        if known and files[path] != known:
            return f"it names other bytes for {path}"
    return ""


class _Resource(BaseModel):
    name: str
    algorithm: str = Field(pattern="^sha256$")
    digest: str = Field(pattern="^[0-9a-f]{64}$")


class _Predicate(BaseModel):
    resources: list[_Resource]


class _Subject(BaseModel):
    digest: dict[str, str]


class _Statement(BaseModel):
    subject: list[_Subject]
    predicate_type: str = Field(alias="predicateType")
    predicate: _Predicate


def _root(digests: Any) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()
