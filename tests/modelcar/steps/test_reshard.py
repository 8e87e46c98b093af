"""Files that were cut to fit into layers, from the Hub into a registry and back to the published file."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from modelcar.errors import BuildError, WrongBytesError
from modelcar.hub import client, reshard
from modelcar.hub.file_check import RangeReader
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.progress import Count
from modelcar.steps.verify.result import Outcome, State, Verification
from modelcar.steps.verify.verify import verify
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.mounted_image import mounted
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import build, download, plan, stream

MODEL = "example/large-files"
LIMIT = 3_000_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a Llama of one file of some 8 MB, larger than a layer."""
    made = tiny_llama(
        tmp_path_factory.mktemp("large") / "model", shards=1, bytes_per_shard=8_000_000, consolidated=False
    )
    (made / "model.safetensors.index.json").unlink(missing_ok=True)
    next(made.glob("model*.safetensors")).rename(made / "model.safetensors")
    return made


@pytest.fixture(scope="module")
def published(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
        yield hub


@pytest.fixture(autouse=True)
def hub(published: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("HF_ENDPOINT", published.url)
    return published


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(published: Hub, plain_registry: Registry, keys: tuple[Path, Path]) -> Reference:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", published.url)
        environment.setenv(pod.SIGNING_KEY, str(keys[0]))
        target = f"{plain_registry.host}/reshard/signed:1"
        return stream(MODEL, target, reshard=True, max_layer_size=LIMIT).image


def broken(done: Verification) -> list[str]:
    return [f"{link.name}: {link.detail}" for link in done.links if link.state is State.BROKEN]


def test_image_holds_each_tensor_and_an_index_of_them(signed: Reference, files: Path, tmp_path: Path) -> None:
    models = mounted(signed, tmp_path)

    index = json.loads((models / "model.safetensors.index.json").read_text())
    assert not (models / "model.safetensors").exists()
    assert set(index["weight_map"].values()) == {file.name for file in models.glob("*.safetensors")}
    assert len(set(index["weight_map"].values())) > 2
    raw = (files / "model.safetensors").read_bytes()
    head = int.from_bytes(raw[:8], "little")
    for name, entry in json.loads(raw[8 : 8 + head]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        part = (models / index["weight_map"][name]).read_bytes()
        size = int.from_bytes(part[:8], "little")
        there = json.loads(part[8 : 8 + size])[name]
        first, last = there["data_offsets"]
        assert (there["dtype"], there["shape"]) == (entry["dtype"], entry["shape"])
        assert part[8 + size + first : 8 + size + last] == raw[8 + head + begin : 8 + head + end]


@pytest.mark.parametrize(
    ("options", "with_key", "outcome"),
    [
        ({}, False, Outcome.WHOLE),
        ({}, True, Outcome.WHOLE),
        ({"quick": True}, True, Outcome.WHOLE),
        ({"offline": True}, True, Outcome.WHOLE),
        ({"offline": True}, False, Outcome.NOT_PROVED),
    ],
)
def test_verify_goes_back_to_the_published_file(
    signed: Reference, keys: tuple[Path, Path], options: dict[str, bool], with_key: bool, outcome: Outcome
) -> None:
    done = verify(str(signed), key=PublicKey.read(keys[1]) if with_key else None, **options)

    assert (broken(done), done.outcome) == ([], outcome)
    told = [link.detail for link in done.links if "put together" in link.detail]
    assert len(told) == (0 if options else 1)


@pytest.mark.parametrize("builder", ["direct", "buildah"])
def test_a_build_makes_the_same_image(
    signed: Reference, plain_registry: Registry, tmp_path: Path, builder: str
) -> None:
    directory = download(MODEL, tmp_path).directory
    target = f"{plain_registry.host}/reshard/{builder}:1"

    done = build(directory, target, builder=builder, reshard=True, max_layer_size=LIMIT)

    assert done.image.digest == signed.digest
    assert build(directory, target, builder=builder, reshard=True, max_layer_size=LIMIT).unchanged


def test_an_unchanged_model_is_not_read_again(hub: Hub, signed: Reference) -> None:
    before = hub.bytes_served

    done = stream(MODEL, f"{signed.registry}/{signed.repository}:1", reshard=True, max_layer_size=LIMIT)

    assert done.unchanged
    assert hub.bytes_served - before < 2_000_000


def layers_of(image: Reference) -> list[spec.Descriptor]:
    with Repository(image) as repository:
        top = repository.manifest(image.digest)
        return repository.manifest(top.index().manifests[0].digest).manifest().layers


def test_altered_parts_are_broken(signed: Reference, plain_registry: Registry) -> None:
    largest = max(layers_of(signed), key=lambda layer: layer.size)
    value = largest.digest.removeprefix("sha256:")
    blob = plain_registry.storage / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"
    content = bytearray(blob.read_bytes())
    content[2_000_000] ^= 1
    try:
        blob.write_bytes(content)
        done = verify(str(signed))
    finally:
        content[2_000_000] ^= 1
        blob.write_bytes(content)

    assert done.outcome is Outcome.BROKEN


class Altered:
    """A published file of which one byte of a tensor is another, in a consistent way."""

    def __init__(self, reader: RangeReader, size: int) -> None:
        content = bytearray(b"".join(reader.read()))
        content[size // 2] ^= 1
        self.content = bytes(content)

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        yield self.content[start:end]


def altered(self: client.Hub, snapshot: Snapshot) -> reshard.ReaderOf:
    def reader(file: PublishedFile) -> RangeReader:
        honest = self.reader(snapshot, file)
        return Altered(honest, file.size) if file.path == "model.safetensors" else honest

    return reader


def test_a_consistent_image_of_altered_parts_is_broken(
    plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove = reshard.Split.prove

    def lying(self: reshard.Split, reader: RangeReader, count: Count) -> list[PublishedFile]:
        digest = hashlib.sha256(b"".join(reader.read())).hexdigest()
        return prove(replace(self, file=self.file.model_copy(update={"sha256": digest})), reader, count)

    with monkeypatch.context() as liar:
        liar.setattr(client.Hub, "readers", altered)
        liar.setattr(reshard.Split, "prove", lying)
        image = stream(MODEL, f"{plain_registry.host}/reshard/lie:1", reshard=True, max_layer_size=LIMIT).image

    (problem,) = [told for told in broken(verify(str(image))) if "is not what the Hub published" in told]
    assert problem.startswith("file: model.safetensors")


def test_bytes_that_were_not_published_reach_no_image(
    plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.Hub, "readers", altered)

    with pytest.raises(WrongBytesError, match=r"model\.safetensors is not what the Hub published"):
        stream(MODEL, f"{plain_registry.host}/reshard/wrong:1", reshard=True, max_layer_size=LIMIT)


def test_plan_names_the_parameter_and_then_the_layers() -> None:
    refused = plan(MODEL, "registry.example/a/b:1", max_layer_size=LIMIT)
    planned = plan(MODEL, "registry.example/a/b:1", max_layer_size=LIMIT, reshard=True)

    (problem,) = [one for one in refused.problems if isinstance(one, BuildError)]
    assert "model.safetensors makes a layer of" in problem.what
    assert problem.remedy is not None
    assert "reshard=true" in problem.remedy
    assert not planned.problems
    assert max(layer.size for layer in planned.layers) <= LIMIT
    assert planned.fetch_bytes == refused.fetch_bytes
