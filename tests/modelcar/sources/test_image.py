"""Models in registries: images of ours and of others, and artifacts, as real clients push them."""

import gzip
import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelcar.attestation.keys import PublicKey
from modelcar.errors import ModelcarError, RegistryError, SourceError, UnsafeNameError, WrongBytesError
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.sources.image import ImageShelf
from modelcar.sources.opening import open_source
from modelcar.steps.verify.result import Outcome
from modelcar.steps.verify.verify import verify
from tests.parts.oras import oras
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.skopeo.program import skopeo
from tests.parts.steps import download, plan, stream

GZIP = f"{spec.LAYER}+gzip"
Member = tuple[str, bytes | str]
"""A file with its bytes, or a link with where it leads; a hard link begins with `=`."""


def tar(members: Sequence[Member]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as layer:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                info.linkname = content.removeprefix("=")
                layer.addfile(info)
            else:
                info.size = len(content)
                layer.addfile(info, io.BytesIO(content))
    return whole.getvalue()


def push(registry: Registry, name: str, layers: Sequence[tuple[str, bytes, dict[str, str]]], config: str) -> str:
    """Pushes an image, or an artifact, of any kind of layers."""
    reference = Reference.parse(f"{registry.host}/{name}")
    with Repository(reference, push=True) as repository:
        content = b"{}"
        repository.put_small_blobs([content, *(layer for _, layer, _ in layers)])
        described = [spec.describe(layer, kind, annotations=said or None) for kind, layer, said in layers]
        manifest = spec.Manifest(config=spec.describe(content, config), layers=described)
        repository.put_manifest(Stored(manifest.encoded(), spec.MANIFEST), reference.tag)
    return f"oci://{reference}"


def image(registry: Registry, name: str, *layers: bytes) -> str:
    kinds = [GZIP if layer.startswith(b"\x1f\x8b") else spec.LAYER for layer in layers]
    return push(registry, name, [(kind, layer, {}) for kind, layer in zip(kinds, layers, strict=True)], spec.CONFIG)


def files(uri: str) -> dict[str, bytes]:
    shelf = ImageShelf(uri)
    return {path: b"".join(shelf.read(path, 0, size)) for path, size in shelf.sizes().items()}


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    """Give the files of a model that is served, and nothing beside them."""
    place = Path(shutil.copytree(model, tmp_path / "tiny"))
    for name in ("consolidated.safetensors", "params.json", "tekken.json", ".gitattributes"):
        (place / name).unlink(missing_ok=True)
    return place


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_an_image_of_ours_is_the_model_again(
    compressed: bool, folder: Path, plain_registry: Registry, tmp_path: Path
) -> None:
    host = plain_registry.host
    ours = str(stream(str(folder), f"{host}/images/ours:1").image)
    if compressed:
        options = [
            "--dest-compress",
            "--dest-compress-format=gzip",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
        ]
        skopeo("copy", "--quiet", "--all", *options, f"docker://{ours}", f"docker://{host}/images/packed:1")
        ours = f"{host}/images/packed:1"
    uri = f"oci://{ours}"
    assert files(uri) == content_of(folder)
    again = stream(uri, f"{host}/images/again:{int(compressed)}")
    assert again.commit == open_source(str(folder)).snapshot("").commit
    done = download(uri, tmp_path / "claim")
    assert {file.path for file in done.snapshot.files} == set(content_of(folder))
    assert stream(uri, f"{host}/images/again:{int(compressed)}").unchanged
    assert done.snapshot.source.startswith(f"oci://{host}/images/")
    assert "@sha256:" in done.snapshot.source


def test_any_part_of_a_compressed_layer_can_be_read(plain_registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcar.sources.layers.MIN_BYTES_BETWEEN", 1 << 16)
    monkeypatch.setattr("modelcar.sources.layers.KEPT_STATES", 1 << 20)
    noise = b"".join(number.to_bytes(4, "big") * 3 for number in range(200_000))
    packed = gzip.compress(tar([("models/a.bin", b"a" * 70_000), ("models/b.bin", noise)]))
    shelf = ImageShelf(image(plain_registry, "images/parts:1", packed))
    assert shelf.sizes()["b.bin"] == len(noise)
    for start, end in ((0, 9), (1_000_001, 1_300_000), (len(noise) - 7, len(noise)), (5, 5)):
        assert b"".join(shelf.read("b.bin", start, end)) == noise[start:end]
    assert b"".join(shelf.read("a.bin", 69_999, 80_000)) == b"a"


def test_upper_layers_lie_over_lower_ones(plain_registry: Registry) -> None:
    lower = tar([("models/a", b"old"), ("models/gone", b"x"), ("models/dir/b", b"x"), ("etc/passwd", b"root")])
    upper = gzip.compress(tar([("./models/a", b"new"), ("models/.wh.gone", b""), ("models/dir/.wh..wh..opq", b"")]))
    assert files(image(plain_registry, "images/over:1", lower, upper)) == {"a": b"new"}


def test_links_are_the_files_that_they_lead_to(plain_registry: Registry) -> None:
    members: list[Member] = [
        ("models/blobs/1", b"weights"),
        ("models/model.safetensors", "blobs/1"),
        ("models/again.safetensors", "/models/model.safetensors"),
        ("models/hard.safetensors", "=models/blobs/1"),
    ]
    found = files(image(plain_registry, "images/links:1", tar(members)))
    assert set(found.values()) == {b"weights"}
    assert len(found) == 4
    for name, target in (("dangling", "nothing"), ("outside", "/proc/self/environ"), ("round", "round")):
        with pytest.raises(SourceError, match="where there is no file"):
            files(image(plain_registry, f"images/{name}:1", tar([(f"models/{name}", target)])))


@pytest.mark.parametrize("names", [("1/a", "1/b"), ("granite/x/a", "granite/x/b")])
def test_the_folder_that_all_files_are_in_is_taken_off(names: tuple[str, str], plain_registry: Registry) -> None:
    members = [(f"models/{name}", name.encode()) for name in names]
    assert set(files(image(plain_registry, "images/one-folder:1", tar(members)))) == {"a", "b"}


def test_an_artifact_of_oras_is_the_model_and_needs_no_reading(
    folder: Path, plain_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{plain_registry.host}/artifacts/flat:1"
    types = [f"{name}:application/octet-stream" for name in content_of(folder)]
    oras(folder, "push", "--plain-http", target, *types)
    assert files(f"oci://{target}") == content_of(folder)
    # A folder is packed as one layer.
    packed = f"{plain_registry.host}/artifacts/folder:1"
    oras(tmp_path, "push", "--plain-http", packed, folder.name)
    assert files(f"oci://{packed}") == content_of(folder)
    streamed = stream(f"oci://{target}", f"{plain_registry.host}/artifacts/made:1")
    assert streamed.commit == stream(f"oci://{packed}", f"{plain_registry.host}/artifacts/made-too:1").commit
    # The manifest names each file's hash.
    monkeypatch.setattr("modelcar.sources.own.OwnSource._hash", None)
    assert open_source(f"oci://{target}").snapshot("").commit == streamed.commit
    assert plan(f"oci://{target}").snapshot.serving is not None


def test_model_packs_names_are_known(plain_registry: Registry) -> None:
    raw = "application/vnd.cncf.model.weight.v1.raw"
    said = {"org.cncf.model.filepath": "model.gguf"}
    pack = push(plain_registry, "artifacts/pack:1", [(raw, b"GGUF", said)], "application/vnd.cncf.model.config.v1+json")
    assert files(pack) == {"model.gguf": b"GGUF"}
    nameless = push(plain_registry, "artifacts/nameless:1", [(raw, b"GGUF", {})], spec.EMPTY)
    with pytest.raises(SourceError, match="has no name"):
        files(nameless)
    hostile = push(plain_registry, "artifacts/hostile:1", [(raw, b"x", {spec.TITLE: "../../etc/x"})], spec.EMPTY)
    with pytest.raises(UnsafeNameError):
        open_source(hostile).snapshot("")


def test_what_cannot_be_read_is_one_line(plain_registry: Registry) -> None:
    host = plain_registry.host
    torn = gzip.compress(tar([("models/a", bytes(9999))]))[:60]
    for uri, kind, says in (
        (f"oci://{host}/nothing/here:1", RegistryError, "there is no image"),
        (image(plain_registry, "images/empty:1", tar([("etc/x", b"x")])), SourceError, "no files in /models"),
        (image(plain_registry, "images/zstd:1", b"\x28\xb5\x2f\xfd" + bytes(99)), SourceError, "zstd"),
        (image(plain_registry, "images/no-tar:1", b"x" * 2000), SourceError, "no whole tar file"),
        (image(plain_registry, "images/torn:1", torn), ModelcarError, "."),
    ):
        with pytest.raises(kind, match=says):
            files(uri)
    for uri in ("oci://", "oci://short", "oci://Host.example/UPPER:1"):
        with pytest.raises(UnsafeNameError):
            open_source(uri)


def test_a_layer_that_is_not_what_its_digest_says_is_refused(
    folder: Path, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = image(plain_registry, "images/damaged:1", tar([("models/config.json", b"{}")]))
    read = Repository.read_blob

    def altered(*arguments: object, **named: object):  # type: ignore[no-untyped-def]
        for chunk in read(*arguments, **named):  # type: ignore[arg-type]
            yield chunk.replace(b"{}", b"[]")

    monkeypatch.setattr(Repository, "read_blob", altered)
    with pytest.raises(WrongBytesError, match="other bytes"):
        files(uri)


def test_verify_says_on_what_the_proof_rests(
    folder: Path, plain_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path, "ours")
    monkeypatch.setenv("MODELCAR_SIGNING_KEY", str(private))
    source = str(stream(str(folder), f"{plain_registry.host}/images/first:1").image)
    made = str(stream(f"oci://{source}", f"{plain_registry.host}/images/second:1").image)
    found = verify(made, key=PublicKey.read(public))
    assert found.outcome is Outcome.WHOLE
    (link,) = [link for link in found.links if link.name == "source"]
    assert f"from oci://{source}: its first reading made the list of hashes" in link.detail
