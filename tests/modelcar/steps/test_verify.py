"""`modelcar verify`: each link of an image's chain, whole and broken in every way that we know of."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from modelcar import pod
from modelcar.attestation import cosign, dsse, provenance
from modelcar.attestation.keys import PublicKey, SigningKey
from modelcar.claim.files import OnDisk
from modelcar.errors import RegistryError
from modelcar.oci import referrers, spec
from modelcar.oci.reference import Reference
from modelcar.oci.referrers import Attachment, Content
from modelcar.oci.registry import Repository, Stored
from modelcar.oci.tar_writer import Entry, Layer
from modelcar.steps.mirror import mirror
from modelcar.steps.register import register
from modelcar.steps.verify.result import Outcome, State, Verification
from modelcar.steps.verify.verify import verify
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import stream

MODELCAR = str(Path(sys.executable).with_name("modelcar"))
MODEL = "example/verified"
SHARD = "model-00001-of-00002.safetensors"
Change = Callable[[spec.Manifest], list[spec.Descriptor]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def filled_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("verified")
    files = tiny_llama(folder / "model", shards=2, bytes_per_shard=1_200_000, consolidated=False)
    with Hub(folder / "hub") as hub:
        hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
        yield hub


@pytest.fixture
def published(filled_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("HF_ENDPOINT", filled_hub.url)
    return filled_hub


@pytest.fixture(scope="module")
def signed(filled_hub: Hub, plain_registry: Registry, keys: tuple[Path, Path]) -> Reference:
    """Give a signed image, which must not be changed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", filled_hub.url)
        environment.setenv(pod.SIGNING_KEY, str(keys[0]))
        return stream(MODEL, f"{plain_registry.host}/verify/signed:1").image


@pytest.fixture
def image(published: Hub, signed: Reference, request: pytest.FixtureRequest) -> Reference:
    """Give a signed image in a repository of the test's own."""
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    return mirror(str(signed), f"{signed.registry}/verify/{name}:1").image


def key_of(keys: tuple[Path, Path]) -> PublicKey:
    return PublicKey.read(keys[1])


def broken(done: Verification) -> list[tuple[str, str]]:
    return [(link.name, link.detail) for link in done.links if link.state is State.BROKEN]


def blob_file(registry: Registry, digest: str) -> Path:
    value = digest.removeprefix("sha256:")
    return registry.storage / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"


def layers_of(image: Reference) -> list[spec.Descriptor]:
    with Repository(image) as repository:
        top = repository.manifest(image.digest)
        return repository.manifest(top.index().manifests[0].digest).manifest().layers


@pytest.fixture
def flipped(plain_registry: Registry) -> Iterator[Callable[[str, int], None]]:
    """Give a function that flips a bit of a blob in the registry's storage, for as long as the test lasts."""
    done: list[tuple[Path, int]] = []

    def flip(digest: str, position: int) -> None:
        file = blob_file(plain_registry, digest)
        content = bytearray(file.read_bytes())
        content[position] ^= 1
        file.write_bytes(content)
        done.append((file, position))

    yield flip
    for file, position in done:
        content = bytearray(file.read_bytes())
        content[position] ^= 1
        file.write_bytes(content)


def forge(image: Reference, change: Change, tag: str = "forged") -> Reference:
    """Pushes an image that says the same of itself and has other layers, as somebody could who may write there."""
    with Repository(image, push=True) as repository:
        top = repository.manifest(image.digest)
        entries = []
        for entry in top.index().manifests:
            manifest = repository.manifest(entry.digest).manifest()
            changed = change(manifest)
            config = spec.Config.model_validate_json(repository.small_blob(manifest.config.digest))
            rootfs = spec.RootFs(diff_ids=[config.rootfs.diff_ids[0], *(layer.digest for layer in changed[1:])])
            content = config.model_copy(update={"rootfs": rootfs}).encoded()
            repository.put_small_blob(content)
            update = {"layers": changed, "config": spec.describe(content, spec.CONFIG)}
            stored = Stored(manifest.model_copy(update=update).encoded(), spec.MANIFEST)
            repository.put_manifest(stored, stored.digest)
            entries.append(spec.describe(stored.content, spec.MANIFEST, platform=entry.platform))
        index = Stored(top.index().model_copy(update={"manifests": entries}).encoded(), spec.INDEX)
        repository.put_manifest(index, tag)
        return image.at(index.digest)


