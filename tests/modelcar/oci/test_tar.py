"""Layers as tar streams, judged by Python's tarfile and by buildah."""

import io
import json
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.claim.files import OnDisk
from modelcar.errors import WrongBytesError
from modelcar.hub.snapshot import PublishedFile
from modelcar.oci.tar_writer import DIRECTORY_MODE, FILE_MODE, Entry, Layer, file_header

# Latin letters, which a short name can have many of, and what takes more than one byte.
_letters = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\")
_parts = st.one_of(
    st.text(_letters, min_size=1, max_size=12),
    st.text("ab-.x ", min_size=1, max_size=120),
    st.sampled_from(["sub", "sub.txt", "sub-", "sub0", "a" * 99, "a" * 100, "a" * 101, "é" * 60, "b" * 155, "c" * 255]),
).filter(lambda part: part not in (".", "..") and len(part.encode()) <= 255)
_paths = st.lists(_parts, min_size=1, max_size=4).map("/".join)


def _is_tree(contents: Mapping[str, bytes]) -> bool:
    return not any(
        f"{path}/" in f"{other}/" and other.startswith(f"{path}/") for path in contents for other in contents
    )


_trees = st.dictionaries(_paths, st.binary(max_size=1500), min_size=1, max_size=6).filter(_is_tree)

ODD = (
    "sub.txt",
    "sub/file",
    "sub-/file",
    "sub0",
    "sub",
    "-leading-dash",
    "with spaces and\ttab.txt".replace("\t", " "),
    "modèle-模型.txt",
    "ünicode folder/ファイル.safetensors",
    "+plus",
    "100% #1 & more?.txt",
    "trailing.",
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "b" * 255,
    "d" * 90 + "/" + "e" * 90,
    "d" * 150 + "/" + "f" * 80,
    "g" * 155 + "/" + "h" * 100,
    "g" * 156 + "/" + "h" * 90,
    "i" * 40 + "/" + "j" * 40 + "/" + "k" * 40 + "/" + "l" * 101,
    "m" * 100 + "/" + "n" * 100 + "/" + "o" * 90,
    "é" * 60 + "/" + "p" * 120,
    "q" * 93 + "/r",
    "s" * 92 + "/t",
    "s" * 91 + "/u",
)


def lay(folder: Path, contents: Mapping[str, bytes]) -> Layer:
    """Make a layer of files in a folder; their names on disk need not be those in the layer."""
    entries = []
    for number, (path, content) in enumerate(contents.items()):
        source = folder / str(number)
        source.write_bytes(content)
        entries.append(Entry(f"models/{path}", OnDisk.at(source), len(content)))
    return Layer(tuple(entries))


def test_odd_names_are_names_that_a_model_may_have() -> None:
    for path in ODD:
        PublishedFile(path=path, size=0)


