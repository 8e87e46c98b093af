"""What somebody can do who may write to the claim between two steps: nothing that is signed, and nothing unsaid."""

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from modelcar.claim.downloads import DIGESTS
from modelcar.claim.files import OnDisk
from modelcar.claim.folder import Folder
from modelcar.errors import BuildError, ModelcarError, WrongBytesError
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.hub.snapshot import Snapshot
from modelcar.image.proof import Hashed
from modelcar.oci.tar_writer import Entry, Layer
from modelcar.steps.build import Built
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


def alter_noted_digest(done: Downloaded) -> None:
    """Alters a file and the noted digest of its layer, so that no registry has anything to refuse."""
    alter(done)
    note = done.directory / DIGESTS
    note.write_text(json.dumps(dict.fromkeys(json.loads(note.read_text()), layer_digest(done.directory / SHARD))))


def layer_digest(file: Path) -> str:
    """Gives the digest of the layer of one file, by the writer itself."""
    entry = Entry(f"models/{file.name}", OnDisk(Folder(file.parent), file.name), file.stat().st_size)
    whole = sha256()
    for piece in Layer((entry,)).pieces():
        whole.update(piece.data)
    return f"sha256:{whole.hexdigest()}"


def built(done: Downloaded, target: str, builder: str = "direct", record_digest: str | None = None) -> Built:
    """Builds as the pipeline does, with the digest that the download gave, or with another."""
    digest = done.record_digest if record_digest is None else record_digest
    return build(done.directory, target, builder=builder, record_digest=digest)


def test_each_download_of_the_same_files_leaves_the_same_record(done: Downloaded, tmp_path: Path) -> None:
    """Two runs may share a claim: either's build then takes the other's record."""
    assert download(MODEL, tmp_path / "claim").record_digest == done.record_digest
    assert download(MODEL, tmp_path / "another").record_digest == done.record_digest
    assert download(MODEL, tmp_path / "claim", exclude=["README.md"]).record_digest != done.record_digest
    with pytest.raises(WrongBytesError, match="are not the record that the download left"):
        built(done, "localhost:1/a/b:1")


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_file_that_was_altered_is_named(builder: str, done: Downloaded, plain_registry: Registry) -> None:
    alter(done)

    with pytest.raises(WrongBytesError, match=f"{SHARD} is not what the Hub published"):
        built(done, f"{plain_registry.host}/claimed/altered-{builder}:1", builder)

    assert not plain_registry.has_tag(f"claimed/altered-{builder}")


def a_pipe(place: Path) -> None:
    """It would keep whoever opens it waiting for ever."""
    os.mkfifo(place)


def a_directory(place: Path) -> None:
    place.mkdir()


def a_link(place: Path) -> None:
    place.symlink_to("/dev/zero")


def a_link_to_itself(place: Path) -> None:
    place.symlink_to(place.name)


def an_endless_device(place: Path) -> None:
    os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def another_file_by_a_hard_link(place: Path) -> None:
    secret = place.parents[3] / "secret"
    secret.write_bytes(b"secret" * 400_000)
    os.link(secret, place)


def a_hole_of_the_same_size(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1_200_000)


def nothing(place: Path) -> None:
    pass


THINGS: tuple[Callable[[Path], None], ...] = (
    a_pipe,
    a_directory,
    a_link,
    a_link_to_itself,
    an_endless_device,
    another_file_by_a_hard_link,
    a_hole_of_the_same_size,
    nothing,
)


@pytest.mark.parametrize("put", THINGS, ids=lambda put: put.__name__)
def test_what_stands_in_a_files_place_is_named_and_mended_by_a_download(
    put: Callable[[Path], None], done: Downloaded, plain_registry: Registry, tmp_path: Path
) -> None:
    place = done.directory / SHARD
    place.unlink()
    try:
        put(place)
    except PermissionError:
        pytest.skip("only root makes devices")
    target = f"{plain_registry.host}/claimed/{put.__name__}:1"

    with pytest.raises(ModelcarError, match=re.escape(SHARD)):
        built(done, target)
    assert not plain_registry.has_tag(f"claimed/{put.__name__}")

    if place.is_dir() and not place.is_symlink():
        place.rmdir()
    again = download(MODEL, tmp_path / "claim")
    assert verify(str(built(again, target).image)).outcome is Outcome.WHOLE


