"""Models of one's own: a folder and a bucket of a real S3 server behind the face that the Hub has."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from modelcar.errors import ModelcarError, SelectionError, SourceError, WrongBytesError
from modelcar.hub.selection import Selection
from modelcar.sources.opening import is_own, open_source
from modelcar.sources.s3 import S3Shelf
from modelcar.steps.verify.result import Outcome
from modelcar.steps.verify.verify import verify
from tests.parts.recorded_api import RecordedApi
from tests.parts.registries import Registry
from tests.parts.s3 import S3Server, s3_server
from tests.parts.signing_keys import write_keys
from tests.parts.steps import build, download, stream


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give an S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the address of a model in a bucket, which may be read."""
    name = f"models-{abs(hash(tmp_path)) % 10**8}"
    shutil.copytree(model, s3.buckets / name / "team" / "tiny")
    for variable, value in s3.variables.items():
        monkeypatch.setenv(variable, value)
    return f"s3://{name}/team/tiny"


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    """Give a folder with a model, which may be changed."""
    return Path(shutil.copytree(model, tmp_path / "out" / "tiny"))


def commit_of(source: str) -> str:
    return open_source(source).snapshot(source).commit


def test_a_pipelines_pod_reads_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mounts hold Secrets that whoever starts a run may not be allowed to read."""
    monkeypatch.setenv(pod.POD_NAME, "model-to-registry-abcde-1")
    for source in (str(folder), str(pod.SECRETS_MOUNT), "../../etc"):
        with pytest.raises(SourceError, match="read on your own machine alone"):
            open_source(source)


def test_the_same_files_are_the_same_commit_wherever_they_lie(bucket: str, folder: Path, tmp_path: Path) -> None:
    commit = commit_of(str(folder))
    assert commit_of(bucket) == commit_of(f"{bucket}/") == commit
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in folder.iterdir():
        (linked / file.name).symlink_to(file)
    (linked / ".git").mkdir()
    (linked / ".git" / "HEAD").write_text("x")
    assert commit_of(str(linked)) == commit
    (folder / "config.json").write_text("{}")
    assert commit_of(str(folder)) != commit


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_model_of_ones_own_is_streamed_downloaded_and_built_alike(
    kind: str, request: pytest.FixtureRequest, plain_registry: Registry, tmp_path: Path
) -> None:
    source = str(request.getfixturevalue(kind))
    streamed = stream(source, f"{plain_registry.host}/own/{kind}:1")
    downloaded = download(source, tmp_path / "claim")
    built = build(downloaded.directory, f"{plain_registry.host}/own/{kind}-built:1", builder="direct")
    assert built.image.digest == streamed.image.digest
    assert streamed.commit == downloaded.snapshot.commit == commit_of(source)
    # The duplicate of the shards is left out, as of a model from the Hub.
    assert not (downloaded.directory / "consolidated.safetensors").exists()
    assert stream(source, f"{plain_registry.host}/own/{kind}:1").unchanged


def test_verify_says_on_what_the_proof_rests(
    folder: Path, plain_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path, "ours")
    _, foreign = write_keys(tmp_path, "foreign")
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))
    image = str(stream(str(folder), f"{plain_registry.host}/own/signed:1").image)
    # Nobody is asked for what nobody published.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    links = {link.name: link for link in verify(image, key=PublicKey.read(public)).links}
    assert "its first reading made the list of hashes, which is signed with this key" in links["source"].detail
    assert "Hub" not in links
    assert verify(image, key=PublicKey.read(public)).outcome is Outcome.WHOLE
    assert verify(image).outcome is not Outcome.WHOLE
    assert verify(image, key=PublicKey.read(foreign)).outcome is not Outcome.WHOLE


def test_files_that_change_while_they_are_read_never_reach_an_image(
    folder: Path, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = max(folder.glob("model-*.safetensors"), key=lambda file: file.stat().st_size)
    resolve = Selection.resolve

    def then_changed(selection: Selection, source: object) -> object:
        found = resolve(selection, source)  # type: ignore[arg-type]
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
        return found

    monkeypatch.setattr(Selection, "resolve", then_changed)
    with pytest.raises(WrongBytesError):
        stream(str(folder), f"{plain_registry.host}/own/changed:1")


def test_a_pinned_commit_is_held_to(folder: Path) -> None:
    commit = commit_of(str(folder))
    assert open_source(str(folder)).snapshot(str(folder), commit[:12]).commit == commit
    with pytest.raises(SelectionError, match="is at commit"):
        open_source(str(folder)).snapshot(str(folder), "f" * 40)


def test_the_login_may_come_from_a_mounted_secret(bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in s3.variables:
        monkeypatch.delenv(variable)
    with pytest.raises(ModelcarError, match=r"there is no login|cannot list"):
        commit_of(bucket)
    place = pod.SECRETS / "source"
    place.mkdir(parents=True)
    for name, value in s3.variables.items():
        (place / name).write_text(f"{value}\n")
    assert commit_of(bucket)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, r"S3 refused to list .* \(403"),
        ({"AWS_S3_ENDPOINT": "http://127.0.0.1:9"}, "cannot list s3://"),
    ],
)
def test_a_server_that_refuses_is_one_line(
    changed: dict[str, str], says: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SourceError, match=says):
        commit_of(bucket)


def test_an_object_that_became_empty_is_not_asked_for_for_ever(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in s3.variables.items():
        monkeypatch.setenv(variable, value)
    with RecordedApi() as server:
        server.answers["/models/tiny/weights.bin"] = (200, b"")
        monkeypatch.setenv("AWS_S3_ENDPOINT", server.url)
        with pytest.raises(SourceError, match=r"weights\.bin in s3://models/tiny became shorter while it was read"):
            list(S3Shelf("s3://models/tiny").read("weights.bin", 0, 5))


def test_what_is_not_there_is_one_line(bucket: str, tmp_path: Path) -> None:
    for source, says in (
        (f"{bucket}/nothing", "there are no files in"),
        ("s3://nothing-here-at-all/x", "S3 refused to list"),
        (str(tmp_path / "nothing"), "there is no folder"),
        (str(tmp_path), r"there are no files in|has a file|no model"),
    ):
        with pytest.raises(ModelcarError, match=says):
            open_source(source).snapshot(source)
    for source in ("s3:///x", "s3://B/x", "ftp://x/y", "gs://bucket/x"):
        with pytest.raises(SourceError):
            open_source(source)


def test_hub_ids_are_the_hubs() -> None:
    assert not any(map(is_own, ("a/b", "gpt2", "a/b.c", "s3/x")))
    assert all(map(is_own, ("./a", "../a", "/a", "~/a", ".", "s3://a/b", "oci://a/b")))
