"""Descriptions of the files that are taken: licence, quantization, and how they are served."""

from datetime import UTC, datetime
from typing import Any

import pytest
from huggingface_hub import ModelInfo
from hypothesis import given
from hypothesis import strategies as st

from modelcar.hub.card import described_by_card
from modelcar.hub.description import describe_files
from modelcar.hub.facts import Facts
from modelcar.hub.licences import spdx_expression
from modelcar.hub.snapshot import Card, PublishedFile, Serving, Snapshot
from modelcar.image.annotations import LICENCE_LINK, LICENCE_NAME, MAX_VALUE_CHARS, SERVING, describe, serving_of_image

ADAPTER = {"base_model_name_or_path": "org/base", "r": 64}
Json = dict[str, Any]


def described(files: dict[str, int], config: Json | None = None, **documents: Any) -> Snapshot:
    taken = [PublishedFile(path=path, size=size, sha256="a" * 64) for path, size in files.items()]
    whole = Snapshot(
        model="org/tiny", commit="0" * 40, created=datetime(2025, 1, 1, tzinfo=UTC), source="", files=tuple(taken)
    )
    named = {f"{name}.json": document for name, document in documents.items()}
    return describe_files(whole, taken, Facts("org/tiny", Card(config=config or {}), named))


def serving(files: dict[str, int], config: Json | None = None, **documents: Any) -> Serving:
    found = described(files, config, **documents).serving
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("licence", "name", "expression"),
    [
        ("apache-2.0", "", "Apache-2.0"),
        (["apache-2.0", "mit"], "", "Apache-2.0 AND MIT"),
        ("other", "llama4", "LicenseRef-llama4"),
        ("other", "NVIDIA Open Model License", "LicenseRef-NVIDIA-Open-Model-License"),
        ("gemma", "", "LicenseRef-gemma"),
        ("gpl-3.0", "", "GPL-3.0-only"),
        ("odbl", "", "ODbL-1.0"),
        ("openrail++", "", "LicenseRef-CreativeML-Open-RAIL-plus-plus-M"),
        *((nothing, "", "") for nothing in (None, "", [], ["None"], "unknown", {"a": 1}, [None])),
    ],
)
def test_licences_are_spdx_expressions(licence: Any, name: str, expression: str) -> None:
    assert spdx_expression(licence, name) == expression


_json = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), st.lists, max_leaves=5)


@given(_json, _json)
def test_no_licence_is_none_or_a_list(licence: Any, name: Any) -> None:
    written = spdx_expression(licence, name)

    assert written.lower() != "none"
    assert "[" not in written


@given(st.dictionaries(st.sampled_from(["license", "license_name", "license_link", "base_model"]), _json))
def test_cards_say_nothing_that_is_none(card: Json) -> None:
    info = ModelInfo(id="org/a", sha="0" * 40, siblings=[], cardData=card, tags=["base_model:quantized:x/y", 7])

    said = described_by_card(info)

    words = [said["licence"], said["licence_name"], said["licence_link"], *said["base_models"]]
    assert all(isinstance(word, str) and word.strip().lower() not in ("none", "null") for word in words)
    assert said["base_model_relation"] in ("", "quantized")


@pytest.mark.parametrize(
    ("config", "scheme"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "awq", "bits": 4}, "awq-w4a16"),
        ({"quant_method": "gptq", "bits": 8}, "gptq-w8a16"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bnb-nf4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "exl2", "bits": 4.5}, "exl2-4.5bpw"),
        ({"group_size": 64, "bits": 4}, "mlx-4bit"),
        ({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}, "nvfp4"),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}}},
            "w4a16",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "g": {"weights": {"num_bits": 8, "type": "float"}, "input_activations": {"num_bits": 8}}
                },
            },
            "fp8",
        ),
        ({"quant_method": 3, "config_groups": []}, ""),
    ],
)
def test_quantization_is_told_by_its_scheme(config: Json, scheme: str) -> None:
    assert described({"model.safetensors": 10**9}, {"quantization_config": config}).quantization == scheme


def test_quantizers_own_files_are_read() -> None:
    files = {"model.safetensors": 10**9}

    assert described(files, hf_quant_config={"quantization": {"quant_algo": "FP8"}}).quantization == "fp8"
    assert described(files, quantize_config={"bits": 4}).quantization == "gptq-w4a16"
    assert described(files, quant_config={"w_bit": 4}).quantization == "awq-w4a16"
    assert described({"m-UD-Q4_K_XL.gguf": 10**9}).quantization == "UD-Q4_K_XL"


