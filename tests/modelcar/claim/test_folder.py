"""Directories on the claim: whatever others put in their place, what is read and written is what was opened."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcar.claim.downloads import Download
from modelcar.claim.files import OnDisk
from modelcar.claim.folder import Folder
from modelcar.claim.scratch import remove_abandoned, scratch
from modelcar.errors import ClaimError, ModelcarError, WrongBytesError
from modelcar.image.builder import may_run_here
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import build, download
from tests.soak import images

SECRET = "the neighbour's secret"
REPO = "org/claimed"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Give a directory that is nobody's business."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    for path in (folder / "file", folder / "sub" / "file"):
        path.write_text(SECRET)
    return folder


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "top"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("ours")
    return folder


def swap(place: Path, outside: Path) -> None:
    """Puts a link in a directory's place, as another user of the claim can."""
    place.rename(place.with_name(f"{place.name}-moved"))
    place.symlink_to(outside)


def test_directory_that_is_open_stays_what_it_was(top: Path, outside: Path) -> None:
    with Folder(top).open() as folder:
        swap(top, outside)

        assert b"".join(OnDisk(folder, "sub/file").read()) == b"ours"
        folder.write_note("note", b"new")

    assert not (outside / "note").exists()
    assert (top.with_name("top-moved") / "note").read_bytes() == b"new"


def state(folder: Path) -> dict[Path, object]:
    """Gives all that is known of each thing below a folder but for when it was read, which the look itself changes."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {path: (*stat[:7], stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in found.items()}


@pytest.mark.parametrize(
    "use",
    [
        lambda folder: folder.open_file("sub/file"),
        lambda folder: folder.read_note("sub/file"),
        lambda folder: folder.write_note("sub/new", b""),
        lambda folder: folder.move("own", "sub/new"),
        lambda folder: folder.move("sub/file", "own"),
        lambda folder: folder.remove("sub/file"),
        lambda folder: folder.remove_tree("sub/sub"),
        lambda folder: folder.open_to_group("sub/file"),
        lambda folder: folder.link_from(folder, "sub/file"),
        lambda folder: folder.link_to("sub/file", folder.path / "linked"),
        lambda folder: folder.below("sub"),
        lambda folder: list(OnDisk(folder, "sub/file").read()),
    ],
)
def test_link_in_a_directorys_place_is_followed_by_nothing(
    use: Callable[[Folder], object], top: Path, outside: Path
) -> None:
    (top / "own").write_text("ours")
    before = state(outside)
    with Folder(top).open() as folder:
        swap(top / "sub", outside)
        with pytest.raises(ClaimError, match=r"sub is a symbolic link, which is not followed\. Remove it, .*: rm "):
            use(folder)

    assert state(outside) == before


def test_size_behind_a_link_is_not_told(top: Path, outside: Path) -> None:
    with Folder(top).open() as folder:
        assert folder.size("sub/file") == 4
        swap(top / "sub", outside)
        with pytest.raises(ClaimError):
            folder.size("sub/file")
        (top / "link").symlink_to(outside / "file")
        assert folder.size("link") == -1


def test_links_above_the_claim_are_the_administrators(top: Path, tmp_path: Path) -> None:
    (tmp_path / "mounted").symlink_to(top)

    assert b"".join(OnDisk(Folder(tmp_path / "mounted"), "sub/file").read()) == b"ours"


def test_links_below_the_claim_are_refused_from_its_top_on(top: Path, outside: Path) -> None:
    swap(top / "sub", outside)

    with pytest.raises(ClaimError, match="is a symbolic link"):
        Folder(top / "sub", top).open()


def test_abandoned_builds_behind_a_link_are_left_alone(top: Path, outside: Path) -> None:
    (outside / "build-theirs").mkdir()
    (outside / "build-theirs" / "lock").touch()
    (top / "build-link").symlink_to(outside / "build-theirs")
    (top / "build-ours").mkdir()
    (top / "build-ours" / "lock").symlink_to(outside / "file")

    assert remove_abandoned(Folder(top)) == 0
    assert (outside / "build-theirs" / "lock").exists()


def test_what_a_build_leaves_is_removed_without_following_links(top: Path, outside: Path) -> None:
    with scratch(Folder(top)) as place:
        (place / "link").symlink_to(outside)

    assert list(top.glob("build-*")) == []
    assert (outside / "file").read_text() == SECRET


@pytest.fixture
def done(hub: Hub, tmp_path: Path) -> Path:
    """Give the directory of a finished download."""
    hub.publish(REPO, {"config.json": "{}", "sub/notes.txt": "notes", "weights.data": os.urandom(1 << 20)})
    return download(REPO, tmp_path / "claim").directory


BUILDERS = ["direct", *(["buildah"] if shutil.which("buildah") and may_run_here() else [])]


@pytest.mark.parametrize("builder", BUILDERS)
def test_directory_swapped_after_the_check_is_not_read(
    builder: str, done: Path, outside: Path, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outside / "notes.txt").write_text(SECRET[:5])
    check = Download.check_sizes

    def check_and_swap(found: Download) -> None:
        check(found)
        swap(done / "sub", outside)

    monkeypatch.setattr(Download, "check_sizes", check_and_swap)
    target = f"{plain_registry.host}/claim/swapped-{builder}:1"

    with pytest.raises(ClaimError, match="sub is a symbolic link, which is not followed"):
        build(done, target, builder=builder)

    assert images.digest_at(target) == ""


@pytest.mark.parametrize("builder", BUILDERS)
def test_build_of_other_bytes_than_noted_names_the_file(builder: str, done: Path, plain_registry: Registry) -> None:
    honest = build(done, f"{plain_registry.host}/claim/honest:1", builder="direct").image.digest
    right = (done / "weights.data").read_bytes()
    (done / "weights.data").write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    target = f"{plain_registry.host}/claim/altered-{builder}:1"

    with pytest.raises(WrongBytesError, match=r"weights\.data is not what the Hub published"):
        build(done, target, builder=builder)
    assert images.digest_at(target) == ""

    download(REPO, done.parents[1])
    assert build(done, target, builder=builder).image.digest == honest


def test_notes_of_an_altered_claim_do_not_survive_a_clean_download(done: Path, plain_registry: Registry) -> None:
    """Somebody alters a file, the record and the noted digests so that they agree, and an image is made of it."""
    honest = build(done, f"{plain_registry.host}/claim/clean:1", builder="direct").image.digest
    note = done / ".modelcar" / "layers.json"
    note.write_text(json.dumps(dict.fromkeys(json.loads(note.read_text()), f"sha256:{'0' * 64}")))

    download(REPO, done.parents[1])

    assert f"sha256:{'0' * 64}" not in note.read_text()
    assert build(done, f"{plain_registry.host}/claim/clean:2", builder="direct").image.digest == honest


def test_record_that_is_no_file_is_named(done: Path) -> None:
    record = done / ".modelcar" / "snapshot.json"
    for make in (os.mkfifo, os.mkdir):
        if record.is_dir():
            record.rmdir()
        else:
            record.unlink()
        make(record)
        with pytest.raises(ModelcarError, match=r"snapshot\.json"):
            build(done, "localhost:1/a/b:1")