def layer_with(image: Reference, files: dict[str, bytes], folder: Path, *, like: spec.Descriptor) -> spec.Descriptor:
    """Pushes a layer of these files, which claims to be another."""
    entries = []
    for number, (path, content) in enumerate(files.items()):
        (folder / f"forged-{number}").write_bytes(content)
        entries.append(Entry(f"models/{path}", OnDisk.at(folder / f"forged-{number}"), len(content)))
    content = b"".join(Layer(tuple(entries)).chunks())
    return put_layer(image, content, like)


def put_layer(image: Reference, content: bytes, like: spec.Descriptor) -> spec.Descriptor:
    with Repository(image, push=True) as repository:
        repository.put_small_blob(content)
    return spec.describe(content, spec.LAYER, annotations=like.annotations)


def read_blob(registry: Registry, digest: str) -> bytes:
    return blob_file(registry, digest).read_bytes()


def test_versioned_image_is_whole(hub: Hub, plain_registry: Registry) -> None:
    hub.publish("org/versioned", {"model.onnx": os.urandom(2_000_000), "config.json": "{}", "README.md": "x"})
    done = stream("org/versioned", f"{plain_registry.host}/verified/versioned:1", model_layout="versioned")

    found = verify(str(done.image))

    assert not [link for link in found.links if link.state is State.BROKEN]
    assert {link.name: link.state for link in found.links}["recipe"] is State.PROVED


def test_versioned_image_is_signed_where_its_files_lie(
    hub: Hub, plain_registry: Registry, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))
    hub.publish("org/signed", {"model.onnx": os.urandom(2_000_000), "config.json": "{}", "README.md": "x"})
    target = f"{plain_registry.host}/verified/signed-versioned:1"
    image = str(stream("org/signed", target, model_layout="versioned").image)

    for options in ({}, {"quick": True}, {"offline": True}, {"quick": True, "offline": True}):
        done = verify(image, key=key_of(keys), **options)
        assert done.is_whole, done.links
        assert {link.name: link.state for link in done.links}["model signature"] is State.PROVED
    before = len(plain_registry.requests())
    assert stream("org/signed", target, model_layout="versioned").unchanged
    later = plain_registry.requests()[before:]
    assert not [one for one in later if one.method == "GET" and "/blobs/" in one.path and one.size > 100_000]


NAMES = (
    *("image", "Hub", "provenance", "base image", "layers", "files", "recipe", "inventory", "model signature"),
    "signature",
)


def test_a_whole_chain_is_proved(image: Reference, keys: tuple[Path, Path]) -> None:
    done = verify(str(image), key=key_of(keys))

    assert done.is_whole
    assert done.image == image
    assert [(link.name, link.state) for link in done.links] == [(name, State.PROVED) for name in NAMES]


def test_the_copy_has_the_same_chain(
    image: Reference, basic_registry: Registry, log_in: Callable[..., Path], keys: tuple[Path, Path]
) -> None:
    log_in(basic_registry)

    copied = mirror(str(image), f"{basic_registry.host}/verify/copied:1").image

    done = verify(str(copied), key=key_of(keys))
    assert done.is_whole
    assert all(link.state is State.PROVED for link in done.links)


