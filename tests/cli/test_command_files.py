"""`modelcar files`: compiled pipelines, manifests and notebooks, as the repository has them."""

from pathlib import Path

import pytest

from tests.parts.command import modelcar

ROOT = Path(__file__).parents[2]
KINDS = ("compiled", "manifests", "notebooks")


def written(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_all_of_it_is_what_the_repository_has(tmp_path: Path) -> None:
    done = modelcar("files", "--to", str(tmp_path / "out"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "out" / kind) for kind in KINDS]
    for kind in KINDS:
        here = {name: content for name, content in written(ROOT / kind).items() if "ipynb_checkpoints" not in name}
        assert written(tmp_path / "out" / kind) == here


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    assert modelcar("files", "manifests", "--to", str(tmp_path)).returncode == 0
    before = written(tmp_path)
    assert {name.split("/")[0] for name in before} == {"manifests"}
    assert modelcar("files", "manifests", "--to", str(tmp_path)).returncode == 0
    assert written(tmp_path) == before


def test_a_file_that_was_changed_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    modelcar("files", "notebooks", "--to", str(tmp_path))
    file = next((tmp_path / "notebooks").glob("*.ipynb"))
    file.write_text("mine")

    refused = modelcar("files", "notebooks", "--to", str(tmp_path))
    assert refused.returncode == 2
    assert f"{file} would be replaced. Add --replace" in refused.stderr
    assert file.read_text() == "mine"

    assert modelcar("files", "notebooks", "--to", str(tmp_path), "--replace").returncode == 0
    assert file.read_text() != "mine"


@pytest.mark.parametrize("words", [["pipelines"], ["--to"]])
def test_what_means_nothing_ends_with_2(words: list[str]) -> None:
    assert modelcar("files", *words).returncode == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = modelcar("files", "--to", str(tmp_path / "file" / "below"))
    assert done.returncode == 2
    assert "cannot write to" in done.stderr
