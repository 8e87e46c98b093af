"""A model at one commit, and the record of it."""

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.claim.downloads import DIGESTS, read_snapshot, write_record
from modelcar.claim.files import OnDisk
from modelcar.claim.folder import Folder
from modelcar.errors import ClaimError, UnsafeNameError, WrongBytesError
from modelcar.hub.file_check import matches
from modelcar.hub.paths import DOWNLOAD_NOTE, safe_path
from modelcar.hub.snapshot import PublishedFile, Snapshot
from tests.parts.models import ODD_NAMES

FILES = (
    PublishedFile(path="config.json", size=2, git_blob=hashlib.sha1(b"blob 2\0{}").hexdigest()),
    PublishedFile(path="sub/modèle-模型.gguf", size=7, sha256=hashlib.sha256(b"weights").hexdigest()),
)
SNAPSHOT = Snapshot(
    model="org/tiny",
    commit="0" * 40,
    created=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
    source="https://huggingface.co/org/tiny",
    licence="apache-2.0",
    base_models=("org/base",),
    quantization="gptq",
    files=FILES,
)


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "x/../y", "..", ".", "./x", "x/.", "/x", "", "a//b", "a/", "a\\b", "..\\x"),
        *("a\0b", "a\nb", "a\x1fb", "a\x7fb", "\t", "a\ud800b", "\udfff", "x" * 256, "é" * 128, "ok/" + "x" * 256),
    ],
)
def test_unsafe_path_is_refused(path: str) -> None:
    with pytest.raises(UnsafeNameError, match="cannot be used as it stands") as raised:
        PublishedFile(path=path, size=1)

    str(raised.value).encode()


@pytest.mark.parametrize("path", [*ODD_NAMES, "...", "..a", "a..", "x" * 255, "é" * 127, "a/.b", "~", "a:b"])
def test_odd_path_is_kept(path: str) -> None:
    assert PublishedFile(path=path, size=1).path == path


@given(st.text(st.characters(codec=None), max_size=300))
def test_safe_path_stays_below_its_directory(path: str) -> None:
    try:
        safe = safe_path(path)
    except UnsafeNameError:
        return
    assert safe == path
    assert Path("/claim", path).is_relative_to("/claim")
    assert ".." not in Path(path).parts
    assert Path("/claim", path).relative_to("/claim").as_posix() == path


def test_record_is_read_back(tmp_path: Path) -> None:
    write_record(SNAPSHOT, b"{}", Folder(tmp_path))

    assert read_snapshot(tmp_path) == SNAPSHOT
    assert SNAPSHOT.size == 9
    there = {path.name for path in (tmp_path / DOWNLOAD_NOTE).parent.iterdir()}
    assert there == {DOWNLOAD_NOTE.name, DIGESTS.name}


def test_record_is_replaced(tmp_path: Path) -> None:
    write_record(SNAPSHOT, b"{}", Folder(tmp_path))
    other = SNAPSHOT.model_copy(update={"files": FILES[:1]})
    write_record(other, b"{}", Folder(tmp_path))

    assert read_snapshot(tmp_path) == other


@pytest.mark.parametrize("place", ["", "missing", "file"])
def test_missing_record_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ClaimError, match=r"holds no finished download.*Run the download step first"):
        read_snapshot(tmp_path / place)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"model": 7}'])
def test_damaged_record_is_named(damage: bytes, tmp_path: Path) -> None:
    write_record(SNAPSHOT, b"{}", Folder(tmp_path))
    (tmp_path / DOWNLOAD_NOTE).write_bytes(damage)

    with pytest.raises(WrongBytesError, match=r"is damaged.*run the download again"):
        read_snapshot(tmp_path)


def test_truncated_record_is_named(tmp_path: Path) -> None:
    write_record(SNAPSHOT, b"{}", Folder(tmp_path))
    record = tmp_path / DOWNLOAD_NOTE
    record.write_bytes(record.read_bytes()[:-20])

    with pytest.raises(WrongBytesError, match="is damaged"):
        read_snapshot(tmp_path)


def test_record_that_leads_out_is_refused(tmp_path: Path) -> None:
    write_record(SNAPSHOT, b"{}", Folder(tmp_path))
    record = tmp_path / DOWNLOAD_NOTE
    record.write_text(record.read_text().replace("config.json", "../../config.json"))

    with pytest.raises(UnsafeNameError):
        read_snapshot(tmp_path)


@pytest.mark.parametrize(("file", "content"), [(FILES[0], b"{}"), (FILES[1], b"weights")])
def test_file_matches_its_published_bytes_alone(file: PublishedFile, content: bytes, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(content)
    assert matches(file, OnDisk.at(place))
    place.write_bytes(content[:-1] + b"!")
    assert not matches(file, OnDisk.at(place))
    place.write_bytes(content + b"!")
    assert not matches(file, OnDisk.at(place))


def test_git_agrees_on_the_hash_of_a_small_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"{}")

    said = subprocess.run(["git", "hash-object", tmp_path / "file"], capture_output=True, text=True, check=True)

    assert FILES[0].identity == f"git:{said.stdout.strip()}"
