"""The scheme in which a model is quantized, such as `w4a16`, `fp8`, `mxfp4` or `Q4_K_M`.

Sources: compressed-tensors (`config_groups`), ModelOpt (`hf_quant_config.json`), AutoAWQ and AutoGPTQ (their own files
beside config.json), bitsandbytes, MLX (`quantization` in config.json), Mistral (`quantization` in params.json, as vLLM
reads it in transformers_utils/configs/mistral.py) and llama.cpp's names of types.
"""

from collections.abc import Sequence
from typing import Any

from modelcar.hub.facts import Facts, Json, mapping, text
from modelcar.hub.formats import Format
from modelcar.hub.gguf_choice import gguf_name
from modelcar.hub.weight_groups import WeightGroup

MAX_CHARS = 100


def quantization_scheme(facts: Facts, weights: Sequence[WeightGroup]) -> str:
    """Tells the scheme; empty if the weights are not quantized.

    Args:
        facts: What the repository's small files say.
        weights: The groups of weights that are taken.
    """
    ggufs = [group for group in weights if group.format is Format.GGUF and not group.is_projector]
    if ggufs:
        name = gguf_name(max(ggufs, key=lambda group: group.size))
        return name if name != ggufs[0].base else ""
    if any(group.format in (Format.ONNX, Format.OPENVINO) for group in weights):
        return max(weights, key=lambda group: group.size).variant
    if any(group.slot == "consolidated" for group in weights) and (scheme := _of_params(facts)):
        return scheme[:MAX_CHARS]
    return (_of_config(facts) or _of_own_files(facts))[:MAX_CHARS]


def _of_params(facts: Facts) -> str:
    settings = mapping(facts.document("params.json").get("quantization"))
    if text(settings.get("qformat_weight")).lower().startswith("fp8"):
        return "fp8"
    return _of_compressed_tensors(settings) if "config_groups" in settings else ""


def _of_config(facts: Facts) -> str:
    config = facts.config
    settings = mapping(config.get("quantization_config")) or mapping(
        mapping(config.get("text_config")).get("quantization_config")
    )
    method = text(settings.get("quant_method")).lower().replace("_", "-")
    mlx = mapping(config.get("quantization")) or (settings if not method else {})
    if {"group_size", "bits"} <= mlx.keys() and not method:
        return f"mlx-{_number(mlx['bits'])}bit"
    if method == "compressed-tensors":
        return _of_compressed_tensors(settings)
    if method in ("awq", "gptq", "autoround", "auto-round"):
        return f"{method}-w{_number(settings.get('bits', settings.get('w_bit', 4)))}a16"
    if method == "bitsandbytes":
        return (
            f"bnb-{text(settings.get('bnb_4bit_quant_type')) or '4bit'}" if settings.get("load_in_4bit") else "bnb-int8"
        )
    if method in ("exl2", "exl3"):
        return f"{method}-{_number(settings.get('bits', ''))}bpw"
    if method == "modelopt":
        return _of_modelopt(settings) or method
    return method or _of_modelopt(settings)


def _of_own_files(facts: Facts) -> str:
    modelopt = _of_modelopt(mapping(facts.document("hf_quant_config.json").get("quantization")))
    if modelopt:
        return modelopt
    if awq := facts.document("quant_config.json"):
        return f"awq-w{_number(awq.get('w_bit', awq.get('bits', 4)))}a16"
    if gptq := facts.document("quantize_config.json"):
        return f"gptq-w{_number(gptq.get('bits', 4))}a16"
    return ""


def _of_modelopt(settings: Json) -> str:
    return text(settings.get("quant_algo")).lower().replace("_", "-")


def _of_compressed_tensors(settings: Json) -> str:
    layout = text(settings.get("format")).lower()
    for known in ("nvfp4", "mxfp4", "mxfp8"):
        if layout.startswith(known):
            return known
    groups = [mapping(group) for group in mapping(settings.get("config_groups")).values()]
    schemes = {scheme for group in groups if (scheme := _of_group(group))}
    return "+".join(sorted(schemes)) or "compressed-tensors"


def _of_group(group: Json) -> str:
    weights, activations = mapping(group.get("weights")), mapping(group.get("input_activations"))
    bits = _number(weights.get("num_bits", ""))
    if not bits:
        return ""
    if text(weights.get("type")) == "float":
        if bits == "4":
            return "nvfp4" if weights.get("group_size") == 16 else "mxfp4"
        return f"fp{bits}" if activations else f"w{bits}a16-fp{bits}"
    return f"w{bits}a{_number(activations.get('num_bits', 16)) if activations else '16'}"


def _number(value: Any) -> str:
    """Writes a number without needless digits; empty if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) and value.replace(".", "", 1).isdigit() else ""
    return f"{value:g}"
