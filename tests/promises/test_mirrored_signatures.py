"""Signatures on the way to a mirror: a signed image is signed there too, or the run fails."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from modelcar import pod
from modelcar.attestation import bundle, signing
from modelcar.attestation.keys import PublicKey, SigningError
from modelcar.errors import RegistryError
from modelcar.oci import referrers
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.steps.mirror import mirror
from modelcar.steps.preflight import checks
from modelcar.steps.preflight.request import RunRequest
from modelcar.steps.verify.verify import verify
from tests.parts.answers import unsent
from tests.parts.forged import MANIFEST, Place, digest_of, encoded
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import plan, stream

MODEL = "example/mirrored"


@pytest.fixture(scope="module")
def filled_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("mirrored")) as hub:
        hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000})
        yield hub


@pytest.fixture
def source(
    filled_hub: Hub, plain_registry: Registry, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """Give a repository of the test's own."""
    monkeypatch.setenv("HF_ENDPOINT", filled_hub.url)
    return Place(plain_registry.host, f"mirrored/{digest_of(request.node.nodeid.encode())[7:23]}")


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublicKey:
    private, public = write_keys(tmp_path)
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))
    return PublicKey.read(public)


@pytest.fixture
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(pod.SIGNING_KEY, raising=False)


def run(source: Place) -> Reference:
    return stream(MODEL, f"{source.host}/{source.name}:1").image


def copied(image: Reference, source: Place) -> Reference:
    return mirror(str(image), f"{source.host}/{source.name}/copy:1").image


def copy_place(source: Place) -> Place:
    return Place(source.host, f"{source.name}/copy")


def tag_of(digest: str, end: str = "") -> str:
    return digest.replace(":", "-") + end


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Give a function that lets repositories of some name refuse what a part of a request's body or path shows."""
    real = requests.Session.request

    def refuse(repository: str, part: str) -> None:
        def bent(session: Any, method: str, url: str, **options: Any) -> Any:
            shown = url + str(options.get("data") or "")
            if method == "PUT" and f"/{repository}/manifests/" in url and part in shown:
                return unsent(b'{"errors":[{"code":"TAG_INVALID","message":"it is not taken"}]}', 400, url)
            return real(session, method, url, **options)

        monkeypatch.setattr(requests.Session, "request", bent)

    return refuse


def test_a_mirror_that_takes_no_signature_fails_before_its_tag(
    source: Place, key: PublicKey, refusing: Callable[[str, str], None]
) -> None:
    image = run(source)
    refusing(f"{source.name}/copy", ".sig")

    with pytest.raises(SigningError, match=r"is signed, and its signatures cannot be brought to .*it is not taken"):
        copied(image, source)

    assert not requests.head(copy_place(source).url("manifests/1"), timeout=60).ok


def test_a_mirror_that_takes_no_bundles_but_signatures_is_told(
    source: Place, key: PublicKey, refusing: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    image = run(source)
    refusing(f"{source.name}/copy", "sigstore.bundle")

    copy = copied(image, source)

    assert "does not take all of what is attached" in capsys.readouterr().out
    assert verify(str(copy), key=key).is_whole


def test_an_image_with_a_bundle_alone_is_not_mirrored_without_it(
    source: Place, unsigned: None, tmp_path: Path, refusing: Callable[[str, str], None]
) -> None:
    """As cosign 3 signs it."""
    image = run(source)
    content = b"{}"
    layer = {"mediaType": bundle.MEDIA_TYPE, "digest": source.put_blob(content), "size": len(content)}
    top = source.manifest(image.digest)
    subject = {"mediaType": json.loads(top)["mediaType"], "digest": image.digest, "size": len(top)}
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": source.put_blob(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": bundle.MEDIA_TYPE, "config": empty}
    with Repository(image, push=True) as repository:
        stored = Stored(encoded({**document, "layers": [layer], "subject": subject}), MANIFEST)
        referrers.put(repository, repository.manifest(image.digest), [referrers.Attached(stored)])
    refusing(f"{source.name}/copy", "sigstore.bundle")

    with pytest.raises(SigningError, match="cannot be brought to"):
        copied(image, source)


