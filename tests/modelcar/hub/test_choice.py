"""The right files of every repository: lists of real ones, with what has to come of each."""

import json
from collections.abc import Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelInfo
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import SelectionError, WeightsError
from modelcar.hub.card import described_by_card
from modelcar.hub.choice import Choice, choose
from modelcar.hub.facts import Facts
from modelcar.hub.formats import is_index, weights_format
from modelcar.hub.pickles import is_pickle_by_name
from modelcar.hub.snapshot import PublishedFile
from tests.modelcar.hub.crowded_repositories import CROWDED
from tests.modelcar.hub.language_repositories import LANGUAGE
from tests.modelcar.hub.more_repositories import SHAPES as OLDER
from tests.modelcar.hub.more_repositories import Shape
from tests.modelcar.hub.newer_repositories import NEWER
from tests.modelcar.hub.odd_repositories import ODD
from tests.modelcar.hub.picture_repositories import PICTURES
from tests.modelcar.hub.speech_repositories import SPEECH
from tests.parts.models import ODD_NAMES, tiny_llama, variants

SHAPES = OLDER | NEWER | LANGUAGE | ODD | PICTURES | SPEECH | CROWDED
KNOWN: dict[str, Any] = json.loads((Path(__file__).parent / "repositories.json").read_text())


def published(files: Mapping[str, float]) -> list[PublishedFile]:
    return [PublishedFile(path=path, size=int(size), sha256="a" * 64) for path, size in files.items()]


def facts_of(name: str, card: Mapping[str, Any], config: Mapping[str, Any], documents: Mapping[str, Any]) -> Facts:
    described = {"id": name, "cardData": dict(card), "tags": card.get("tags", []), "config": dict(config)}
    told = {key: card[key] for key in ("library_name", "pipeline_tag") if key in card}
    return Facts(name, described_by_card(ModelInfo(**described, **told))["card"], documents)


def choose_known(name: str) -> Choice:
    known = KNOWN[name]
    return choose(published(known["files"]), facts=facts_of(name, known["card"], known["config"], {}))


def choose_shape(name: str, shape: Shape) -> Choice:
    facts = facts_of(name, shape.card, shape.config, shape.documents)
    return choose(published(shape.files), variant=shape.variant, facts=facts)


def choose_listed(name: str) -> tuple[Choice, list[PublishedFile], Facts]:
    """The usual choice in one of all listings, its files, and what its small files say."""
    shape = SHAPES.get(name)
    choice = choose_shape(name, shape) if shape else choose_known(name)
    files = published(shape.files if shape else KNOWN[name]["files"])
    return choice, files, facts_of(name, *((shape.card, shape.config, shape.documents) if shape else ({}, {}, {})))


def refusals(choice: Choice) -> set[str]:
    """The kinds of reasons against a choice, in a word each."""
    words = {"no weights": "none", "has to be chosen": "choose", "not complete": "incomplete"}
    found = {kind for problem in choice.problems for word, kind in words.items() if word in problem.what}
    paths = {file.path for file in choice.taken}
    return found | ({"pickle"} if any(is_pickle_by_name(path, paths) for path in paths) else set())


@pytest.mark.parametrize("name", KNOWN)
def test_right_files_of_known_repositories_are_taken(name: str) -> None:
    expected = KNOWN[name]["expected"]

    choice = choose_known(name)

    assert choice.model_class == expected["model_class"]
    assert (choice.size, len(choice.taken)) == (expected["bytes"], expected["files"])
    assert refusals(choice) == set(expected["refused"])


@pytest.mark.parametrize("name", SHAPES)
def test_right_files_of_more_repositories_are_taken(name: str) -> None:
    shape = SHAPES[name]

    choice = choose_shape(name, shape)

    assert choice.model_class == shape.model_class
    if shape.gb:
        assert choice.size / 1e9 == pytest.approx(shape.gb, rel=0.02, abs=0.003)
    told = " ".join(map(str, choice.problems))
    if shape.refused == "pickle":
        assert "pickle" in refusals(choice)
    assert shape.refused in (told + "pickle")
    assert bool(choice.problems) == (shape.refused not in ("", "pickle"))
    taken = {file.path for file in choice.taken}
    assert taken >= set(shape.has)
    assert not taken & set(shape.lacks)


@pytest.mark.parametrize("name", [*KNOWN, *SHAPES])
def test_image_has_one_complete_group_no_orphans_and_little_more(name: str) -> None:
    shape = SHAPES.get(name)
    choice = choose_shape(name, shape) if shape else choose_known(name)
    files = shape.files if shape else KNOWN[name]["files"]
    documents = shape.documents if shape else {}
    right_size = (shape.gb * 1e9 or None) if shape else KNOWN[name]["expected"]["bytes"]

    taken = {file.path for file in choice.taken}
    grouped = {file.path for group in choice.weights for file in group.files}

    assert sorted(taken | {left.file.path for left in choice.left_out}) == sorted(files)
    assert choice.problems or any(group.complete for group in choice.weights)
    assert all(group.complete for group in choice.weights) or choice.problems
    assert grouped <= taken
    assert {path for path in taken if is_index(path) or weights_format(path, taken)} <= grouped
    for path in taken & documents.keys():
        named = Facts(documents=documents).shards(path)
        assert named <= taken or choice.problems
    assert right_size is None or choice.size <= 1.1 * right_size + 3e6


