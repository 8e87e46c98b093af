"""What somebody can do who may write to the claim between two steps: nothing that is signed, and nothing unsaid."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from modelcar.claim.files import OnDisk
from modelcar.claim.folder import Folder
from modelcar.errors import BuildError, WrongBytesError
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.image.layer_digests import DIGESTS
from modelcar.oci.tar_writer import Entry, Layer
from modelcar.steps.download import Downloaded
from modelcar.steps.verify.result import Outcome
from modelcar.steps.verify.verify import verify
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import build, download

MODEL = "example/claimed"
SHARD = "model-00001-of-00002.safetensors"
BUILDERS = ("direct", "buildah")


@pytest.fixture(scope="module")
def filled_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("claimed")
    with Hub(folder / "hub") as hub:
        hub.publish(MODEL, tiny_llama(folder / "model", shards=2, bytes_per_shard=1_200_000, consolidated=False))
        yield hub


@pytest.fixture
def done(filled_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Downloaded:
    monkeypatch.setenv("HF_ENDPOINT", filled_hub.url)
    return download(MODEL, tmp_path / "claim")


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublicKey:
    private, public = write_keys(tmp_path)
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))
    return PublicKey.read(public)


def alter(done: Downloaded, path: str = SHARD) -> tuple[str, str]:
    """Alters a file without changing its size; gives the two hashes."""
    file = done.directory / path
    content = bytearray(file.read_bytes())
    before = sha256(content).hexdigest()
    content[-1] ^= 1
    file.unlink()
    file.write_bytes(content)
    return before, sha256(content).hexdigest()


def alter_record(done: Downloaded, before: str, after: str) -> None:
    note = done.directory / DOWNLOAD_NOTE
    assert before in note.read_text()
    note.write_text(note.read_text().replace(before, after))


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_file_altered_with_its_noted_digest_is_named(
    builder: str, done: Downloaded, plain_registry: Registry
) -> None:
    """The layer's digest is noted; that does not spare the file the look at its own hash."""
    target = f"{plain_registry.host}/claimed/noted-{builder}:1"
    alter(done)
    note = done.directory / DIGESTS
    # What the layer of the altered file comes to, so that the registry has nothing to refuse.
    noted = dict.fromkeys(json.loads(note.read_text()), layer_digest(done.directory / SHARD))
    note.write_text(json.dumps(noted))

    with pytest.raises(WrongBytesError, match=f"{SHARD} is not what the Hub published"):
        build(done.directory, target, builder=builder)

    assert not plain_registry.has_tag(f"claimed/noted-{builder}")


def layer_digest(file: Path) -> str:
    """Gives the digest of the layer of one file, by the writer itself."""
    entry = Entry(f"models/{file.name}", OnDisk(Folder(file.parent), file.name), file.stat().st_size)
    whole = sha256()
    for piece in Layer((entry,)).pieces():
        whole.update(piece.data)
    return f"sha256:{whole.hexdigest()}"


@pytest.mark.parametrize("what", ["files", "allow_pickle", "licence", "removed file", "white space"])
def test_another_record_than_the_downloads_is_refused(what: str, done: Downloaded, plain_registry: Registry) -> None:
    note = done.directory / DOWNLOAD_NOTE
    record = json.loads(note.read_text())
    if what == "files":
        alter_record(done, *alter(done))
    elif what == "removed file":
        record["files"].pop()
    elif what != "white space":
        record[what] = ["*"] if what == "allow_pickle" else "mit"
    if what != "files":
        note.write_text(json.dumps(record))

    with pytest.raises(WrongBytesError, match=r"snapshot\.json is not the record that the download left.*Run the dow"):
        build(done.directory, f"{plain_registry.host}/claimed/record:1", snapshot_digest=done.snapshot_digest)

    assert not plain_registry.has_tag("claimed/record")


@pytest.mark.parametrize("builder", BUILDERS)
def test_nothing_is_signed_by_a_record_that_nobody_vouches_for(
    builder: str, done: Downloaded, plain_registry: Registry, key: PublicKey
) -> None:
    target = f"{plain_registry.host}/claimed/vouched-{builder}:1"

    with pytest.raises(BuildError, match=r"nobody vouches for .*snapshot\.json.*Give the build snapshot_digest"):
        build(done.directory, target, builder=builder, snapshot_digest="")
    assert not plain_registry.has_tag(f"claimed/vouched-{builder}")

    made = build(done.directory, target, builder=builder, snapshot_digest=done.snapshot_digest)
    assert verify(str(made.image), key=key).is_whole
    with pytest.raises(BuildError, match="nobody vouches for"):
        build(done.directory, target, builder=builder, snapshot_digest="")


def test_without_a_key_a_record_that_nobody_vouches_for_is_told(
    done: Downloaded, plain_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"{plain_registry.host}/claimed/told:1"
    alter_record(done, *alter(done))

    made = build(done.directory, target, builder="direct", snapshot_digest="")

    assert "it is not proved. `modelcar verify` asks the Hub" in capsys.readouterr().out
    assert verify(str(made.image)).outcome is Outcome.BROKEN


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_noted_layer_that_is_not_read_is_told(
    builder: str, done: Downloaded, plain_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """A note on the claim leads to another layer, which is there: without a key the run goes on, and says so."""
    name = f"claimed/unread-{builder}"
    build(done.directory, f"{plain_registry.host}/{name}:other", builder="direct")
    note = done.directory / DIGESTS
    noted = json.loads(note.read_text())
    first, second = sorted(noted, key=noted.__getitem__)[:2]
    note.write_text(json.dumps({**noted, first: noted[second], second: noted[first]}))
    capsys.readouterr()

    made = build(done.directory, f"{plain_registry.host}/{name}:1", builder=builder)

    assert "were there already and were not read: that they hold the model is not proved" in capsys.readouterr().out
    assert verify(str(made.image)).outcome is Outcome.BROKEN


def test_an_unchanged_image_that_is_not_read_is_told(
    done: Downloaded, plain_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"{plain_registry.host}/claimed/unchanged:1"
    build(done.directory, target, builder="direct")
    capsys.readouterr()

    assert build(done.directory, target, builder="direct").unchanged

    assert "What is in its layers is not proved" in capsys.readouterr().out
