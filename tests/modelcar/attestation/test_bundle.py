"""Bundles, envelopes and statements that are read: what is malformed is none, and is never a traceback."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.attestation import bundle, cosign, dsse, model_signing
from modelcar.attestation.keys import SigningKey
from modelcar.oci import spec
from tests.parts.signing_keys import write_keys

STATEMENT = {"_type": "x", "subject": [{"name": "é", "digest": {"sha256": "0" * 64}}], "predicateType": "t"}
DEEP = "[" * 100_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """Give a key."""
    return SigningKey.read(write_keys(tmp_path_factory.mktemp("keys"))[0], b"")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """Give another key."""
    return SigningKey.read(write_keys(tmp_path_factory.mktemp("keys"))[0], b"")


@pytest.mark.parametrize("by_curve", [True, False])
def test_what_was_signed_is_read_back(by_curve: bool, key: SigningKey, foreign: SigningKey) -> None:
    made = bundle.bundle(STATEMENT, key, by_curve=by_curve)

    for who, by_us in ((key.public, True), (foreign.public, False), (None, False)):
        read = bundle.opened(made, who)
        assert read is not None
        assert (json.loads(read.payload), read.by_us) == (STATEMENT, by_us)
    assert made == bundle.bundle(STATEMENT, key, by_curve=by_curve)


def test_a_changed_payload_is_not_signed(key: SigningKey) -> None:
    made = json.loads(bundle.bundle(STATEMENT, key))
    made["dsseEnvelope"]["payload"] = base64.b64encode(b'{"_type":"y"}').decode()

    read = bundle.opened(json.dumps(made).encode(), key.public)

    assert read is not None
    assert not read.by_us


@pytest.mark.parametrize(
    "change",
    [
        {"mediaType": "application/json"},
        {"dsseEnvelope": None},
        {"dsseEnvelope": {"payload": "é", "payloadType": "t", "signatures": []}},
        {"dsseEnvelope": {"payload": "=", "payloadType": "t", "signatures": []}},
        {"dsseEnvelope": {"payload": "", "payloadType": 1, "signatures": []}},
        {"dsseEnvelope": {"payload": "", "payloadType": "t", "signatures": [{}]}},
    ],
)
def test_a_malformed_bundle_is_none(change: dict[str, Any], key: SigningKey) -> None:
    made = json.loads(bundle.bundle(STATEMENT, key)) | change

    assert bundle.opened(json.dumps(made).encode(), key.public) is None


@pytest.mark.parametrize("sig", ["é", "", "AAAA", "=", "A" * 10_000, "\ud800"])
def test_a_malformed_signature_is_no_signature(sig: str, key: SigningKey) -> None:
    made = json.loads(bundle.bundle(STATEMENT, key))
    made["dsseEnvelope"]["signatures"] = [{"sig": sig}]

    read = bundle.opened(json.dumps(made).encode(), key.public)

    assert read is None or not read.by_us
    layer = spec.descriptor("x", "sha256:" + "0" * 64, 1, annotations={cosign.SIGNATURE: sig})
    assert not cosign.is_signed(b"payload", layer, key.public)


@pytest.mark.parametrize("content", [b"", b"\xff", DEEP.encode(), b'{"a":' * 100_000, b"null", b"[]", b'"x"', b"1e999"])
def test_junk_is_nothing(content: bytes, key: SigningKey) -> None:
    assert bundle.opened(content, key.public) is None
    assert dsse.opened(content, key.public) is None
    assert model_signing.signed_files(content) is None
    assert cosign.signed_digest(content) == ""


@given(JSON)
def test_no_json_is_a_traceback(document: Any) -> None:
    content = json.dumps(document).encode()
    for wrapped in (content, b'{"critical":' + content + b"}", b'{"predicate":' + content + b',"subject":[]}'):
        assert bundle.opened(wrapped, None) is None
        assert dsse.opened(wrapped, None) is None
        assert model_signing.signed_files(wrapped) is None
        cosign.signed_digest(wrapped)


def test_a_models_files_are_read_back() -> None:
    hashes = {"b/x": "1" * 64, "a-b": "2" * 64, "a/x": "3" * 64, ".gitattributes": "4" * 64, "a/.gitignore": "5" * 64}
    made = model_signing.statement("example/m", hashes)

    read = model_signing.signed_files(json.dumps(made).encode())

    # As the tool sorts: by the parts of a path. What it leaves out is left out.
    assert list((read or {}).items()) == [(path, hashes[path]) for path in ("a/.gitignore", "a/x", "a-b", "b/x")]


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made["predicate"]["resources"].pop(),
        lambda made: made["predicate"]["resources"].append(made["predicate"]["resources"][0]),
        lambda made: made["predicate"]["resources"][0].update(digest="0" * 64),
        lambda made: made["predicate"]["resources"][0].update(algorithm="blake2b"),
        lambda made: made["subject"].append(made["subject"][0]),
        lambda made: made["subject"][0]["digest"].clear(),
        lambda made: made.update(predicateType="other"),
    ],
)
def test_a_statement_that_contradicts_itself_is_none(change: Any) -> None:
    made = model_signing.statement("example/m", {"a": "1" * 64, "b": "2" * 64})
    change(made)

    assert model_signing.signed_files(json.dumps(made).encode()) is None


def test_keys_that_nobody_could_check_are_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    from modelcar.attestation.keys import PublicKey, SigningError

    key = ec.generate_private_key(ec.SECP256K1())
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    for read in (lambda: SigningKey.read(tmp_path / "key", b""), lambda: PublicKey.read(tmp_path / "pub")):
        with pytest.raises(SigningError, match=r"secp256k1.*cosign generate-key-pair"):
            read()
