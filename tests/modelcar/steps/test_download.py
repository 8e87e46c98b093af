"""Downloads from a Hub that is slow to please, onto claims that are small."""

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from tqdm import TMonitor

from modelcar.claim import space
from modelcar.claim.downloads import read_snapshot
from modelcar.errors import ClaimError, HubError, ModelcarError, SelectionError, UnsafeNameError, WrongBytesError
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.hub.reader import MAX_CHUNK_BYTES
from tests.conftest import Mount
from tests.parts.hub import Hub
from tests.parts.hub_http import Served
from tests.parts.models import ODD_NAMES, tiny_llama, variants
from tests.parts.steps import download
from tests.parts.weights import Tensor, write_safetensors

REPO = "org/tiny"
SHARD = "model-00002-of-00004.safetensors"
# What arrived is written at the end of each chunk, so less might not survive a cut.
CHUNK = MAX_CHUNK_BYTES


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    return tmp_path / "claim"


@pytest.fixture
def common_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Give a file of weights of several chunks, one file of a model."""
    folder = tmp_path / "large"
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", [Tensor("weight", (3 * CHUNK // 2,))])
    (folder / "config.json").write_text("{}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and DOWNLOAD_NOTE.parent not in path.relative_to(folder).parents
    ]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def taken_of(model: Path) -> dict[str, bytes]:
    return {
        path: content
        for path, content in contents(model).items()
        if path not in ("consolidated.safetensors", "params.json", ".gitattributes")
    }


DESCRIBING = {"config.json", "model.safetensors.index.json", "params.json"}
"""What is read to choose the files."""


def bodies(hub: Hub, part: str = "") -> list[Served]:
    """Give the answers that carried a file's bytes."""
    return [served for served in list(hub.requests) if served.method == "GET" and served.bytes and part in served.path]