def test_the_registrys_entry_is_the_first_link(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    url, name = model_registry_server.url, f"verified {image.repository}"
    before = verify(str(image), model_registry=url, registered_name=name)
    register(str(image), url, name=name)
    after = verify(str(image), model_registry=url, registered_name=name)
    forged = forge(image, lambda manifest: [*manifest.layers[:-1]])
    other = verify(str(forged), model_registry=url, registered_name=name)

    assert [name for name, _ in broken(before)] == ["registry entry"]
    assert after.is_whole
    assert f"oci://{image}" in after.links[1].detail
    assert ("registry entry", True) in [(name, "another image" in detail) for name, detail in broken(other)]


@pytest.mark.parametrize("position", [200, 700, 100_000, -1])
def test_a_flipped_bit_is_found_and_its_layer_named(
    position: int, image: Reference, flipped: Callable[[str, int], None]
) -> None:
    layer = layers_of(image)[1]
    flipped(layer.digest, position)

    found = broken(verify(str(image)))

    assert ("layer", True) in [(name, layer.digest in detail) for name, detail in found]
    # A bit in a header makes a file that is not there; one behind the file touches no file.
    if position == 100_000:
        assert ("file", True) in [(name, detail.startswith(SHARD)) for name, detail in found]


def test_a_flipped_bit_of_the_base_is_found(image: Reference, flipped: Callable[[str, int], None]) -> None:
    base = layers_of(image)[0]
    flipped(base.digest, 1000)

    assert [name for name, _ in broken(verify(str(image)))] == ["layer"]


def test_a_flipped_bit_of_a_manifest_or_config_is_found(
    image: Reference, flipped: Callable[[str, int], None], waits: list[float]
) -> None:
    with Repository(image) as repository:
        config = repository.manifest(repository.manifest(image.digest).index().manifests[0].digest).manifest().config
    flipped(config.digest, 5)

    (link,) = broken(verify(str(image)))

    assert link[0] == "config"
    assert config.digest in link[1]


def test_a_layer_that_was_made_anew_is_found(image: Reference, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """Its digests are right, all the way up; but it is not what the Hub published, and nobody signed it."""

    def poisoned(manifest: spec.Manifest) -> list[spec.Descriptor]:
        content = bytearray(requests.get(blob_url(image, manifest.layers[1].digest), timeout=600).content[1536:-1024])
        return [
            manifest.layers[0],
            layer_with(image, {SHARD: bytes(content) + b"!"}, tmp_path, like=manifest.layers[1]),
            *manifest.layers[2:],
        ]

    found = broken(verify(str(forge(image, poisoned)), key=key_of(keys)))

    names = [name for name, _ in found]
    assert {"file", "provenance", "signature"} <= set(names)
    assert any(detail.startswith(SHARD) and "were published" in detail for name, detail in found if name == "file")


def blob_url(image: Reference, digest: str) -> str:
    return f"http://{image.registry}/v2/{image.repository}/blobs/{digest}"


@pytest.mark.parametrize("name", ["evil.py", "modeling_verified.py", SHARD])
def test_a_file_that_nobody_published_is_named(name: str, image: Reference, tmp_path: Path) -> None:
    def more(manifest: spec.Manifest) -> list[spec.Descriptor]:
        return [*manifest.layers, layer_with(image, {name: b"import os"}, tmp_path, like=manifest.layers[1])]

    found = broken(verify(str(forge(image, more))))

    said = "were published" if name == SHARD else "nobody published a file of that name"
    assert [detail.endswith(said) and detail.startswith(name) for kind, detail in found if kind == "file"] == [True]


def test_a_file_that_is_left_out_is_named(image: Reference) -> None:
    def less(manifest: spec.Manifest) -> list[spec.Descriptor]:
        return [manifest.layers[0], *manifest.layers[2:]]

    forged = forge(image, less)
    attach_provenance_of(image, forged)

    found = broken(verify(str(forged)))

    assert ("provenance", f"it names {SHARD}, of which the image holds no such bytes") in found


def attach_provenance_of(image: Reference, forged: Reference) -> None:
    """Attaches one image's provenance to another, with the other's digest in it."""
    with Repository(forged, push=True) as repository:
        (content,) = [
            repository.small_blob(one.stored.manifest().layers[0].digest)
            for one in referrers.find(repository, image.digest)
            if one.stored.manifest().artifact_type == dsse.IN_TOTO
        ]
        text = content.decode().replace(image.digest.removeprefix("sha256:"), forged.digest.removeprefix("sha256:"))
        document = Attachment(dsse.IN_TOTO, (Content(dsse.IN_TOTO, text.encode()),))
        referrers.attach(repository, repository.manifest(forged.digest), [document])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda layer: layer.replace(b"0100664", b"0104777"), "another kind, mode, owner or time"),
        (lambda layer: layer.replace(b"0040775", b"0040777"), "another kind, mode, owner or time"),
        (lambda layer: layer[:-1] + b"\1", "there are bytes behind the last file"),
        (lambda layer: layer + bytes(512) + b"hidden", "there are bytes behind the last file"),
        (lambda layer: layer[:-1024], "it ends early"),
        (lambda layer: b"no tar at all" * 100, "it is no tar file"),
    ],
)
def test_a_layer_in_another_form_is_named(
    change: Callable[[bytes], bytes], said: str, image: Reference, plain_registry: Registry
) -> None:
    def other(manifest: spec.Manifest) -> list[spec.Descriptor]:
        content = rechecked(change(read_blob(plain_registry, manifest.layers[-1].digest)))
        return [*manifest.layers[:-1], put_layer(image, content, manifest.layers[-1])]

    found = broken(verify(str(forge(image, other))))

    assert ("layer", True) in [(name, said in detail) for name, detail in found]


