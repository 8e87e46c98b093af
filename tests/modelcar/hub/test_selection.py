"""Outcomes of selections, asked of a Hub."""

import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from modelcar.errors import SelectionError, WeightsError
from modelcar.hub.client import Hub as Client
from modelcar.hub.selection import Selected, Selection
from tests.parts.hub import Hub

REPO = "org/chosen"
WEIGHTS = bytes(2_000_000)
PICKLE = pickle.dumps({"weights": [1, 2, 3]})


def resolve(**asked: object) -> Selected:
    return Selection(model=REPO, **asked).resolve(Client())  # type: ignore[arg-type]


def paths(selected: Selected) -> set[str]:
    return {file.path for file in selected.snapshot.files}


def safetensors(*names: str) -> bytes:
    """Give a file with tensors of these names."""
    entries = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names)}
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4 * len(names))


@pytest.mark.parametrize(
    "tensors",
    [
        ("lora_unet_down_blocks_0.alpha", "lora_unet_down_blocks_0.lora_down.weight"),
        ("transformer.blocks.0.attn.to_k.lora_A.weight", "transformer.blocks.0.attn.to_k.lora_B.weight"),
        ("lycoris_blocks_0.hada_w1_a",),
    ],
)
def test_lora_without_a_configuration_is_known_by_its_tensors(hub: Hub, tensors: tuple[str, ...]) -> None:
    hub.publish(REPO, {"style.safetensors": safetensors(*tensors)}, card={"base_model": "black-forest-labs/FLUX.1-dev"})

    selected = resolve()

    assert selected.choice.model_class == "adapter"
    serving = selected.snapshot.serving
    assert serving is not None
    assert serving.base_model == "black-forest-labs/FLUX.1-dev"
    assert "diffusers" in serving.limits[0]


def graph(*locations: str) -> bytes:
    """Give an ONNX graph's bytes, as far as they name files with its weights."""
    entries = [b"\x0a\x08location\x12" + bytes([len(name)]) + name.encode() for name in locations]
    return b"\x08\x08" + b"".join(b"\x6a" + bytes([len(entry)]) + entry for entry in entries) + b"\x70\x01"


@pytest.mark.parametrize("name", ["weights.bin", "model.bin", "data/all.weights", "onnx__MatMul_12", "w.pb"])
def test_weights_that_a_graph_names_go_with_it_and_are_no_pickles(hub: Hub, name: str) -> None:
    files = {
        "config.json": "{}",
        "model.onnx": graph(name),
        "model_int8.onnx": graph("other.bin"),
        "other.bin": WEIGHTS,
    }
    hub.publish(REPO, {**files, name: WEIGHTS})

    selected = resolve(variant="default")

    assert not selected.problems
    assert selected.choice.model_class == "onnx"
    assert paths(selected) == {"config.json", "model.onnx", name}


def test_weights_that_a_graph_names_and_nobody_published_are_missed(hub: Hub) -> None:
    hub.publish(REPO, {"model.onnx": graph("model.onnx_data", "more.bin"), "more.bin": WEIGHTS})

    with pytest.raises(WeightsError, match=r"model.onnx keeps its weights in model.onnx_data, which is not there"):
        resolve().check()


def test_names_in_a_graph_that_lead_out_of_the_repository_are_none(hub: Hub) -> None:
    hub.publish(REPO, {"model.onnx": graph("../../etc/passwd", "/etc/passwd", "\x7f" * 3) + b"\x0a\x08location\x12"})

    resolve()


def test_other_tensors_make_no_adapter(hub: Hub) -> None:
    hub.publish(REPO, {"style.safetensors": safetensors("blocks.0.explorable.weight", "encoder.bias")})

    assert resolve().choice.model_class == "other"


def test_index_decides_between_two_sets_of_shards(hub: Hub) -> None:
    shards = {f"model-0000{n}-of-0000{of}.safetensors": WEIGHTS for of in (2, 3) for n in range(1, of + 1)}
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    hub.publish(REPO, {"config.json": "{}", "model.safetensors.index.json": json.dumps(index), **shards})

    selected = resolve()

    assert not selected.problems
    assert {path for path in paths(selected) if path.endswith(".safetensors")} == set(index["weight_map"].values())


