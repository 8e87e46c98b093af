"""Model repositories and claims that were made to harm: nothing is written or read where it must not be."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.claim import folder
from modelcar.claim.downloads import DIGESTS, read_snapshot
from modelcar.claim.files import OnDisk
from modelcar.errors import ClaimError, HubError, ModelcarError, UnsafeNameError, WrongBytesError
from modelcar.hub.client import Hub as HubClient
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.image import layer_digests, layout, recipe
from modelcar.image.builder import may_run_here
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import build, download, plan, stream

REPO = "org/hostile"
MANY = int(os.environ.get("MODELCAR_TEST_FILES", "5000"))
SECRET = "hunter2-planted-secret"


def lying(hub: Hub, **changes: Any) -> None:
    """Let the Hub describe its model in another way than it is."""
    answer = hub.answer

    def lied(target: str, headers: Any, body: bytes) -> Any:
        given = answer(target, headers, body)
        if target.startswith(f"/api/models/{REPO}") and "/commits/" not in target:
            given.body = json.dumps({**json.loads(given.body), **changes}).encode()
        return given

    hub.answer = lied  # type: ignore[method-assign]


def paths(*names: str) -> list[dict[str, Any]]:
    return [{"rfilename": name, "size": 1, "blobId": "0" * 40} for name in names]


@pytest.mark.parametrize(
    "name",
    [
        *("../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..\\b", "a\0b", "a\x1b[2Jb", "a\u009b2Jb", "a\u2028b"),
        *("model\u202esrotsnetefas.exe", "\u2066x", "x" * 5000, "/".join(["d" * 200] * 12)),
        *(".modelcar/snapshot.json", ".MODELCAR/layers.json", ".modelcar/partial/x", ".modelcar"),
    ],
)
def test_a_name_that_must_not_be_used_is_refused_everywhere(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    lying(hub, siblings=paths("config.json", name))

    for attempt in (
        lambda: plan(REPO, "registry.invalid/a/b:1"),
        lambda: download(REPO, tmp_path / "claim"),
        lambda: stream(REPO, "registry.invalid/a/b:1"),
    ):
        with pytest.raises(UnsafeNameError, match="cannot be used as it stands") as raised:
            attempt()
        assert len(str(raised.value)) < 1000
        assert str(raised.value).isprintable()
    assert not (tmp_path / "claim").exists()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a.json", "a.json"), "lists the file 'a.json' 2 times"),
        (("a", "a/b"), "has a file 'a' and a directory of that name"),
        (("a/b/c", "a/b"), "has a file 'a/b' and a directory of that name"),
    ],
)
def test_files_that_cannot_lie_beside_each_other_are_refused(hub: Hub, names: tuple[str, ...], said: str) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    lying(hub, siblings=paths(*names))
    with pytest.raises(UnsafeNameError, match=said):
        plan(REPO, "registry.invalid/a/b:1")


@pytest.mark.parametrize(
    "lie",
    [
        *({"sha": "../../../tmp/x"}, {"sha": "0" * 39}, {"sha": None}, {"id": "../.."}, {"id": "a/../b"}, {"id": "/a"}),
        *({"siblings": [{"rfilename": "a", "size": -1, "blobId": "0" * 40}]}, {"siblings": "x"}, {"siblings": [7]}),
        {"siblings": [{"rfilename": "a", "size": 10**30, "blobId": "0" * 40}]},
        {"siblings": [{"rfilename": "a", "size": 1, "blobId": "../x"}]},
    ],
)
def test_a_hub_that_describes_what_cannot_be_is_named(hub: Hub, tmp_path: Path, lie: dict[str, Any]) -> None:
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    lying(hub, **lie)
    with pytest.raises(HubError):
        download(REPO, tmp_path / "claim")
    assert not (tmp_path / "claim").exists()


def test_a_body_without_end_does_not_fill_the_claim(hub: Hub, waits: list[float]) -> None:
    hub.publish(REPO, {"config.json": "{}", "weights.data": bytes(3_000_000)})
    file = next(file for file in HubClient().snapshot(REPO).files if file.size > 100)
    lied = file.model_copy(update={"size": 1000})
    snapshot = HubClient().snapshot(REPO).model_copy(update={"files": (lied,)})
    with pytest.raises(HubError, match=r"weights\.data"):
        list(HubClient().reader(snapshot, lied).read())


def test_what_is_not_opened_cannot_explode(hub: Hub, plain_registry: Registry) -> None:
    deep = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
    bomb = b"PK\x03\x04" + bytes(1_500_000)
    hub.publish(REPO, {"config.json": b"{" + b" " * 10_000_000 + b"}", "tokenizer.json": deep, "tokenizer.zip": bomb})
    # The Hub reads config.json for what it says of a model; so does the stand-in, which must not break of it.
    done = stream(REPO, f"{plain_registry.host}/hostile/bombs:1")
    assert done.read_bytes > 10_000_000


def test_many_files_are_planned_in_bounded_time_and_memory(hub: Hub) -> None:
    """What is linear with 5,000 files is bearable with the 100,000 that the Hub allows."""
    hub.publish(REPO, {"model.onnx": "x", "config.json": "{}"})
    lying(hub, siblings=paths(*(f"shard/{number % 100}/{number:06}.json" for number in range(MANY))))
    script = (
        "import re, time; from modelcar.hub.selection import Selection;"
        "from modelcar.image.request import ImageRequest;"
        "from modelcar.steps.preflight.plan import plan; before = time.process_time();"
        f"done = plan(Selection({REPO!r}), ImageRequest('registry.invalid/a/b:1'));"
        "print(len(done.choice.taken), len(done.layers), time.process_time() - before,"
        # Not ru_maxrss, which begins with the size of the process that started this one.
        r" re.search(r'VmHWM:\s+(\d+)', open('/proc/self/status').read())[1])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=500)
    files, parts, seconds, kib = ran.stdout.split()
    assert (int(files), int(parts)) == (MANY, 1)
    assert float(seconds) < 5 + MANY * 0.001
    assert int(kib) < (256 << 10) + 4 * MANY


@pytest.fixture
def prepared(hub: Hub, tmp_path: Path) -> Path:
    """Give the directory into which a model's download will go, beside a secret that is not on the claim."""
    commit = hub.publish(REPO, {"config.json": "{}", "sub/notes.txt": "notes", "weights.data": bytes(2_000_000)})
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "secret").write_text(SECRET)
    directory = tmp_path / "claim" / "org--hostile" / commit
    directory.parent.mkdir(parents=True)
    return directory