@pytest.mark.parametrize(
    ("settings", "scheme"),
    [
        ({"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}, "fp8"),
        ({"config_groups": {"FP4": {"weights": {"num_bits": 4, "type": "float", "group_size": 16}}}}, "nvfp4"),
        ("fp8", ""),
    ],
)
def test_mistrals_own_parameters_tell_of_its_own_weights_alone(settings: object, scheme: str) -> None:
    params = {"dim": 64, "quantization": settings}

    assert described({"consolidated.safetensors": 10**9, "params.json": 900}, params=params).quantization == scheme
    assert described({"model.safetensors": 10**9, "params.json": 900}, params=params).quantization == ""


def test_large_model_wants_several_gpus_and_its_own_code_is_named() -> None:
    config = {"architectures": ["OwnForCausalLM"], "model_type": "own", "auto_map": {"AutoModel": "modeling.Own"}}

    found = serving({"model.safetensors": 140 * 10**9, "tokenizer.json": 1}, config)

    assert (found.model_format, found.gpus) == ("vLLM", 4)
    assert found.arguments == ("--tensor-parallel-size", "4", "--trust-remote-code")
    assert "Python code" in found.limits[0]


def test_code_that_servers_have_themselves_is_not_asked_for() -> None:
    config = {"model_type": "deepseek_v3", "auto_map": {"AutoModel": "modeling_deepseek.Model"}}

    found = serving({"model.safetensors": 10**9}, config)

    assert not found.trust_remote_code
    assert "--trust-remote-code" not in found.arguments
    assert "do not need" in found.limits[0]


@pytest.mark.parametrize(
    ("files", "config", "said"),
    [
        ({}, {}, "There is no tokenizer"),
        ({"tokenizer.model": 9}, {}, ""),
        ({"tiktoken.model": 9}, {}, ""),
        ({"qwen.tiktoken": 9}, {}, ""),
        ({"tekken.json": 9}, {}, ""),
        ({}, {"speculators_model_type": "eagle3"}, "It drafts for another model"),
        ({}, {"architectures": ["LlamaForCausalLMEagle3"]}, "It drafts for another model"),
    ],
)
def test_what_a_server_lacks_is_said(files: dict[str, int], config: Json, said: str) -> None:
    found = serving({"model.safetensors": 10**9, "config.json": 900, **files}, config)

    assert (" ".join(found.limits)).startswith(said)
    assert bool(found.limits) == bool(said)


def test_mistral_tokenizer_is_asked_for_where_there_is_no_other() -> None:
    files = {"model.safetensors": 10**9, "config.json": 1, "tekken.json": 1}

    assert serving(files).arguments == ("--tokenizer-mode", "mistral")
    assert serving({**files, "tokenizer.json": 1}).arguments == ()


def test_mistral_form_is_served_in_its_own_modes() -> None:
    found = serving({"consolidated.safetensors": 10**9, "params.json": 1, "tekken.json": 1})

    assert found.arguments[-2:] == ("--load-format", "mistral")


def test_gguf_is_served_by_its_path() -> None:
    found = serving(
        {"q/m-Q8_0-00001-of-00002.gguf": 10**9, "q/m-Q8_0-00002-of-00002.gguf": 10**9, "mmproj-F16.gguf": 9000}
    )

    assert found.path == "q/m-Q8_0-00001-of-00002.gguf"
    assert found.arguments == ("--model", f"/mnt/models/{found.path}", "--mmproj", "/mnt/models/mmproj-F16.gguf")


def test_adapter_is_served_beside_its_base_model() -> None:
    found = serving({"adapter_model.safetensors": 10**8, "adapter_config.json": 1}, adapter_config=ADAPTER)

    assert found.base_model == "org/base"
    assert found.arguments == ("--enable-lora", "--max-lora-rank", "64", "--lora-modules", "tiny=/mnt/models")


@pytest.mark.parametrize(
    ("files", "config", "model_format"),
    [
        ({"model.safetensors": 9}, {"architectures": ["T5ForConditionalGeneration"]}, "huggingface"),
        ({"model.joblib": 9}, {}, "sklearn"),
        ({"model.ubj": 9}, {}, "xgboost"),
        ({"openvino_model.xml": 9, "openvino_model.bin": 9}, {}, "openvino_ir"),
        ({"model.onnx": 9}, {}, "onnx"),
        ({"rank0.engine": 9}, {}, "triton"),
        ({"x.nemo": 9}, {}, "nemo"),
        ({"model.safetensors": 9}, {"quantization": {"bits": 4, "group_size": 64}}, "mlx"),
    ],
)
def test_format_follows_from_what_was_found(files: dict[str, int], config: Json, model_format: str) -> None:
    assert serving({**files, "config.json": 1}, config).model_format == model_format


def test_annotations_carry_it_and_give_it_back() -> None:
    snapshot = described({"model.safetensors": 10**9}).model_copy(update={"licence_name": "own", "licence_link": "a/b"})

    said = describe(snapshot, "sha256:0")

    assert serving_of_image(said) == snapshot.serving
    assert (said[LICENCE_NAME], said[LICENCE_LINK]) == ("own", "a/b")
    assert serving_of_image({SERVING: "no JSON"}) is None
    assert serving_of_image({}) is None
    assert all(0 < len(value) <= MAX_VALUE_CHARS for value in said.values())


@given(st.dictionaries(st.sampled_from(["auto_map", "architectures", "quantization_config", "model_type"]), _json))
def test_absurd_configuration_ends_nothing_badly(config: Json) -> None:
    assert serving({"model.safetensors": 9, "config.json": 1}, config).model_class