def rechecked(tar: bytes) -> bytes:
    """A tar file whose headers have the checksums of what is in them."""
    whole = bytearray(tar)
    for start in range(0, len(whole) - 511, 512):
        if whole[start + 257 : start + 262] == b"ustar":
            header = whole[start : start + 512]
            header[148:156] = b" " * 8
            whole[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return bytes(whole)


def test_an_image_that_hides_a_layer_is_refused(image: Reference) -> None:
    def covered(manifest: spec.Manifest) -> list[spec.Descriptor]:
        bare = manifest.layers[1].model_copy(update={"annotations": None})
        return [*manifest.layers, bare]

    assert ("file", f"{SHARD}: it is there twice") in broken(verify(str(forge(image, covered))))


def test_another_base_is_found(image: Reference) -> None:
    def based(manifest: spec.Manifest) -> list[spec.Descriptor]:
        return [manifest.layers[1].model_copy(update={"annotations": None}), *manifest.layers[1:]]

    assert "base image" in [name for name, _ in broken(verify(str(forge(image, based))))]


def test_the_wrong_key_is_told(image: Reference, tmp_path: Path) -> None:
    other = PublicKey.read(write_keys(tmp_path, "other")[1])

    found = broken(verify(str(image), key=other))

    assert found == [
        ("provenance", "it is not signed with this key"),
        ("signature", "it was not made with this key"),
    ]


def test_a_missing_signature_is_told(
    published: Hub, plain_registry: Registry, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(pod.SIGNING_KEY, raising=False)
    image = stream(MODEL, f"{plain_registry.host}/verify/unsigned:1").image

    assert broken(verify(str(image), key=key_of(keys))) == [
        ("provenance", "it is not signed with this key"),
        ("signature", "there is none"),
    ]
    assert verify(str(image)).is_whole


def test_a_signature_of_another_image_is_told(image: Reference, keys: tuple[Path, Path]) -> None:
    forged = forge(image, lambda manifest: manifest.layers[:-1])
    with Repository(image, push=True) as repository:
        stored = repository.manifest(referrers.tag(image.digest, ".sig"))
        repository.put_manifest(stored, referrers.tag(forged.digest, ".sig"))

    found = broken(verify(str(forged), key=key_of(keys)))

    assert ("signature", f"it is of another image, {image.digest}") in found


@pytest.mark.parametrize("with_key", [True, False])
def test_provenance_of_another_image_is_told(with_key: bool, image: Reference, keys: tuple[Path, Path]) -> None:
    digest = "sha256:" + "0" * 64
    statement = provenance.statement(provenance.PREDICATE, {}, "other", digest)
    key = SigningKey.read(keys[0], b"")
    document = (
        cosign.attestations([statement], key)
        if with_key
        else Attachment(dsse.IN_TOTO, (Content(dsse.IN_TOTO, json.dumps(statement).encode()),))
    )
    with Repository(image, push=True) as repository:
        referrers.attach(repository, repository.manifest(image.digest), [document])

    found = broken(verify(str(image), key=key_of(keys) if with_key else None))

    assert ("provenance", f"a statement is of another image, {digest}") in found


def test_provenance_of_files_that_the_hub_does_not_have_is_told(published: Hub, image: Reference) -> None:
    forged = forge(image, lambda manifest: manifest.layers)
    assert forged.digest == image.digest
    with Repository(image, push=True) as repository:
        (content,) = [
            repository.small_blob(one.stored.manifest().layers[0].digest)
            for one in referrers.find(repository, image.digest)
            if one.stored.manifest().artifact_type == dsse.IN_TOTO
        ]
        statement = json.loads(content)
        statement["predicate"]["buildDefinition"]["resolvedDependencies"][-1]["name"] = "invented.txt"
        document = Attachment(dsse.IN_TOTO, (Content(dsse.IN_TOTO, json.dumps(statement).encode()),))
        for one in referrers.find(repository, image.digest):
            repository.delete_manifest(one.stored.digest)
        repository.delete_manifest(repository.manifest(referrers.tag(image.digest)).digest)
        referrers.attach(repository, repository.manifest(image.digest), [document])

    found = broken(verify(str(image)))

    assert ("provenance", "it names invented.txt, of which the image holds no such bytes") in found


def test_offline_the_provenance_stands_for_the_hub(
    published: Hub, image: Reference, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    published.requests.clear()

    done = verify(str(image), key=key_of(keys), offline=True)

    assert done.is_whole
    assert not published.requests
    assert "Hub" not in [link.name for link in done.links]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    assert verify(str(image), offline=True).outcome is Outcome.NOT_PROVED


@pytest.mark.usefixtures("waits")
def test_a_hub_that_is_not_there_is_named(
    image: Reference, monkeypatch: pytest.MonkeyPatch, closed_port: int, keys: tuple[Path, Path]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    for key in (None, key_of(keys)):
        done = verify(str(image), key=key)
        assert done.outcome is Outcome.NOT_PROVED
        assert any(link.name == "Hub" and "cannot reach" in link.detail for link in done.links)


def test_offline_without_provenance_nothing_is_proved(image: Reference) -> None:
    forged = forge(image, lambda manifest: manifest.layers[:-1])

    done = verify(str(forged), offline=True)

    assert done.outcome is Outcome.NOT_PROVED
    (link,) = [link for link in done.links if link.name == "provenance"]
    assert link.detail.startswith("nothing says where it comes from, and the Hub was not asked")


def test_quick_reads_no_layer(image: Reference, plain_registry: Registry, keys: tuple[Path, Path]) -> None:
    large = {layer.digest for layer in layers_of(image)}
    before = len(plain_registry.requests())

    done = verify(str(image), key=key_of(keys), quick=True)

    later = plain_registry.requests()[before:]
    assert done.is_whole
    assert [link.detail for link in done.links if "not read" in link.detail] == [
        "3, as the signed statement names them; their bytes were not read"
    ]
    assert not [one for one in later if one.method == "GET" and one.path.rpartition("/")[2] in large]


def test_what_is_no_image_of_ours_is_told(plain_registry: Registry, image: Reference) -> None:
    with Repository(image, push=True) as repository:
        index = repository.manifest(image.digest).index().model_copy(update={"annotations": None})
        repository.put_manifest(Stored(index.encoded(), spec.INDEX), "foreign")

    found = broken(verify(f"{image.registry}/{image.repository}:foreign"))

    assert found == [("image", "it does not say which model it holds: no image of this project")]
    with pytest.raises(RegistryError, match="there is no image"):
        verify(f"{plain_registry.host}/verify/nowhere:1")


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [MODELCAR, "verify", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=dict(os.environ))


def test_the_command_prints_each_link(image: Reference, keys: tuple[Path, Path], tmp_path: Path) -> None:
    done = run_command(str(image), "--key", str(keys[1]))
    wrong = run_command(str(image), "--key", str(write_keys(tmp_path, "other")[1]), "--quick")
    as_json = run_command(str(image), "--json", "--quick")
    missing = run_command(str(image), "--key", str(tmp_path / "none.pub"))

    assert done.returncode == 0, done.stderr
    assert str(image) in done.stdout
    assert done.stdout.splitlines()[-1] == "whole"
    assert sum(line.startswith("✓") for line in done.stdout.splitlines()) == len(NAMES)
    assert wrong.returncode == 1
    assert re.search(r"^✗ +signature ", wrong.stdout, re.MULTILINE)
    assert "2 broken" in wrong.stdout
    answer = json.loads(as_json.stdout)
    assert (as_json.returncode, answer["whole"], answer["outcome"]) == (3, False, "not proved")
    assert answer["image"] == str(image)
    said = "their bytes were not read, and the statement on them is not signed"
    assert {"name": "layers", "state": "not proved", "detail": said} in answer["links"]
    assert missing.returncode == 3
    why = "No such file or directory. Name a file that you may read"
    assert missing.stderr == f"error: cannot read {tmp_path / 'none.pub'}: {why}\n"
