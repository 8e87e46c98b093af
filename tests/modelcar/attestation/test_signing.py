"""Our signatures in each form, judged by those who check them: cosign itself and OpenSSF's model_signing."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from modelcar.attestation import bundle, cosign, model_signing, provenance, sbom, signing
from modelcar.attestation.keys import SigningError, SigningKey
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.oci import referrers, spec
from modelcar.oci.reference import Reference
from modelcar.oci.referrers import Content
from modelcar.oci.registry import Repository, Stored
from tests.parts.answers import unsent
from tests.parts.cosign import cosign as run_cosign
from tests.parts.crane import crane_registry
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.zot import zot_registry

FILES = {"config.json": b"{}", "a/x.json": b"1", "a-b.json": b"2", "é.safetensors": b"w" * 1000}
HASHES = {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}
SNAPSHOT = Snapshot(
    model="example/m",
    commit="0" * 40,
    created=datetime(2026, 1, 1, tzinfo=UTC),
    source="https://huggingface.co/example/m",
    files=tuple(
        PublishedFile(path=path, size=len(content), sha256=HASHES[path])
        if path.endswith("safetensors")
        else PublishedFile(path=path, size=len(content), git_blob="0" * 40)
        for path, content in FILES.items()
    ),
)


@dataclass
class World:
    """An image in a registry, and the keys to sign it with.

    Attributes:
        repository: Where the image is.
        image: The image.
        key: Our key.
        folder: Holds `ours.pub` and `foreign.pub`.
    """

    repository: Repository
    image: Stored
    key: SigningKey
    folder: Path

    @property
    def reference(self) -> str:
        """The image with its digest."""
        return str(self.repository.reference.at(self.image.digest))

    def sign(self, key: SigningKey | None = None) -> None:
        """Sign all that there is to sign."""
        definition = {"buildType": "x", "externalParameters": {}}
        origin = {"buildDefinition": definition, "runDetails": {"builder": {"id": "x"}}}
        statements = [
            provenance.statement(provenance.PREDICATE, origin, "m", self.image.digest),
            provenance.statement(sbom.PREDICATE, {"bomFormat": "CycloneDX"}, "m", self.image.digest),
        ]
        key = key or self.key
        model = signing.model_signature(self.repository, self.image, SNAPSHOT, lambda: HASHES, key)
        signing.sign(
            self.repository,
            [self.image],
            [*signing.signed_statements(self.repository, self.image, statements, key), model],
            key,
        )

    def judged(self, *command: str, key: str = "ours.pub") -> "subprocess.CompletedProcess[str]":
        """Have cosign check the image, without a network."""
        more = ["--insecure-ignore-tlog=true", "--allow-http-registry", "--key", str(self.folder / key)]
        return run_cosign(self.folder, *command, *more, self.reference)

    def put_at_signature(self, stored: Stored) -> None:
        """Write something where cosign keeps signatures."""
        self.repository.put_manifest(stored, referrers.tag(self.image.digest, referrers.SIGNATURES))


def world(host: str, folder: Path, curve: ec.EllipticCurve | None = None) -> World:
    """Push an image."""
    private, _ = write_keys(folder, "ours", curve or ec.SECP256R1())
    write_keys(folder, "foreign")
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    repository = Repository(Reference.parse(f"{host}/signing/{name}:1"), push=True)
    config = spec.Config(architecture="amd64", os="linux", rootfs=spec.RootFs(diff_ids=[])).encoded()
    repository.put_small_blob(config)
    manifest = spec.Manifest(config=spec.describe(config, spec.CONFIG), layers=[], annotations={"a": name})
    image = Stored(manifest.encoded(), spec.MANIFEST)
    repository.put_manifest(image, "1")
    return World(repository, image, SigningKey.read(private, b""), folder)


@pytest.fixture
def image(plain_registry: Registry, tmp_path: Path) -> World:
    """Give an image in a registry that knows no referrers."""
    return world(plain_registry.host, tmp_path)


@pytest.fixture(params=["docker-registry", "zot", "crane"])
def anywhere(request: pytest.FixtureRequest, plain_registry: Registry, tmp_path: Path) -> Iterator[World]:
    """Give an image in a registry of each kind: with referrers and without."""
    if request.param == "docker-registry":
        yield world(plain_registry.host, tmp_path)
        return
    serve = zot_registry if request.param == "zot" else crane_registry
    with serve(tmp_path / "registry") as registry:
        yield world(registry.host, tmp_path)


TYPES = {"slsaprovenance1": provenance.PREDICATE, "cyclonedx": sbom.PREDICATE}


@pytest.mark.parametrize("form", ["--new-bundle-format=true", "--new-bundle-format=false"])
def test_cosign_takes_our_signature_and_attestations_in_both_forms(form: str, anywhere: World) -> None:
    anywhere.sign()

    verified = anywhere.judged("verify", form)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)[0]["critical"]["image"]["docker-manifest-digest"] == anywhere.image.digest
    for kind in TYPES:
        done = anywhere.judged("verify-attestation", form, "--type", kind)
        assert done.returncode == 0, done.stderr
    assert anywhere.judged("verify", form, key="foreign.pub").returncode != 0
    assert anywhere.judged("verify-attestation", form, "--type", "cyclonedx", key="foreign.pub").returncode != 0


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_keys_on_other_curves_are_taken_as_well(
    curve: ec.EllipticCurve, plain_registry: Registry, tmp_path: Path
) -> None:
    image = world(plain_registry.host, tmp_path, curve)
    image.sign()

    for form in ("--new-bundle-format=true", "--new-bundle-format=false"):
        assert image.judged("verify", form).returncode == 0
    assert model_signing_says(image, tmp_path).returncode == 0


def model_signature(image: World) -> bytes:
    """Give the model's signature as whoever lists an image's attachments gets it."""
    (found,) = (
        one.stored.manifest().layers[0]
        for one in referrers.find(image.repository, image.image.digest)
        if one.stored.manifest().artifact_type == model_signing.MEDIA_TYPE
    )
    assert (found.annotations or {})[spec.TITLE] == "model.sig"
    return image.repository.small_blob(found.digest)


def model_signing_says(image: World, folder: Path, key: str = "ours.pub", **changed: bytes) -> Any:
    """Have the stock tool check the files."""
    models = folder / "models"
    for path, content in {**FILES, **changed}.items():
        (models / path).parent.mkdir(parents=True, exist_ok=True)
        (models / path).write_bytes(content)
    (folder / "model.sig").write_bytes(model_signature(image))
    command = [Path(sys.executable).with_name("model_signing"), "verify", "key", models]
    options = ["--signature", folder / "model.sig", "--public_key", folder / key]
    return subprocess.run([*command, *options], check=False, capture_output=True, text=True)


def test_the_stock_model_signing_tool_takes_the_models_files(anywhere: World, tmp_path: Path) -> None:
    anywhere.sign()

    assert model_signing_says(anywhere, tmp_path).returncode == 0
    assert model_signing_says(anywhere, tmp_path, key="foreign.pub").returncode != 0
    altered = model_signing_says(anywhere, tmp_path, **{"config.json": b"[]"})
    assert altered.returncode != 0
    assert "config.json" in altered.stdout + altered.stderr
    more = model_signing_says(anywhere, tmp_path, **{"more.json": b""})
    assert "more.json" in more.stdout + more.stderr


def test_signing_again_writes_nothing(plain_registry: Registry, image: World) -> None:
    image.sign()
    before = len(plain_registry.requests())

    image.sign()

    written = [one for one in plain_registry.requests()[before:] if one.method not in ("GET", "HEAD")]
    assert written == []


def test_a_rotated_key_signs_again_and_the_old_signature_stays(image: World, tmp_path: Path) -> None:
    image.sign()
    private, _ = write_keys(tmp_path, "rotated")

    image.sign(SigningKey.read(private, b""))

    for form in ("--new-bundle-format=true", "--new-bundle-format=false"):
        assert image.judged("verify", form, key="rotated.pub").returncode == 0
        assert image.judged("verify", form).returncode == 0
        assert image.judged("verify-attestation", form, "--type", "cyclonedx", key="rotated.pub").returncode == 0


JUNK = Content(cosign.SIMPLE_SIGNING, b"{}", {cosign.SIGNATURE: "junk"})


def junk_manifest(image: World) -> Stored:
    image.repository.put_small_blobs([JUNK.content, b"{}"])
    layers = [JUNK.descriptor()]
    return Stored(spec.Manifest(config=spec.describe(b"{}", spec.CONFIG), layers=layers).encoded(), spec.MANIFEST)


def no_layers(image: World) -> Stored:
    image.repository.put_small_blob(b"{}")
    return Stored(spec.Manifest(config=spec.describe(b"{}", spec.CONFIG), layers=[]).encoded(), spec.MANIFEST)


def other_index(image: World) -> Stored:
    entries = [spec.describe(image.image.content, spec.MANIFEST)]
    return Stored(spec.Index(manifests=entries).encoded(), spec.INDEX)


@pytest.mark.parametrize("junk", [junk_manifest, no_layers, other_index, lambda image: image.image])
def test_junk_where_the_signature_goes_is_no_signature(junk: Any, image: World) -> None:
    image.put_at_signature(junk(image))
    assert not signing.is_signed(image.repository, image.image.digest, image.key.public)

    image.sign()

    assert signing.is_signed(image.repository, image.image.digest, image.key.public)
    for form in ("--new-bundle-format=true", "--new-bundle-format=false"):
        assert image.judged("verify", form).returncode == 0


def test_a_signature_of_another_image_is_none_of_this(image: World) -> None:
    other = cosign.signature(image.repository.reference, "sha256:" + "0" * 64, image.key)
    referrers.attach(image.repository, image.image, [other])

    assert not signing.is_signed(image.repository, image.image.digest, image.key.public)


def test_a_junk_list_of_attachments_hides_no_signature(image: World) -> None:
    """Whoever may push may write the list of a registry that keeps none itself."""
    image.repository.put_manifest(no_layers(image), referrers.tag(image.image.digest))

    image.sign()

    assert image.judged("verify").returncode == 0


def test_a_registry_that_takes_no_signature_is_an_error(image: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = requests.Session.request

    def bent(session: Any, method: str, url: str, **options: Any) -> Any:
        if method == "PUT" and url.endswith(referrers.SIGNATURES):
            # As ECR answers where tags are immutable.
            return unsent(
                b'{"errors":[{"code":"TAG_INVALID","message":"The image tag is immutable"}]}',
                400,
                url,
            )
        return real(session, method, url, **options)

    monkeypatch.setattr(requests.Session, "request", bent)

    with pytest.raises(SigningError, match=r"takes no signature.*immutable"):
        image.sign()


@pytest.mark.usefixtures("waits")
def test_a_tag_that_is_shown_late_is_waited_for(image: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, late = Repository.find_manifest, [3]

    def bent(repository: Repository, version: str) -> Stored | None:
        if version.endswith(referrers.SIGNATURES) and late[0]:
            late[0] -= 1
            return None
        return real(repository, version)

    monkeypatch.setattr(Repository, "find_manifest", bent)

    image.sign()

    assert late == [0]
    assert image.judged("verify", "--new-bundle-format=false").returncode == 0


@pytest.mark.usefixtures("waits")
def test_a_signature_that_is_never_shown_is_an_error(image: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Repository.find_manifest
    monkeypatch.setattr(signing, "SHOWN_SECONDS", 0.0)
    monkeypatch.setattr(
        Repository,
        "find_manifest",
        lambda repository, version: None if version.endswith(referrers.SIGNATURES) else real(repository, version),
    )

    with pytest.raises(SigningError, match=r"does not show it under the tag sha256-.*\.sig"):
        image.sign()


def test_cosigns_own_bundles_are_read(image: World, tmp_path: Path) -> None:
    """What cosign signs with the same key reads as ours does, and ours stays beside it."""
    options = ["--key", str(tmp_path / "ours.key"), "--output-key-prefix", str(tmp_path / "theirs")]
    made = run_cosign(tmp_path, "import-key-pair", *options, COSIGN_PASSWORD="")
    assert made.returncode == 0, made.stderr
    options = ["--tlog-upload=false", "--allow-http-registry", "--yes", "--use-signing-config=false"]
    done = run_cosign(
        tmp_path, "sign", "--key", str(tmp_path / "theirs.key"), *options, image.reference, COSIGN_PASSWORD=""
    )
    assert done.returncode == 0, done.stderr

    found = [
        bundle.opened(image.repository.small_blob(layer.digest), image.key.public)
        for one in referrers.find(image.repository, image.image.digest)
        for layer in one.stored.manifest().layers
        if layer.media_type == bundle.MEDIA_TYPE
    ]

    assert [one is not None and one.by_us for one in found] == [True]
    assert found[0] is not None
    stated = provenance.Statement.read(found[0].payload)
    assert stated is not None
    assert stated.predicate_type == cosign.SIGN
    assert stated.is_about(image.image.digest)