def test_download_is_whole_and_unchanged(
    hub: Hub, model: Path, claim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.publish(REPO, model)

    done = download(REPO, claim)

    assert done.directory == claim / "org--tiny" / commit
    assert contents(done.directory) == taken_of(model)
    assert read_snapshot(done.directory) == done.snapshot
    assert done.snapshot.commit == commit
    assert done.snapshot.source == f"https://huggingface.co/{REPO}"
    assert (done.snapshot.licence, done.snapshot.base_models) == ("Apache-2.0", ("example/tiny-llama-base",))
    left_out = ("consolidated.safetensors", "params.json", ".gitattributes")
    assert done.left_out_bytes == sum((model / path).stat().st_size for path in left_out)
    assert done.fetched_bytes == done.snapshot.size == sum(map(len, taken_of(model).values()))
    assert not bodies(hub, "consolidated")
    assert not (done.directory / DOWNLOAD_NOTE.parent / "partial").exists()
    assert "left out: consolidated.safetensors" in capsys.readouterr().out


def test_second_run_fetches_nothing(hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)
    first = download(REPO, claim)
    hub.requests.clear()

    second = download(REPO, claim)

    assert second == replace(first, fetched_bytes=0)
    assert {served.path.rpartition("/")[2] for served in bodies(hub)} == DESCRIBING


def monitors() -> list[TMonitor]:
    return [thread for thread in threading.enumerate() if isinstance(thread, TMonitor)]


def test_files_leave_no_threads_behind(hub: Hub, claim: Path) -> None:
    """By itself, tqdm starts a thread for each class of meters, and keeps it."""
    hub.publish(REPO, {f"notes-{number}.onnx": str(number) for number in range(12)})

    for monitor in monitors():
        # Another test's meter left it.
        monitor.exit()

    download(REPO, claim)

    assert monitors() == []


@pytest.mark.parametrize("revision", ["main", "v1", "dev/branch", "commit"])
def test_revision_is_resolved(revision: str, hub: Hub, claim: Path) -> None:
    first = hub.publish(REPO, {"notes.onnx": "1"})
    hub.publish(REPO, {"notes.onnx": "3"}, branch="dev/branch")
    second = hub.publish(REPO, {"notes.onnx": "2"})
    hub.tag(REPO, "v1", first)
    names = {"main": "2", "v1": "1", "dev/branch": "3", "commit": "2"}

    done = download(REPO, claim, revision=second if revision == "commit" else revision)

    assert contents(done.directory) == {"notes.onnx": names[revision].encode()}


def test_patterns_are_followed(hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)

    done = download(REPO, claim, include=["*.json", "model-*.safetensors"], exclude=["tok*", "README.md", "LICENSE"])

    assert SHARD in contents(done.directory)
    assert {Path(path).suffix for path in contents(done.directory)} == {".json", ".safetensors"}
    assert not any(path.startswith("tok") for path in contents(done.directory))


def test_everything_is_everything(hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)

    done = download(REPO, claim, everything=True)

    assert contents(done.directory) == contents(model)
    assert done.left_out_bytes == 0


@pytest.mark.usefixtures("waits")
def test_cut_connection_is_taken_up_in_the_same_run(hub: Hub, large: Path, claim: Path) -> None:
    hub.publish(REPO, large)
    hub.cut(REPO, "model.safetensors", CHUNK // 2, times=2)

    done = download(REPO, claim)

    assert contents(done.directory) == contents(large)
    assert sum(served.bytes for served in bodies(hub, "/cdn/")) < (large / "model.safetensors").stat().st_size + CHUNK


@pytest.mark.usefixtures("waits")
def test_broken_download_goes_on_in_the_next_run(
    hub: Hub, large: Path, claim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One connection, so that it is the file's beginning which arrives.
    monkeypatch.setattr("modelcar.hub.connection_limit.FIRST", 1)
    monkeypatch.setattr("modelcar.hub.connection_limit.MAX_CONNECTIONS", 1)
    hub.publish(REPO, large)
    size = (large / "model.safetensors").stat().st_size
    # Progress would let the client try for ever, so the connections after the first one break at once.
    hub.cut(REPO, "model.safetensors", CHUNK // 2, times=1)
    hub.cut(REPO, "model.safetensors", 0, times=None)
    with pytest.raises(HubError):
        download(REPO, claim)
    kept = max(path.stat().st_size for path in claim.rglob("partial/*"))
    hub.faults.clear()
    hub.requests.clear()

    done = download(REPO, claim)

    ranges = bodies(hub, "/cdn/")
    assert contents(done.directory) == contents(large)
    assert kept >= CHUNK // 4
    assert min(int((served.range or "bytes=0-")[6:].partition("-")[0]) for served in ranges) == kept
    assert sum(served.bytes for served in ranges) == size - kept < size


def test_damaged_file_is_fetched_again(hub: Hub, model: Path, claim: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.publish(REPO, model)
    hub.corrupt(REPO, SHARD)
    hub.corrupt(REPO, "README.md")

    done = download(REPO, claim)

    said = capsys.readouterr().out
    assert contents(done.directory) == taken_of(model)
    assert said.count("it is fetched again") == 2
    assert len(bodies(hub, SHARD)) == len(bodies(hub, "/README.md")) == 2


@pytest.mark.parametrize("path", [SHARD, "config.json"])
def test_file_that_stays_damaged_is_named_and_gone(path: str, hub: Hub, model: Path, claim: Path) -> None:
    commit = hub.publish(REPO, model)
    hub.corrupt(REPO, path, times=None)

    with pytest.raises(WrongBytesError, match=f"^{path} of {REPO} arrived 2 times with other bytes.*(sha256|git):"):
        download(REPO, claim)

    directory = claim / "org--tiny" / commit
    assert not (directory / path).exists()
    assert not (directory / DOWNLOAD_NOTE).exists()
    with pytest.raises(ClaimError, match="no finished download"):
        read_snapshot(directory)


def test_file_that_stays_damaged_does_not_leave_an_old_one(hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)
    done = download(REPO, claim)
    damage(done.directory / SHARD)
    hub.corrupt(REPO, SHARD, times=None)

    with pytest.raises(WrongBytesError, match=SHARD):
        download(REPO, claim)

    assert not (done.directory / SHARD).exists()


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("path", [SHARD, "README.md"])
def test_file_that_was_altered_on_the_claim_is_found(path: str, hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)
    done = download(REPO, claim)
    damage(done.directory / path)
    hub.requests.clear()

    download(REPO, claim)

    assert contents(done.directory) == taken_of(model)
    assert len(bodies(hub, path)) == 1


def test_lost_and_shortened_files_are_found(hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)
    done = download(REPO, claim)
    (done.directory / "config.json").unlink()
    os.truncate(done.directory / SHARD, 1000)

    again = download(REPO, claim)

    assert contents(done.directory) == taken_of(model)
    assert again.fetched_bytes == sum((model / path).stat().st_size for path in ("config.json", SHARD))


def test_new_commit_fetches_only_what_changed(hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)
    first = download(REPO, claim)
    hub.publish(REPO, {**{path: model / path for path in contents(model)}, "config.json": "{}"})
    hub.requests.clear()

    second = download(REPO, claim)

    assert second.directory != first.directory
    assert contents(second.directory) == {**taken_of(model), "config.json": b"{}"}
    assert contents(first.directory) == taken_of(model)
    assert (second.directory / SHARD).stat().st_ino == (first.directory / SHARD).stat().st_ino
    assert {served.path.rpartition("/")[2] for served in bodies(hub, "resolve")} == DESCRIBING
    assert not bodies(hub, "/cdn/")
    assert second.fetched_bytes == 2


def test_altered_file_of_another_commit_is_not_linked(hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)
    first = download(REPO, claim)
    damage(first.directory / SHARD)
    hub.publish(REPO, {**{path: model / path for path in contents(model)}, "config.json": "{}"})

    second = download(REPO, claim)

    assert (second.directory / SHARD).read_bytes() == (model / SHARD).read_bytes()


def test_what_is_linked_needs_no_room(hub: Hub, mount: Mount, tmp_path: Path) -> None:
    model = tiny_llama(tmp_path / "model", shards=4, bytes_per_shard=6 << 20, consolidated=False)
    claim = mount("claim", 24 + 24 + 50)
    hub.publish(REPO, model)
    download(REPO, claim)
    hub.publish(REPO, {**{path: model / path for path in contents(model)}, "config.json": "{}"})

    second = download(REPO, claim)

    assert contents(second.directory)["config.json"] == b"{}"


def test_odd_names_arrive(hub: Hub, tmp_path: Path, claim: Path) -> None:
    tiny_llama(tmp_path / "model", shards=1, bytes_per_shard=20_000)
    variants(tmp_path / "model", "odd")
    large = {f"weights {number} % # ? é.data": bytes(1000 + number) for number in range(3)}
    hub.publish(REPO, {**{name: tmp_path / "model" / name for name in contents(tmp_path / "model")}, **large})

    done = download(REPO, claim)

    found = contents(done.directory)
    assert {name: found[name] for name in ODD_NAMES} == {name: f"{name}\n".encode() for name in ODD_NAMES}
    assert {name: found[name] for name in large} == large


def test_empty_files_arrive(hub: Hub, claim: Path) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}", "empty.txt": "", "empty.md": b"", "sub/__init__.py": ""})

    done = download(REPO, claim)

    assert contents(done.directory) == {
        "model.onnx": b"x", "config.json": b"{}", "empty.txt": b"", "empty.md": b"", "sub/__init__.py": b""
    }  # fmt: skip


def test_unsafe_name_is_refused(hub: Hub, claim: Path) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}", "../outside": "x"})

    with pytest.raises(UnsafeNameError, match=r"'\.\./outside'"):
        download(REPO, claim)

    assert not claim.exists()


def test_remedy_for_an_unsafe_name_helps(hub: Hub, claim: Path) -> None:
    earlier = hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}", "back\\slash": "x"})
    with pytest.raises(UnsafeNameError, match="Use another revision"):
        download(REPO, claim)

    done = download(REPO, claim, revision=earlier)

    assert contents(done.directory) == {"model.onnx": b"x", "config.json": b"{}"}


@pytest.mark.usefixtures("common_umask")
def test_group_may_do_what_the_owner_may(hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, {**{path: model / path for path in contents(model)}, "sub/deep/er.txt": "x"})

    done = download(REPO, claim)

    modes = {path.relative_to(claim): path.stat().st_mode & 0o7777 for path in claim.rglob("*")}
    folders = {path.relative_to(claim) for path in claim.rglob("*") if path.is_dir()}
    assert {path: oct(mode) for path, mode in modes.items() if path not in folders and mode != 0o664} == {}
    assert {path: oct(mode) for path, mode in modes.items() if path in folders and mode != 0o775} == {}
    assert done.directory.relative_to(claim) / "sub/deep" in folders


@pytest.mark.parametrize("token", [None, "stranger"])
def test_gated_model_names_the_remedy(
    token: str | None, hub: Hub, claim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"}, gated="manual")
    hub.tokens["stranger"] = set()
    if token:
        monkeypatch.setenv("HF_TOKEN", token)

    with pytest.raises(HubError, match=rf"{REPO} is gated.*HF_TOKEN"):
        download(REPO, claim)


def test_token_opens_a_gated_model_and_stays_with_the_hub(
    hub: Hub, model: Path, claim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(REPO, model, gated="manual", private=True)
    hub.tokens["friend"] = {REPO}
    monkeypatch.setenv("HF_TOKEN", "friend")

    done = download(REPO, claim)

    assert contents(done.directory) == taken_of(model)
    assert all(served.authorized for served in bodies(hub, "resolve"))
    assert bodies(hub, "/cdn/")
    assert not any(served.authorized for served in bodies(hub, "/cdn/"))


def test_wrong_token_is_named(hub: Hub, claim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    monkeypatch.setenv("HF_TOKEN", "expired")

    with pytest.raises(HubError, match="token"):
        download(REPO, claim)


def test_missing_model_is_named(hub: Hub, claim: Path) -> None:
    with pytest.raises(HubError, match=rf"there is no model org/typo on {hub.url}, or it is private.*spelling"):
        download("org/typo", claim)

    assert not claim.exists()


@pytest.mark.parametrize(
    "name", ["org/tiny/more", "org//tiny", "", "a b", "../../no-such-folder", "org/--x..y", "https://hf.co/a/b"]
)
def test_mistyped_model_is_named(name: str, hub: Hub, claim: Path) -> None:
    with pytest.raises(
        ModelcarError, match=r"is not a model id|there is no (model|folder)|cannot be read from https://"
    ):
        download(name, claim)

    assert not hub.bytes_served


def test_missing_revision_is_named(hub: Hub, claim: Path) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})

    with pytest.raises(HubError, match=rf"{REPO} has no revision 'typo'"):
        download(REPO, claim, revision="typo")


def test_pattern_that_matches_nothing_is_named(hub: Hub, claim: Path) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})

    with pytest.raises(SelectionError, match="matches no file"):
        download(REPO, claim, include=["*.gguf"])


@pytest.mark.usefixtures("waits")
def test_unreachable_hub_is_named(closed_port: int, claim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}/")

    with pytest.raises(HubError, match=rf"cannot reach http://127.0.0.1:{closed_port}.*HF_ENDPOINT"):
        download(REPO, claim)


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("status", [500, 503, 429])
def test_ill_hub_is_named(status: int, hub: Hub, claim: Path) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    hub.status("/resolve/", status, times=None)

    with pytest.raises(HubError, match=rf"answered {status} for {REPO}"):
        download(REPO, claim)


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("part", ["/api/models/", "/commits/", "/resolve/", "/cdn/"])
def test_short_illness_of_the_hub_is_borne(part: str, hub: Hub, model: Path, claim: Path) -> None:
    hub.publish(REPO, model)
    hub.status(part, 503, times=1)

    assert contents(download(REPO, claim).directory) == taken_of(model)


def test_offline_mode_is_named(hub: Hub, claim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(HubError, match="Unset HF_HUB_OFFLINE"):
        download(REPO, claim)


def test_read_only_claim_is_named(hub: Hub, mount: Mount) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    claim = mount("claim", 100, "ro")

    with pytest.raises(ClaimError, match=r"the claim cannot be written: .*Read-only file system.*group 0"):
        download(REPO, claim)


def test_small_claim_is_refused_before_any_byte(hub: Hub, model: Path, mount: Mount) -> None:
    hub.publish(REPO, model)
    claim = mount("claim", 68)

    with pytest.raises(ClaimError, match=r"is too small: 6\.\d MB more are needed and 71\.\d MB are free.*Enlarge it"):
        download(REPO, claim)

    assert not bodies(hub, "/cdn/")
    assert {served.path.rpartition("/")[2] for served in bodies(hub, "resolve")} <= DESCRIBING


def test_claim_that_fills_up_is_named_and_keeps_what_is_there(
    hub: Hub, model: Path, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(REPO, model)
    monkeypatch.setattr(space, "SPARE_BYTES", -(1 << 40))
    claim = mount("claim", 4)

    with pytest.raises(ClaimError, match=r"the claim at .* is full.*run again"):
        download(REPO, claim)

    assert shutil.disk_usage(claim).used > 1 << 20


def test_finished_download_needs_no_room(hub: Hub, model: Path, mount: Mount) -> None:
    hub.publish(REPO, model)
    claim = mount("claim", 71)
    done = download(REPO, claim)
    (claim / "other").write_bytes(bytes(60 << 20))

    assert download(REPO, claim).fetched_bytes == 0
    (done.directory / "config.json").unlink()
    with pytest.raises(ClaimError, match="is too small"):
        download(REPO, claim)