@pytest.mark.parametrize("name", [*KNOWN, *SHAPES])
def test_choice_from_what_was_taken_or_by_its_own_names_changes_nothing(name: str) -> None:
    once, files, facts = choose_listed(name)
    names = [escape(file.path) for group in once.weights for file in group.weights]

    assert taken(choose(once.taken, facts=facts)) == taken(once)
    assert taken(choose(files, include=names, facts=facts)) == taken(once)


names = st.sampled_from(sorted({path for known in KNOWN.values() for path in known["files"]})[::7])
sizes = st.sampled_from([0, 134, 900, 6000, 2_000_000, 4_000_000_000, 48_000_000_000])


@given(st.dictionaries(names, sizes, min_size=1, max_size=25), st.booleans())
def test_any_mixture_is_parted_into_taken_and_left_out(files: dict[str, int], everything: bool) -> None:
    with suppress(SelectionError, WeightsError):
        choice = choose(published(files), everything=everything)
        check_parted(choice, files, everything=everything)


def check_parted(choice: Choice, files: Mapping[str, int], *, everything: bool) -> None:

    taken = {file.path for file in choice.taken}
    assert sorted([*taken, *(left.file.path for left in choice.left_out)]) == sorted(files)
    assert all(left.reason for left in choice.left_out)
    assert not (everything and choice.left_out)
    assert choice.weights or choice.problems
    assert {file.path for group in choice.weights for file in group.files} <= taken


def test_alternatives_are_listed_with_sizes_and_the_usual_one() -> None:
    (problem,) = choose_known("unsloth/Qwen3-8B-GGUF").problems

    assert "26 alternatives" in problem.what
    assert "Q4_K_M (5.0 GB)" in problem.what
    assert problem.remedy == "Most people take --variant Q4_K_M (the pipeline's variant)"


@pytest.mark.parametrize("variant", ["Q8_0", "q8_0", "Qwen3-8B-Q8_0.gguf"])
def test_variant_is_taken_by_its_name(variant: str) -> None:
    files = published(KNOWN["unsloth/Qwen3-8B-GGUF"]["files"])

    choice = choose(files, variant=variant)

    assert not choice.problems
    assert [file.path for file in choice.taken if file.path.endswith(".gguf")] == ["Qwen3-8B-Q8_0.gguf"]
    assert "README.md" in {file.path for file in choice.taken}


def test_unknown_variant_is_refused_with_those_there_are() -> None:
    with pytest.raises(SelectionError, match=r"no variant 'Q9_X'.*There are: BF16, UD-Q8_K_XL"):
        choose(published(KNOWN["unsloth/Qwen3-8B-GGUF"]["files"]), variant="Q9_X")


def test_fp16_of_a_pipeline_is_had_by_its_name() -> None:
    files = published(KNOWN["stabilityai/stable-diffusion-xl-base-1.0"]["files"])

    choice = choose(files, variant="fp16")

    weights = [file.path for group in choice.weights for file in group.weights]
    assert len(weights) == 4
    assert all(".fp16." in path for path in weights)
    assert 6.9e9 < choice.size < 7.1e9


def test_included_weights_keep_what_goes_with_them() -> None:
    files = published(KNOWN["google/gemma-3-27b-it-qat-q4_0-gguf"]["files"])

    choice = choose(files, include=["gemma*.gguf"])

    assert {file.path for file in choice.taken} == {
        "README.md", "gemma-3-27b-it-q4_0.gguf", "mmproj-model-f16-27B.gguf",
    }  # fmt: skip


def test_included_weights_keep_their_index_and_no_other() -> None:
    parts = {f"model-0000{number}-of-000002.safetensors": 9e9 for number in (1, 2)}
    others = {"model.safetensors.index.json": 9000, "pytorch_model.bin": 18e9, "pytorch_model.bin.index.json": 9000}
    files = published(parts | others | {"config.json": 900})

    assert taken(choose(files, include=["*.safetensors"])) == {*parts, "model.safetensors.index.json", "config.json"}
    assert taken(choose(files, include=["*.bin"])) == {
        "pytorch_model.bin", "pytorch_model.bin.index.json", "config.json",
    }  # fmt: skip
    assert "model.safetensors.index.json" not in taken(choose(files, ["*.safetensors"], ["*.index.json"]))