def test_a_signature_made_later_is_carried_to_what_is_there(
    source: Place, plain_registry: Registry, unsigned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = run(source)
    copy = copied(image, source)
    private, public = write_keys(tmp_path, "later")
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))
    assert run(source) == image
    assert not verify(str(copy), key=PublicKey.read(public)).is_whole

    again = mirror(str(image), f"{source.host}/{source.name}/copy:1")

    assert again.image == copy
    assert again.copied_bytes < 100_000
    assert verify(str(copy), key=PublicKey.read(public)).is_whole
    before = len(plain_registry.requests())
    assert mirror(str(image), f"{source.host}/{source.name}/copy:1").copied_bytes == 0
    later = plain_registry.requests()[before:]
    assert not [one for one in later if one.method in ("PUT", "POST", "PATCH") or "/blobs/" in one.path]


def test_a_rotated_keys_signature_is_carried_too(
    source: Place, key: PublicKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = run(source)
    copy = copied(image, source)
    private, public = write_keys(tmp_path, "next")
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))
    run(source)

    copied(image, source)

    assert verify(str(copy), key=PublicKey.read(public)).is_whole
    assert verify(str(copy), key=key).is_whole


@pytest.mark.parametrize("junk", ["blob is gone", "no layers", "index"])
def test_junk_beside_an_image_keeps_no_signature_from_its_mirror(junk: str, source: Place, key: PublicKey) -> None:
    image = run(source)
    gone = {"mediaType": "application/x", "digest": f"sha256:{'0' * 64}", "size": 3}
    empty = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": source.put_blob(b"{}"), "size": 2}
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": []}
    if junk == "blob is gone":
        # The registry takes no manifest without its blobs, but it may lose them.
        content = b"gone soon"
        document["layers"] = [{**gone, "digest": source.put_blob(content), "size": len(content)}]
    if junk == "index":
        document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    source.put_manifest(encoded(document), tag_of(image.digest, ".sbom"))
    if junk == "blob is gone":
        requests.delete(source.url(f"blobs/{document['layers'][0]['digest']}"), timeout=60).raise_for_status()

    copy = copied(image, source)

    assert verify(str(copy), key=key).is_whole


@pytest.mark.parametrize("junk", ["no layers", "index", "other layers"])
def test_junk_where_the_mirrors_signature_goes_is_written_over(junk: str, source: Place, key: PublicKey) -> None:
    """Whoever may push to the mirror was there first."""
    image = run(source)
    there = copy_place(source)
    empty = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": there.put_blob(b"{}"), "size": 2}
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": []}
    if junk == "index":
        document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    if junk == "other layers":
        document["layers"] = [{"mediaType": "application/x", "digest": there.put_blob(b"junk"), "size": 4}]
    there.put_manifest(encoded(document), tag_of(image.digest, ".sig"))

    copy = copied(image, source)

    assert verify(str(copy), key=key).is_whole


def test_a_mirror_that_never_shows_the_signature_is_an_error(
    source: Place, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = run(source)
    real = Repository.find_manifest
    monkeypatch.setattr(signing, "SHOWN_SECONDS", 0.0)

    def hidden(repository: Repository, version: str) -> Stored | None:
        is_copy = repository.reference.repository.endswith("/copy")
        return None if is_copy and version.endswith(".sig") else real(repository, version)

    monkeypatch.setattr(Repository, "find_manifest", hidden)

    with pytest.raises(SigningError, match="does not show it under the tag"):
        copied(image, source)


def test_preflight_finds_work_where_the_mirror_is_unsigned(
    source: Place, unsigned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, copy = f"{source.host}/{source.name}:1", f"{source.host}/{source.name}/copy:1"
    image = run(source)
    copied(image, source)
    request = RunRequest(model=MODEL, target=target, mirror_target=copy, streaming=True)
    assert checks.find_unchanged(request, plan(MODEL, target)) == Reference.parse(copy).at(image.digest)
    monkeypatch.setenv(pod.SIGNING_KEY, str(write_keys(tmp_path, "later")[0]))
    assert checks.find_unchanged(request, plan(MODEL, target)) is None
    run(source)
    assert checks.find_unchanged(request, plan(MODEL, target)) is None

    copied(image, source)

    assert checks.find_unchanged(request, plan(MODEL, target)) == Reference.parse(copy).at(image.digest)


def test_an_unsigned_image_is_mirrored_to_what_takes_no_attachments(
    source: Place, unsigned: None, refusing: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    image = run(source)
    refusing(f"{source.name}/copy", "in-toto")

    copied(image, source)

    assert "does not take all of what is attached" in capsys.readouterr().out
    with pytest.raises(RegistryError):
        Repository(image).manifest(tag_of(image.digest, ".sig"))