def untouched(outside: Path) -> bool:
    files = sorted(path.relative_to(outside).as_posix() for path in outside.rglob("*"))
    return files == ["secret", "sub"] and (outside / "secret").read_text() == SECRET


@pytest.mark.parametrize("place", ["", "sub", ".modelcar", ".modelcar/partial", "../../org--hostile"])
def test_a_link_where_a_directory_should_be_is_not_followed(prepared: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    link = Path(os.path.normpath(prepared / place))
    if place.startswith(".."):
        prepared.parent.rmdir()
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)

    with pytest.raises(ClaimError, match=r"is a symbolic link, which is not followed\. Remove it, and run again: rm "):
        download(REPO, tmp_path / "claim")

    assert untouched(outside)


@pytest.mark.parametrize("place", ["config.json", "sub/notes.txt", "weights.data", ".modelcar/snapshot.json"])
def test_a_link_or_pipe_in_place_of_a_file_is_replaced(prepared: Path, tmp_path: Path, place: str) -> None:
    (prepared / place).parent.mkdir(parents=True)
    for obstacle in (lambda path: path.symlink_to(tmp_path / "outside" / "secret"), os.mkfifo):
        (prepared / place).unlink(missing_ok=True)
        obstacle(prepared / place)
        done = download(REPO, tmp_path / "claim")
        assert (done.directory / place).is_file()
        assert not (done.directory / place).is_symlink()
    assert untouched(tmp_path / "outside")