def test_included_graph_keeps_its_external_data() -> None:
    files = published({"onnx/model.onnx": 9e5, "onnx/weights": 9e9, "onnx/model_q4.onnx": 9e8, "config.json": 900})
    facts = Facts(external={"onnx/model.onnx": frozenset({"onnx/weights"})})

    choice = choose(files, include=["onnx/model.onnx"], facts=facts)

    assert (taken(choice), choice.problems) == ({"onnx/model.onnx", "onnx/weights", "config.json"}, ())


def test_included_pickles_are_taken_in_the_place_of_safetensors() -> None:
    files = published(KNOWN["openai-community/gpt2"]["files"])

    choice = choose(files, include=["pytorch_model.bin"])

    taken = {file.path for file in choice.taken}
    assert "pytorch_model.bin" in taken
    assert {"config.json", "vocab.json", "merges.txt", "README.md"} <= taken
    assert "model.safetensors" not in taken


def test_weights_excluded_altogether_are_refused() -> None:
    (problem,) = choose(published({"model.safetensors": 9000, "config.json": 900}), exclude=["*.safetensors"]).problems

    assert "no weights" in problem.what


def listed(*paths: str) -> list[PublishedFile]:
    return [PublishedFile(path=path, size=len(path), git_blob="0" * 40) for path in paths]


def taken(choice: Choice) -> set[str]:
    return {file.path for file in choice.taken}


def left_out(choice: Choice) -> dict[str, str]:
    return {left.file.path: left.reason for left in choice.left_out}


def folder_files(folder: Path) -> list[PublishedFile]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [PublishedFile(path=path.relative_to(folder).as_posix(), size=path.stat().st_size) for path in paths]


def test_consolidated_beside_shards_is_left_out(model: Path) -> None:
    choice = choose(folder_files(model))

    assert left_out(choice) == {
        "consolidated.safetensors": "the same weights as the other safetensors beside it",
        "params.json": "it is of consolidated.safetensors, which is not taken",
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
    ],
)
def test_nothing_is_left_out_where_nothing_stands_for_it(paths: tuple[str, ...]) -> None:
    assert taken(choose(listed(*paths))) == set(paths)


def test_everything_takes_everything(tmp_path: Path) -> None:
    tiny_llama(tmp_path, shards=2, bytes_per_shard=10_000)
    variants(tmp_path, size=5000)
    files = folder_files(tmp_path)

    choice = choose(files, everything=True)

    assert len(choice.taken) == len(files)
    assert choice.left_out == ()


def test_patterns_narrow_the_choice() -> None:
    files = listed("config.json", "a/config.json", "model.safetensors", "b.txt", "onnx/model.onnx", "onnx/config.json")

    choice = choose(files, ["*.safetensors"], ["a/*"])

    assert taken(choice) == {"config.json", "model.safetensors", "b.txt"}
    assert left_out(choice) == {
        "a/config.json": "excluded", "onnx/model.onnx": "not included", "onnx/config.json": "not included",
    }  # fmt: skip
    assert "onnx/config.json" in taken(choose(files, ["*.json", "*.safetensors"]))


def test_one_file_of_what_is_of_use_only_together_takes_the_rest() -> None:
    parts = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "openvino.xml", "openvino.bin")
    files = listed(*parts, "config.json")

    assert taken(choose(files, ["*-00001-of-*"])) == {*parts[:2], "config.json"}
    assert taken(choose(files, ["*.bin"])) == {*parts[2:], "config.json"}
    large = published({"a.dat": 9e9, "b.dat": 9e9})
    assert taken(choose(large, ["a.dat"])) == {"a.dat"}


def test_duplicates_are_judged_among_what_is_wanted() -> None:
    files = listed("model.safetensors", "pytorch_model.bin", "consolidated.safetensors", "config.json")

    assert taken(choose(files, ["*.bin", "*.json"])) == {"pytorch_model.bin", "config.json"}
    assert taken(choose(files, (), ["model.safetensors"])) == {"consolidated.safetensors", "config.json"}


def test_index_of_excluded_weights_stands_for_nothing() -> None:
    files = listed("pytorch_model-1.bin", "pytorch_model.bin.index.json", "tf_model.h5", "config.json")

    assert "tf_model.h5" in taken(choose(files, (), ["*.bin"]))


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_pattern_that_matches_nothing_is_named(option: str) -> None:
    with pytest.raises(SelectionError, match=rf"the {option} pattern '\*.saftensors' matches no file.*config.json"):
        choose(listed("config.json", "model.safetensors"), **{option: ["*.saftensors"]})


@pytest.mark.parametrize(("paths", "exclude"), [(["config.json"], ["*"]), (["a", "b"], ["a", "b"])])
def test_nothing_to_take_is_refused(paths: list[str], exclude: list[str]) -> None:
    with pytest.raises(SelectionError, match="leave no file to take"):
        choose(listed(*paths), exclude=exclude)


def test_repository_of_nothing_but_bookkeeping_is_refused() -> None:
    with pytest.raises(WeightsError, match="there are no weights here"):
        choose(listed(".gitattributes"))