@given(_trees)
def test_stream_is_what_tarfile_reads(contents: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layer = lay(Path(folder), contents)
        stream = b"".join(layer.chunks())
        again = b"".join(Layer(tuple(reversed(layer.entries))).chunks())

    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        members = tar.getmembers()
        files = {member.name: tar.extractfile(member).read() for member in members if member.isfile()}  # type: ignore[union-attr]

    assert files == {f"models/{path}": content for path, content in contents.items()}
    assert layer.size == len(stream)
    assert stream == again
    for member in members:
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
        assert member.isfile() or member.isdir()
        assert stat.S_IMODE(member.mode) == (DIRECTORY_MODE if member.isdir() else FILE_MODE)


@given(_trees)
def test_each_directory_comes_once_and_before_what_is_in_it(contents: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stream = b"".join(lay(Path(folder), contents).chunks())

    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        names = [member.name for member in tar.getmembers()]

    assert len(names) == len(set(names))
    for name in names:
        parent = name.rpartition("/")[0]
        assert parent in ("", *names)
        assert not parent or names.index(parent) < names.index(name)


@given(_paths, st.sampled_from([0, 1, 8**11 - 1, 8**11, 9 << 30, 1 << 40]))
def test_header_says_name_and_size(path: str, size: int) -> None:
    header = file_header(path, size)

    # Nothing but the header is there: tarfile reads it when it opens.
    with tarfile.open(fileobj=io.BytesIO(header)) as tar:
        member = tar.firstmember  # type: ignore[attr-defined]

    assert (member.name, member.size, member.type) == (path, size, tarfile.REGTYPE)
    assert stat.S_IMODE(member.mode) == FILE_MODE
    assert len(header) % 512 == 0


def test_content_is_shown_on_the_way(tmp_path: Path) -> None:
    contents = {"a": b"x" * 3_000_000, "b": b"y"}
    seen: dict[str, bytes] = {}

    layer = lay(tmp_path, contents)
    pieces = list(layer.pieces())
    for piece in pieces:
        if piece.entry:
            seen[piece.entry.path] = seen.get(piece.entry.path, b"") + piece.data

    assert seen == {"models/a": contents["a"], "models/b": contents["b"]}
    assert max(len(piece.data) for piece in pieces) <= 1 << 20


@pytest.mark.parametrize("start", [0, 1, 511, 512, 1024, 1025, 3_000_000, 3_000_832, 3_001_000, 3_005_440])
def test_the_stream_can_be_taken_up_anywhere(start: int, tmp_path: Path) -> None:
    layer = lay(tmp_path, {"a": b"x" * 3_000_000, "b": b"y"})
    whole = b"".join(layer.chunks())

    pieces = list(layer.pieces(start))

    assert b"".join(piece.data for piece in pieces) == whole[start:]
    assert all(whole[piece.position :].startswith(piece.data) for piece in pieces)


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "0, not 8 bytes"), (b"short", "5, not 8 bytes"), (b"much too long", "more than 8 bytes")],
)
def test_file_of_another_size_is_refused(content: bytes, found: str, tmp_path: Path) -> None:
    layer = lay(tmp_path, {"weights": b"foreseen"})
    on_disk(layer).write_bytes(content)

    with pytest.raises(WrongBytesError, match=f"has {found}"):
        list(layer.chunks())


def test_missing_file_is_named(tmp_path: Path) -> None:
    layer = lay(tmp_path, {"weights": b"foreseen"})
    on_disk(layer).unlink()

    with pytest.raises(WrongBytesError, match="0 is gone"):
        list(layer.chunks())


def on_disk(layer: Layer) -> Path:
    source = layer.entries[0].source
    assert isinstance(source, OnDisk)
    return source.path


def buildah(storage: Path, *arguments: str) -> str:
    options = ["--root", str(storage / "root"), "--runroot", str(storage / "run"), "--storage-driver", "vfs"]
    done = subprocess.run(["buildah", *options, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def committed_layer(storage: Path, contents: Mapping[str, bytes]) -> bytes:
    """Have buildah alone make a layer of these files."""
    container = buildah(storage, "from", "scratch")
    root = Path(buildah(storage, "mount", container))
    for path, content in contents.items():
        file = root / "models" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(FILE_MODE)
    for folder in (root / "models", *(root / "models").rglob("*")):
        if folder.is_dir():
            folder.chmod(DIRECTORY_MODE)
    place = storage / "committed"
    buildah(storage, "commit", "--disable-compression", "--timestamp", "0", container, f"dir:{place}")
    manifest = json.loads((place / "manifest.json").read_bytes())
    return (place / manifest["layers"][0]["digest"].removeprefix("sha256:")).read_bytes()


def test_bytes_are_those_of_buildah(tmp_path: Path) -> None:
    names = [path for path in ODD if path != "sub"]
    contents = {path: os.urandom(number * 37 % 1400) for number, path in enumerate(names)}
    (tmp_path / "files").mkdir()

    ours = b"".join(lay(tmp_path / "files", contents).chunks())

    assert ours == committed_layer(tmp_path, contents)
