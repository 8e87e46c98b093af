"""Which files of a repository are taken, and which are left out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import SelectionError
from modelcar.hub.selection import Choice, choose
from modelcar.hub.snapshot import PublishedFile
from tests.parts.models import ODD_NAMES, tiny_llama, variants

BOOKKEEPING = {".gitattributes", ".gitignore"}
NAMES = (
    *("config.json", "README.md", ".gitattributes", "tokenizer.json", "params.json", "tokenizer.model"),
    *("model.safetensors", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
    *("model.safetensors.index.json", "consolidated.safetensors", "consolidated-00001-of-00002.safetensors"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "consolidated.00.pth", "model.ckpt"),
    *("tf_model.h5", "flax_model.msgpack", "rust_model.ot", "model.gguf", "model.onnx", "model.tflite"),
)
FOLDERS = ("", "original/", "onnx/", "openvino/", "gguf/", "vae/", "original/deep/", "unet/mlx/")

_repositories = st.sets(
    st.builds("{}{}".format, st.sampled_from(FOLDERS), st.sampled_from(NAMES)), min_size=1, max_size=14
)


def published(*paths: str) -> list[PublishedFile]:
    return [PublishedFile(path=path, size=len(path), git_blob="0" * 40) for path in paths]


def taken(choice: Choice) -> set[str]:
    return {file.path for file in choice.taken}


def left_out(choice: Choice) -> dict[str, str]:
    return {left.file.path: left.reason for left in choice.left_out}


def folder_files(folder: Path) -> list[PublishedFile]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [PublishedFile(path=path.relative_to(folder).as_posix(), size=path.stat().st_size) for path in paths]


@given(_repositories, st.booleans())
def test_choice_is_a_partition_and_never_empty(paths: set[str], everything: bool) -> None:
    files = published(*paths)
    if not everything and {path.rpartition("/")[2] for path in paths} <= BOOKKEEPING:
        return

    choice = choose(files, everything=everything)

    assert choice.taken
    assert sorted([*choice.taken, *(left.file for left in choice.left_out)], key=lambda file: file.path) == sorted(
        files, key=lambda file: file.path
    )
    assert choice.size + choice.saved == sum(file.size for file in files)
    assert all(left_out(choice).values())
    assert not (everything and choice.left_out)


@given(_repositories)
def test_weights_are_kept_in_one_form_at_least(paths: set[str]) -> None:
    weights = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".ot", ".gguf", ".onnx", ".tflite")
    if not any(path.endswith(weights) for path in paths):
        return

    assert any(path.endswith(weights) for path in taken(choose(published(*paths))))


@given(_repositories)
def test_choice_from_what_was_taken_changes_nothing(paths: set[str]) -> None:
    if {path.rpartition("/")[2] for path in paths} <= BOOKKEEPING:
        return
    once = choose(published(*paths))

    assert choose(once.taken).taken == once.taken


def test_consolidated_beside_shards_is_left_out(model: Path) -> None:
    choice = choose(folder_files(model))

    assert left_out(choice) == {
        "consolidated.safetensors": "the same weights as the other safetensors beside it",
        ".gitattributes": "git's own bookkeeping",
    }
    assert choice.saved > 5_000_000


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("pytorch", "the same weights as the safetensors beside it"),
        ("original", "the original form of the weights"),
        ("flax", "weights for another framework"),
        ("tensorflow", "weights for another framework"),
        ("onnx", "weights for another runtime"),
    ],
)
def test_same_weights_in_another_form_are_left_out(kind: str, reason: str, tmp_path: Path) -> None:
    tiny_llama(tmp_path, shards=1, bytes_per_shard=10_000, consolidated=False)
    added = variants(tmp_path, kind, size=5000)

    choice = choose(folder_files(tmp_path))

    assert {path: left_out(choice)[path] for path in added} == dict.fromkeys(added, reason)
    assert "model-00001-of-00001.safetensors" in taken(choice)


@pytest.mark.parametrize("kind", ["pytorch", "flax", "tensorflow", "onnx", "original"])
def test_weights_in_one_form_alone_are_kept(kind: str, tmp_path: Path) -> None:
    added = variants(tmp_path, kind, size=5000)
    (tmp_path / "config.json").write_text("{}")

    assert taken(choose(folder_files(tmp_path))) == {"config.json", *added}


def test_odd_names_are_kept(tmp_path: Path) -> None:
    tiny_llama(tmp_path, shards=1, bytes_per_shard=10_000)
    variants(tmp_path, "odd")

    assert set(ODD_NAMES) <= taken(choose(folder_files(tmp_path)))


@pytest.mark.parametrize(
    "paths",
    [
        ("config.json", "consolidated.safetensors", "params.json"),
        ("config.json", "consolidated-00001-of-00002.safetensors", "consolidated-00002-of-00002.safetensors"),
        ("config.json", "pytorch_model.bin"),
        ("config.json", "model.gguf"),
        ("config.json", "original/consolidated.00.pth"),
        ("model_index.json", "unet/diffusion.bin", "vae/model.safetensors"),
        ("README.md",),
    ],
)
def test_nothing_is_left_out_where_nothing_stands_for_it(paths: tuple[str, ...]) -> None:
    assert taken(choose(published(*paths))) == set(paths)


def test_everything_takes_everything(tmp_path: Path) -> None:
    tiny_llama(tmp_path, shards=2, bytes_per_shard=10_000)
    variants(tmp_path, size=5000)
    files = folder_files(tmp_path)

    choice = choose(files, everything=True)

    assert len(choice.taken) == len(files)
    assert choice.left_out == ()


def test_patterns_narrow_the_choice() -> None:
    files = published("config.json", "a/config.json", "model.safetensors", "b.txt")

    choice = choose(files, ["*.json", "*.safetensors"], ["a/*"])

    assert taken(choice) == {"config.json", "model.safetensors"}
    assert left_out(choice) == {"a/config.json": "excluded", "b.txt": "not included"}


def test_duplicates_are_judged_among_what_is_wanted() -> None:
    files = published("model.safetensors", "pytorch_model.bin", "consolidated.safetensors", "config.json")

    assert taken(choose(files, ["*.bin", "*.json"])) == {"pytorch_model.bin", "config.json"}
    assert taken(choose(files, (), ["model.safetensors"])) == {"consolidated.safetensors", "config.json"}


def test_index_of_excluded_weights_stands_for_nothing() -> None:
    files = published("pytorch_model-1.bin", "pytorch_model.bin.index.json", "tf_model.h5", "config.json")

    assert "tf_model.h5" in taken(choose(files, (), ["*.bin"]))


def test_patterns_with_everything() -> None:
    files = published("model.safetensors", "consolidated.safetensors", "config.json")

    assert taken(choose(files, ["*.safetensors"], everything=True)) == {"model.safetensors", "consolidated.safetensors"}


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_pattern_that_matches_nothing_is_named(option: str) -> None:
    with pytest.raises(SelectionError, match=rf"the {option} pattern '\*.saftensors' matches no file.*config.json"):
        choose(published("config.json", "model.safetensors"), **{option: ["*.saftensors"]})


@pytest.mark.parametrize(
    ("paths", "exclude"), [(["config.json"], ["*"]), ([".gitattributes"], []), (["a", "b"], ["a", "b"])]
)
def test_nothing_to_take_is_refused(paths: list[str], exclude: list[str]) -> None:
    with pytest.raises(SelectionError, match="leave no file to take"):
        choose(published(*paths), exclude=exclude)