def test_shard_that_the_index_names_and_nobody_published_is_refused(hub: Hub) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    hub.publish(
        REPO,
        {"model.safetensors.index.json": json.dumps(index), "model-00001-of-00002.safetensors": WEIGHTS},
    )

    with pytest.raises(WeightsError, match=r"names model-00002-of-00002.safetensors, which is not there"):
        resolve().check()


def test_readme_alone_is_refused_and_branches_are_named(hub: Hub) -> None:
    hub.publish(REPO, {"README.md": "# EXL2"})
    hub.publish(REPO, {"config.json": "{}", "output.safetensors": WEIGHTS}, branch="4.0bpw")

    with pytest.raises(WeightsError, match=r"there are no weights here.*--revision\): 4\.0bpw"):
        resolve().check()
    assert not resolve(revision="4.0bpw").problems


def test_several_gguf_files_have_to_be_chosen_from(hub: Hub) -> None:
    hub.publish(REPO, {f"m-{name}.gguf": b"GGUF" + WEIGHTS for name in ("Q4_K_M", "Q8_0")})

    with pytest.raises(SelectionError, match=r"2 alternatives.*Q4_K_M \(2\.0 MB\).*--variant Q4_K_M"):
        resolve().check()
    assert paths(resolve(variant="q8_0")) == {"m-Q8_0.gguf"}


def test_serving_and_scheme_follow_from_the_small_files(hub: Hub) -> None:
    settings = {
        "quant_method": "compressed-tensors",
        "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}},
    }
    config = {
        "architectures": ["NomicBertModel"],
        "quantization_config": settings,
        "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling.NomicBertModel"},
    }
    hub.publish(REPO, {"config.json": json.dumps(config), "model.safetensors": WEIGHTS, "tokenizer.json": "{}"})

    snapshot = resolve().snapshot

    assert snapshot.quantization == "w4a16"
    assert snapshot.serving is not None
    assert snapshot.serving.code_from == ("nomic-ai/nomic-bert-2048",)
    assert snapshot.serving.arguments == ("--runner", "pooling", "--trust-remote-code")


def nemo(folder: Path, member: str) -> bytes:
    content, path = folder / "content", folder / "x.nemo"
    content.write_bytes(bytes(100_000))
    with tarfile.open(path, "w") as archive:
        archive.add(content, "./model_config.yaml")
        archive.add(content, member)
    return path.read_bytes()


def test_archives_are_looked_into_by_their_members_names(hub: Hub, tmp_path: Path) -> None:
    hub.publish(REPO, {"model.nemo": nemo(tmp_path, "./model_weights.ckpt")})
    (found,) = resolve().problems
    assert "model.nemo is a Python pickle, or holds one" in found.what
    served = [request.bytes for request in hub.requests if request.path.endswith("model.nemo")]
    assert sum(served) < 200_000

    hub.publish(REPO, {"model.nemo": nemo(tmp_path, "./model_weights.safetensors")})
    assert not resolve().problems


@pytest.mark.parametrize(("member", "is_refused"), [("weights.pt", True), ("serialized.json", False)])
def test_zip_archives_too(member: str, is_refused: bool, hub: Hub, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt2", "w") as archive:
        archive.writestr("archive/version", "1")
        archive.writestr(f"archive/{member}", bytes(50_000))
    hub.publish(REPO, {"model.pt2": (tmp_path / "x.pt2").read_bytes()})

    assert bool(resolve().problems) == is_refused


@pytest.mark.parametrize(
    ("content", "is_refused"),
    [
        (b"\x06\x00\x00\x00\x0b\x00WhisperSpec" + WEIGHTS, False),
        (b"\x80\x04\x95" + PICKLE + WEIGHTS, True),
        (b"I1\n0cos\nsystem\n(S'id'\ntR." + WEIGHTS, True),
        (WEIGHTS, True),
    ],
)
def test_bin_that_nobody_names_is_judged_by_its_beginning(content: bytes, is_refused: bool, hub: Hub) -> None:
    hub.publish(REPO, {"voice.bin": content})

    assert bool(resolve().problems) == is_refused


@pytest.mark.parametrize(
    "name",
    [
        *("weights.th", "model_state.pdparams", "finalized_model.sav", "a.pk", "a.p", "a.torch", "a.pyt", "a.ptl"),
        *("net.params", "yolov3.weights", "evo2.pt.part0", "model.pkl.gz", "model.unheard-of", "model.xgb"),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"model.safetensors": WEIGHTS}])
