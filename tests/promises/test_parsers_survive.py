"""What reads a stranger's bytes: it says what is wrong, or reads them as they are. `--mutations` makes it longer."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from modelcar.attestation import bundle, cosign, dsse, model_signing, sbom
from modelcar.attestation.provenance import Provenance, Statement
from modelcar.errors import ModelcarError, RegistryError, WrongBytesError
from modelcar.image import layer_digests
from modelcar.image.base_contents import look_into
from modelcar.oci.stored import Stored
from modelcar.oci.tar_reader import members
from modelcar.oci.tar_writer import Entry, Layer
from tests.parts.forged import INDEX, MANIFEST, Member, directory, tar_of
from tests.parts.fuzzing import fuzzed
from tests.parts.mutations import change_json

LONG = "long/" + "n" * 120 + "/" + "é" * 60
FILES = {"models/config.json": b"{}", "models/a/b-c.json": b"[1]" * 300, f"models/{LONG}": b"x" * 2000}


@dataclass(frozen=True)
class Held:
    """Bytes of a file."""

    content: bytes

    def read(self, start: int = 0) -> Iterator[bytes]:
        yield self.content[start:]


def written(files: Mapping[str, bytes]) -> bytes:
    """Writes a layer, as our own writer does."""
    entries = tuple(Entry(path, Held(content), len(content)) for path, content in files.items())
    return b"".join(piece.data for piece in Layer(entries).pieces())


HONEST = written(FILES)


def read(content: bytes, step: int = 4096) -> dict[str, bytes]:
    """Reads a layer; gives its files."""
    chunks = (content[at : at + step] for at in range(0, len(content), step))
    return {member.path: b"".join(map(bytes, member.data)) for member in members(chunks)}


def damaged(random: Random, content: bytes) -> bytes:
    """Flips, cuts, doubles, moves or overwrites some of it, on the borders of blocks as well."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        unit = random.choice((1, 512))
        at = random.randrange(len(changed) // unit + 1) * unit
        size = random.choice((1, 4, 8, 12, 100, 512, 1024))
        how = random.randrange(6)
        if how == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif how == 1:
            del changed[at : at + size]
        elif how == 2:
            changed[at:at] = changed[at : at + size]
        elif how == 3:
            changed[at : at + size] = bytes(random.choice((0, 48, 55, 255)) for _ in range(size))
        elif how == 4:
            changed += changed[at : at + size]
        else:
            del changed[at:]
    return bytes(changed)


def test_a_layer_is_read_as_it_was_written() -> None:
    for step in (1, 7, 511, 512, 4096):
        assert read(HONEST, step) == FILES


def test_a_damaged_layer_is_refused_unless_only_a_files_bytes_are_others(request: pytest.FixtureRequest) -> None:
    seen = {"refused": 0, "other bytes": 0}

    def check(random: Random) -> None:
        content = damaged(random, HONEST)
        if content == HONEST:
            return
        try:
            found = read(content, random.choice((100, 512, 4096)))
        except (WrongBytesError, RegistryError):
            seen["refused"] += 1
            return
        # What is read makes, written again, these very bytes: nothing hides between the members.
        seen["other bytes"] += 1
        assert written(found) == content

    fuzzed(request, check, times=10)
    assert seen["refused"] > seen["other bytes"] > 0


def test_a_damaged_base_layer_is_no_traceback(request: pytest.FixtureRequest) -> None:
    tar = tar_of(directory("etc/"), Member("etc/x", b"x" * 700), Member("usr/y", kind=b"2", link="/etc/x"))

    def check(random: Random) -> None:
        content = damaged(random, tar)
        step = random.choice((1, 100, 4096))
        chunks: Iterator[bytes] = (content[at : at + step] for at in range(0, len(content), step))
        try:
            look_into(chunks)
        except WrongBytesError:
            return

    fuzzed(request, check, times=10)


STATEMENT: dict[str, Any] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "x", "digest": {"sha256": "0" * 64}}],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {
        "buildDefinition": {
            "buildType": "x",
            "externalParameters": {"model": "a/b", "commit": "0" * 40},
            "resolvedDependencies": [{"uri": "x", "digest": {"sha256": "0" * 64}, "annotations": {"size": 1}}],
        }
    },
}
DOCUMENTS: tuple[dict[str, Any], ...] = (
    STATEMENT,
    {"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": [{"keyid": "", "sig": "AAAA"}]},
    {
        "mediaType": bundle.MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "dsseEnvelope": {
            "payloadType": "application/vnd.in-toto+json",
            "payload": "e30=",
            "signatures": [{"sig": "A"}],
        },
    },
    {"critical": {"image": {"docker-manifest-digest": "x"}, "type": "x"}, "optional": None},
    model_signing.statement("a/b", {"x": "0" * 64, "y/z": "1" * 64}),
    {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"tools": {"components": [{"version": "1"}]}}},
    {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "x", "digest": "x", "size": 2}, "layers": []},
    {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST, "digest": "x", "size": 2}]},
    {"a": "sha256:" + "0" * 64},
)


def test_no_damaged_document_is_a_traceback(request: pytest.FixtureRequest) -> None:
    def check(random: Random) -> None:
        document = json.loads(json.dumps(random.choice(DOCUMENTS)))
        for _ in range(random.choice((1, 2, 5))):
            change_json(random, document)
        try:
            content = json.dumps(document).encode()
        except ValueError:
            # A part of it was put into itself.
            return
        if random.random() < 0.3:
            content = damaged(random, content)
        for opener in (bundle.opened, dsse.opened):
            opener(content, None)
        model_signing.signed_files(content)
        cosign.signed_digest(content)
        layer_digests.read_digests(content)
        statement = Statement.read(content)
        if statement is not None:
            statement.is_about("sha256:" + "0" * 64)
            Provenance.read(statement.predicate)
        sbom.writer_version(document)
        for kind in (MANIFEST, INDEX):
            stored = Stored(content, kind)
            for reading in (stored.annotations, stored.manifest, stored.index):
                try:
                    reading()
                except ModelcarError:
                    continue

    fuzzed(request, check, times=10)
