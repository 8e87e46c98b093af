"""Names of variants: types of GGUF, precisions, devices, sizes, shards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.hub.variants import POPULAR, folder_variant, matches, parse_stem, rank


@pytest.mark.parametrize(
    ("stem", "base", "variant"),
    [
        ("Qwen3-8B-UD-Q4_K_XL", "Qwen3-8B", "UD-Q4_K_XL"),
        ("llama-2-7b.Q4_K_M", "llama-2-7b", "Q4_K_M"),
        ("gemma-3-27b-it-q4_0", "gemma-3-27b-it", "q4_0"),
        ("ggml-model-i2_s", "ggml-model", "i2_s"),
        ("gpt-oss-20b-mxfp4", "gpt-oss-20b", "mxfp4"),
        ("MiniCPM-V-2_6-Q4_K_M", "MiniCPM-V-2_6", "Q4_K_M"),
        ("mmproj-model-f16-27B", "mmproj-model-27B", "f16"),
        ("tiny", "tiny", ""),
    ],
)
def test_types_of_gguf_are_read_from_names(stem: str, base: str, variant: str) -> None:
    name = parse_stem(stem, gguf=True)

    assert (name.base, name.variant) == (base, variant)


@pytest.mark.parametrize(
    ("stem", "base", "variant"),
    [
        ("model", "model", ""),
        ("model.fp16", "model", "fp16"),
        ("diffusion_pytorch_model.non_ema", "diffusion_pytorch_model", "non_ema"),
        ("model_q4f16", "model", "q4f16"),
        ("model_qint8_avx512_vnni", "model", "qint8_avx512_vnni"),
        ("decoder_model_merged", "decoder_model_merged", ""),
        ("decoder_model_merged_q4", "decoder_model_merged", "q4"),
        ("decoder_model_merged_q4f16", "decoder_model_merged", "q4f16"),
        ("v1-5-pruned-emaonly", "v1-5", "pruned-emaonly"),
        ("yolov8s-seg", "yolov8-seg", "s"),
        ("face_yolov8n", "face_yolov8", "n"),
        ("yolov8n_float16", "yolov8", "n_float16"),
        ("yolo11s-seg_full_integer_quant", "yolo11-seg", "s_full_integer_quant"),
        ("person_yolov8m-seg", "person_yolov8-seg", "m"),
        ("DepthAnythingV2SmallF16P6", "DepthAnythingV2Small", "F16P6"),
        ("best_float16", "best", "float16"),
        ("best_full_integer_quant", "best", "full_integer_quant"),
        ("model_dynamic_range_quant", "model", "dynamic_range_quant"),
        ("gptq_model-4bit-128g", "gptq_model", "4bit-128g"),
        ("vicuna-13B-1.1-GPTQ-4bit-128g.compat.no-act-order", "vicuna-13B-1.1", "GPTQ-4bit-128g.compat.no-act-order"),
        ("speech_tokenizer_v2", "speech_tokenizer_v2", ""),
    ],
)
def test_precisions_are_read_from_names(stem: str, base: str, variant: str) -> None:
    name = parse_stem(stem)

    assert (name.base, name.variant) == (base, variant)


@pytest.mark.parametrize(
    ("stem", "number", "count"),
    [
        ("model-00001-of-00163", 1, 163),
        ("model_00001-of-00072", 1, 72),
        ("model-00001-of-000061", 1, 61),
        ("model.safetensors-00001-of-00014", 1, 14),
        ("model-00001-of-00002.fp16", 1, 2),
        ("consolidated.00", 0, 0),
        ("rank0", 0, 0),
        ("model", None, 0),
    ],
)
def test_shards_are_read_from_names(stem: str, number: int | None, count: int) -> None:
    name = parse_stem(stem)

    assert (name.number, name.count) == (number, count)


@pytest.mark.parametrize(
    ("folder", "variant"),
    [
        ("cuda/cuda-int4-rtn-block-32", "cuda-int4-rtn-block-32"),
        ("DeepSeek-R1-UD-IQ1_S", "DeepSeek-R1-UD-IQ1_S"),
        ("checkpoint-500", "checkpoint-500"),
        *(("7b", "7b"), ("small", "small"), ("int8", "int8")),
        *((name, "") for name in ("unet", "text_encoder_2", "high_noise_model", "speech_tokenizer", "vae_1_0")),
    ],
)
def test_folders_name_variants(folder: str, variant: str) -> None:
    assert folder_variant(folder) == variant


def test_most_popular_type_comes_first() -> None:
    assert min(["BF16", "Q8_0", "UD-Q4_K_XL", "q4_k_m", "IQ1_S"], key=rank) == "q4_k_m"
    assert sorted(POPULAR, key=rank)[0] == "Q4_K_M"


@pytest.mark.parametrize("asked", ["Q4_K_M", "q4_k_m", "q4-k-m"])
def test_variants_match_in_any_writing(asked: str) -> None:
    assert matches(asked, "Q4_K_M")
    assert not matches(asked, "Q4_K_S", "")


@given(st.text(max_size=80), st.booleans())
def test_no_name_ends_it_badly(stem: str, gguf: bool) -> None:
    name = parse_stem(stem, gguf=gguf)

    assert name.count >= 0
    rank(name.variant)
    folder_variant(stem)