def test_pickle_is_known_under_any_suffix(name: str, beside: dict[str, bytes], hub: Hub) -> None:
    hub.publish(REPO, {"config.json": "{}", name: pickle.dumps([PICKLE], 2) + WEIGHTS, **beside})

    selected = resolve()

    assert name not in paths(selected) or any(name in str(problem) for problem in selected.problems)


@pytest.mark.parametrize("name", ["yolov3.weights", "net.params", "weights.th", "kernel.cu", "am.mvn", "model.xgb"])
def test_unheard_of_suffix_alone_is_no_pickle(name: str, hub: Hub) -> None:
    hub.publish(REPO, {"model.safetensors": WEIGHTS, "config.json": "{}", name: b"# some text or tensors\n" * 9000})

    assert not resolve().problems


def test_one_pickle_is_allowed_by_its_name_and_others_are_not(hub: Hub) -> None:
    hub.publish(REPO, {"config.json": "{}", "model.safetensors": WEIGHTS, "spk.pt": PICKLE, "other.pt": PICKLE})

    (refused,) = resolve(allow_pickle=["spk.pt"]).problems
    assert refused.what.startswith("other.pt may hold")
    assert not resolve(allow_pickle=["*.pt"]).problems
    with pytest.raises(SelectionError, match="matches no file"):
        resolve(allow_pickle=["none.pt"]).check()


def test_versioned_layout_puts_the_files_where_servers_of_versions_look(hub: Hub) -> None:
    hub.publish(REPO, {"model.onnx": WEIGHTS, "config.json": "{}"})

    flat, versioned = resolve().snapshot, resolve(model_layout="versioned").snapshot

    assert [file.place for file in versioned.files] == ["1/config.json", "1/model.onnx"]
    assert paths(resolve(model_layout="versioned")) == {"config.json", "model.onnx"}
    assert flat.serving is not None
    assert versioned.serving is not None
    assert any("model_layout=versioned" in limit for limit in flat.serving.limits)
    assert not any("model_layout" in limit for limit in versioned.serving.limits)
    with pytest.raises(SelectionError, match="no model_layout 'deep'"):
        resolve(model_layout="deep")


def test_header_of_a_gguf_tells_what_does_not_load_it(hub: Hub) -> None:
    name, value = b"general.architecture", b"flux"
    entry = struct.pack("<Q", len(name)) + name + struct.pack("<IQ", 8, len(value)) + value
    hub.publish(REPO, {"flux1-dev-Q4_0.gguf": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry + WEIGHTS})

    serving = resolve().snapshot.serving

    assert serving is not None
    assert "ComfyUI" in serving.limits[0]


@pytest.mark.parametrize(
    ("name", "head", "model_class"),
    [
        ("model.json", b'{"learner":{"attributes":{}}}', "xgboost"),
        ("model.bst", b"{L\0\0\0\0\0\0\0\x07learner", "xgboost"),
        ("model.bst", b"tree\nversion=v4\nnum_class=1\n", "lightgbm"),
        ("model.txt", b"tree\nversion=v4\nnum_class=1\n", "lightgbm"),
    ],
)
def test_boosted_trees_are_told_by_their_first_bytes(hub: Hub, name: str, head: bytes, model_class: str) -> None:
    hub.publish(REPO, {"README.md": "# Trees", "features.json": '{"learner_type": 1}', name: head + b" " * 4000})

    selected = resolve()

    assert not selected.problems
    assert selected.snapshot.serving is not None
    assert selected.snapshot.serving.model_class == model_class
    assert name in paths(selected)