@pytest.mark.parametrize("what", ["files", "allow_pickle", "licence", "removed file", "white space", "digests"])
def test_another_record_than_the_downloads_is_refused(what: str, done: Downloaded, plain_registry: Registry) -> None:
    note = done.directory / DOWNLOAD_NOTE
    record = json.loads(note.read_text())
    if what == "files":
        alter_record(done, *alter(done))
    elif what == "removed file":
        record["files"].pop()
    elif what == "digests":
        alter_noted_digest(done)
    elif what != "white space":
        record[what] = ["*"] if what == "allow_pickle" else "mit"
    if what not in ("files", "digests"):
        note.write_text(json.dumps(record))

    with pytest.raises(WrongBytesError, match=r"are not the record that the download left.*Run the download again"):
        built(done, f"{plain_registry.host}/claimed/record:1")

    assert not plain_registry.has_tag("claimed/record")


@pytest.mark.parametrize("builder", BUILDERS)
def test_nothing_is_signed_by_a_record_that_nobody_vouches_for(
    builder: str, done: Downloaded, plain_registry: Registry, key: PublicKey
) -> None:
    target = f"{plain_registry.host}/claimed/vouched-{builder}:1"

    with pytest.raises(BuildError, match=r"nobody vouches for .*snapshot\.json.*Give the build record_digest"):
        built(done, target, builder, "")
    assert not plain_registry.has_tag(f"claimed/vouched-{builder}")

    made = built(done, target, builder)
    assert verify(str(made.image), key=key).is_whole
    with pytest.raises(BuildError, match="nobody vouches for"):
        built(done, target, builder, "")


def test_without_a_key_a_record_that_nobody_vouches_for_is_told(
    done: Downloaded, plain_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"{plain_registry.host}/claimed/told:1"
    alter_record(done, *alter(done))

    made = built(done, target, record_digest="")

    assert "it is not proved. `modelcar verify` asks the Hub" in capsys.readouterr().out
    assert verify(str(made.image)).outcome is Outcome.BROKEN


@pytest.mark.parametrize("builder", BUILDERS)
def test_noted_digests_that_nobody_vouches_for_are_not_believed(
    builder: str, done: Downloaded, plain_registry: Registry
) -> None:
    """The note leads to other layers, which the repository has."""
    name = f"claimed/unread-{builder}"
    honest = built(done, f"{plain_registry.host}/{name}:other")
    note = done.directory / DIGESTS
    noted = json.loads(note.read_text())
    first, second = sorted(noted, key=noted.__getitem__)[:2]
    note.write_text(json.dumps({**noted, first: noted[second], second: noted[first]}))

    made = built(done, f"{plain_registry.host}/{name}:1", builder, "")

    assert made.image.digest == honest.image.digest


def test_a_signing_build_goes_by_the_downloads_own_digests(
    done: Downloaded, plain_registry: Registry, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the download hashed as it arrived is not hashed again: the registry holds the bytes against its digests."""
    hashed: list[str] = []
    real = Hashed.__init__

    def seen(proof: Hashed, layer: Layer, snapshot: Snapshot) -> None:
        hashed.extend(entry.path for entry in layer.entries)
        real(proof, layer, snapshot)

    monkeypatch.setattr(Hashed, "__init__", seen)

    made = built(done, f"{plain_registry.host}/claimed/vouched-digests:1")

    assert not [path for path in hashed if path.endswith(".safetensors")]
    assert verify(str(made.image), key=key).is_whole


def test_an_unchanged_image_that_is_not_read_is_told(
    done: Downloaded, plain_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"{plain_registry.host}/claimed/unchanged:1"
    built(done, target)
    capsys.readouterr()

    assert built(done, target).unchanged

    assert "What is in its layers is not proved" in capsys.readouterr().out