def test_links_for_notes_are_not_written_through(prepared: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    notes = prepared / DOWNLOAD_NOTE.parent
    notes.mkdir(parents=True)
    for name in ("layers.json", f"layers.{os.getpid()}", f"snapshot.{os.getpid()}"):
        (notes / name).symlink_to(outside / "secret")

    done = download(REPO, tmp_path / "claim")

    assert untouched(outside)
    assert set(layer_digests.read_digests((done.directory / DIGESTS).read_bytes()).values())


@pytest.mark.parametrize("what", ["directory", "file"])
def test_another_thing_in_the_way_is_named(prepared: Path, tmp_path: Path, what: str) -> None:
    if what == "directory":
        (prepared / "config.json" / "x").mkdir(parents=True)
    else:
        prepared.mkdir(parents=True)
        (prepared / "sub").write_text("a file")
    with pytest.raises(ClaimError, match=r"^the claim cannot be used: .*Look what lies there"):
        download(REPO, tmp_path / "claim")


BUILDERS = ["direct", pytest.param("buildah", marks=pytest.mark.skipif(not may_run_here(), reason="no buildah here"))]


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("place", ["config.json", "weights.data", "sub"])
def test_a_secret_behind_a_link_never_gets_into_an_image(
    prepared: Path, tmp_path: Path, plain_registry: Registry, builder: Any, place: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "notes.txt").write_text("notes")
    done = download(REPO, tmp_path / "claim")
    mode = (outside / "secret").stat().st_mode
    if place == "sub":
        (done.directory / "sub" / "notes.txt").unlink()
        (done.directory / "sub").rmdir()
        (done.directory / "sub").symlink_to(outside)
    else:
        # The size does not give it away.
        (outside / "secret").write_bytes(SECRET.encode().ljust((done.directory / place).stat().st_size))
        (done.directory / place).unlink()
        (done.directory / place).symlink_to(outside / "secret")

    with pytest.raises(ClaimError, match="is a symbolic link, which is not followed"):
        build(done.directory, f"{plain_registry.host}/hostile/linked:1", builder=builder)

    assert (outside / "secret").stat().st_mode == mode
    found = subprocess.run(["grep", "-rl", SECRET, str(plain_registry.storage)], capture_output=True, text=True)
    assert found.stdout == ""


def test_a_link_that_comes_later_is_not_read_either(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(ClaimError, match=r"cannot read|is a symbolic link"):
            list(OnDisk.at(tmp_path / name).read(0))


def test_notes_without_end_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_NOTE_BYTES", 1000)
    (tmp_path / DOWNLOAD_NOTE.parent).mkdir()
    (tmp_path / DOWNLOAD_NOTE).write_bytes(b" " * 1001)
    with pytest.raises(ClaimError, match="has more than"):
        read_snapshot(tmp_path)


def test_a_forged_note_makes_no_image(prepared: Path, tmp_path: Path, plain_registry: Registry) -> None:
    done = download(REPO, tmp_path / "claim")
    forged = dict.fromkeys(layer_digests.read_digests((done.directory / DIGESTS).read_bytes()), f"sha256:{'0' * 64}")
    (done.directory / DIGESTS).write_text(json.dumps(forged))
    with pytest.raises(WrongBytesError, match="the digest noted"):
        build(done.directory, f"{plain_registry.host}/hostile/forged:1", builder="direct")


@given(st.lists(st.text(st.sampled_from("ab/.\\\u202e\n"), max_size=6), max_size=6))
def test_a_list_of_files_is_taken_or_named(names: list[str]) -> None:
    try:
        files = tuple(PublishedFile(path=name, size=0) for name in names)
        Snapshot(model="a/b", commit="0" * 40, created="2024-01-01T00:00:00Z", source="", files=files)  # type: ignore[arg-type]
    except ModelcarError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    assert len(set(names)) == len(names)


def test_the_keys_of_many_layers_are_found_in_linear_time() -> None:
    files = tuple(PublishedFile(path=f"{number}.data", size=1 << 20, git_blob="0" * 40) for number in range(5_000))
    snapshot = Snapshot(model="a/b", commit="0" * 40, created="2024-01-01T00:00:00Z", source="", files=files)  # type: ignore[arg-type]
    begun = time.process_time()
    keys = {recipe.key(layer, snapshot) for file in files if (layer := layout.alone(file, OnDisk.at(Path("nowhere"))))}
    assert len(keys) == len(files)
    assert time.process_time() - begun < 10
