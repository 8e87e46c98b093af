"""Names of variants: one model's weights in several precisions, quantizations, devices or sizes, told by file names."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

_GGUF_TYPE = (
    r"(?:UD[-_.])?(?:I?Q\d+(?:_[0-9A-Z]+){0,3}|TQ\d_\d|I2_S|BF16|FP?(?:16|32|64)|MXFP4(?:[-_]MOE)?|NVFP4|INT[48]|8BIT)"
)
_GGUF_VARIANT = re.compile(rf"^(?P<base>.*?)[-_.]?(?P<variant>(?<![A-Za-z0-9]){_GGUF_TYPE})(?P<rest>[-_.].*)?$", re.I)
_SHARD = re.compile(
    r"^(?P<stem>.+?)(?P<joint>[-_.])(?P<number>\d{1,6})[-_]of[-_](?P<count>\d{1,6})(?P<tail>(?:\.[\w-]+)?)$"
)
_LOOSE_SHARD = re.compile(
    r"^(?P<stem>model|pytorch_model|consolidated|weights|rank|tensor|params_shard)(?P<joint>[-_.]?)(?P<number>\d{1,5})$"
)

_TOKENS = (
    r"b?(?:fp?|float)(?:8|16|32|64)|float|fp4|nf4|fp8[-_]?(?:e4m3(?:fn)?|e5m2|scaled|dynamic|static)*|e4m3(?:fn)?(?:_scaled)?|e5m2"
    r"|u?int[248]|q?u?int8(?:_\w+)?|[2-8](?:\.\d+)?(?:-?bits?|bpw)|half|full|q[2-8](?:f(?:16|32))?(?:_\w+)?|bnb4?|quant(?:ized)?"
    r"|w[248]a(?:16|8|4)|awq|gptq|exl[23]|hqq|nvfp4|mxfp4|mxfp8|o[1-4]|opt(?:imized)?|dynamic(?:_range)?|integer|pruned|ema|emaonly|non[-_]ema|ema[-_]only"
    r"|scaled|opset\d+|cpu|gpu|cuda|directml|dml|mobile|web|npu|qnn|trt|rtn|block|acc|level|android|ios|avx\d*(?:_\w+)?|vnni|arm64|slim|(?:tp|pp)\d+"
)
_GPTQ = r"\d+g|(?:no[-_])?act[-_]?order|latest|compat"
"""Words behind the bits in names of GPTQ: the size of groups, the order in which columns were quantized."""

_VARIANT_SUFFIX = re.compile(
    rf"^(?P<base>.+?)[-_.](?P<variant>(?:{_TOKENS})(?:[-_.](?:{_TOKENS}|{_GPTQ}|\d+))*)$", re.I
)
_GLUED_VARIANT = re.compile(r"^(?P<base>.*[a-z\d])(?P<variant>(?:FP?|FLOAT|INT)(?:4|8|16|32)(?:P\d+|INT\d+)?)$")
"""Types in Apple's names of Core ML, which have no joint: `DepthAnythingV2SmallF16P6`."""

_VARIANT_TOKEN = re.compile(rf"^(?:{_TOKENS})$", re.I)
_PARAMETERS = re.compile(r"^\d+(?:\.\d+)?[bm]$", re.I)
_PACKING = re.compile(r"^(?:split_einsum(?:_v2)?|compiled|packages)$", re.I)
"""Packings of Core ML: https://github.com/apple/ml-stable-diffusion#weight-compression-6-bits-and-higher"""

_SIZE_WORD = re.compile(r"^(?:tiny|mini|nano|small|base|medium|large|xl|xxl|huge|giant)$", re.I)
_CHECKPOINT_TOKEN = re.compile(r"^(?:checkpoint|global_step|ckpt|step|epoch|iter)[-_]?\d+$", re.I)
_YOLO = re.compile(
    r"^(?P<base>(?:.*[-_.])?yolo(?:v?\d+(?:\.\d+)?|x|_nas)?e?[-_]?)(?P<variant>[ntsmlxbcde]\d?)"
    r"(?P<rest>[-_].*|6u?|u)?$",
    re.I,
)

POPULAR = (
    "Q4_K_M", "UD-Q4_K_XL", "MXFP4", "MXFP4_MOE", "Q4_K_S", "Q4_K", "Q4_0", "Q4", "IQ4_NL", "IQ4_XS", "Q4_K_L",
    "Q5_K_M", "UD-Q5_K_XL", "Q4_1", "Q5_K_S", "Q5_K", "Q5_0", "Q5", "Q6_K", "UD-Q6_K_XL", "Q8_0", "Q8", "UD-Q8_K_XL",
    "Q3_K_M", "UD-Q3_K_XL", "Q3_K_L", "I2_S", "TQ2_0", "TQ1_0", "Q2_K", "F16", "FP16", "BF16", "F32",
)  # fmt: skip
"""GGUF types in the order in which most people take them; Q4_K_M is llama.cpp's and Ollama's own default."""

_POPULAR_PRECISIONS = ("", "bf16", "fp16", "fp32", "int8", "quantized", "q8", "int4", "q4", "fp8")
_SIZES = ("n", "t", "s", "m", "b", "c", "l", "e", "x")
_PROJECTORS = ("F16", "FP16", "BF16", "Q8_0", "F32", "")


@dataclass(frozen=True)
class Name:
    """The parts of a weights file's name.

    Attributes:
        base: The name without shard, variant and suffix.
        variant: `fp16`, `Q4_K_M` and the like; empty for the default.
        number: The shard's number; None if the file is whole.
        count: How many shards its set has, as the name says; 0 if it does not.
    """

    base: str
    variant: str
    number: int | None
    count: int


def parse_stem(stem: str, *, gguf: bool = False) -> Name:
    """Parts a file's name, without its suffix, into base, variant and shard.

    Args:
        stem: The name without its last suffix.
        gguf: Whether llama.cpp's names of types are looked for.
    """
    number, count = None, 0
    if (match := _SHARD.match(stem)) is not None:
        number, count = int(match["number"]), int(match["count"])
        stem = match["stem"] + match["tail"]
    elif (match := _LOOSE_SHARD.match(stem)) is not None:
        number, stem = int(match["number"]), match["stem"]
    stem = stem.removesuffix(".safetensors")
    base, variant = split_gguf(stem) if gguf else split_variant(stem)
    return Name(base, variant, number, count)


def split_gguf(stem: str) -> tuple[str, str]:
    """Parts the name of a GGUF file into its base and its type, such as `Q4_K_M`."""
    matches = [match for match in (_GGUF_VARIANT.match(stem),) if match]
    if not matches:
        return stem, ""
    # The last type in the name counts: names of models hold others.
    found = matches[0]
    while found["rest"] and (more := _GGUF_VARIANT.match(found["rest"].lstrip("-_."))) and not more["base"]:
        rest = more["rest"] or ""
        joined = f"{found['variant']}-{more['variant']}"
        return f"{found['base']}{rest}", joined
    return f"{found['base']}{found['rest'] or ''}", found["variant"]


def split_variant(stem: str) -> tuple[str, str]:
    """Parts a stem into its base and its variant: `model.fp16`, `model_quantized`, `yolo11n`."""
    if (match := _YOLO.match(stem)) is not None:
        base = f"{match['base']}{match['rest'] or ''}".lower()
        typed = _VARIANT_SUFFIX.match(base)
        return (typed["base"], f"{match['variant']}_{typed['variant']}") if typed else (base, match["variant"])
    if (match := _VARIANT_SUFFIX.match(stem) or _GLUED_VARIANT.match(stem)) is not None:
        return match["base"], match["variant"]
    return stem, ""


def folder_variant(folder: str) -> str:
    """Returns the part of a folder's path that names a variant; empty if none does."""
    for part in reversed(PurePosixPath(folder).parts):
        if names_variant(part):
            return part
    return ""


def is_checkpoint(path: str) -> bool:
    """Tells whether a path leads through a folder of a training program's checkpoint, such as `checkpoint-500`."""
    return any(_CHECKPOINT_TOKEN.match(part) for part in PurePosixPath(path).parts[:-1])


def names_variant(word: str) -> bool:
    """Tells whether a folder's name tells of a precision, a device, a size or a checkpoint."""
    if _CHECKPOINT_TOKEN.match(word) or split_gguf(word)[1]:
        return True
    tokens = (word, *filter(None, re.split(r"[-_]", word)))
    # "base" or "large" within a longer name is a part of it; "7b" is always a size.
    return any(_VARIANT_TOKEN.match(token) or _PARAMETERS.match(token) for token in tokens) or bool(
        _SIZE_WORD.match(word) or _PACKING.match(word)
    )


def rank(variant: str) -> tuple[int, str]:
    """Orders variants: the one that most people take comes first."""
    wanted = variant.upper().replace("-MOE", "_MOE")
    if wanted in POPULAR:
        return POPULAR.index(wanted), ""
    for place, name in enumerate(POPULAR):
        if re.search(rf"(?<![A-Z0-9]){name}(?![A-Z0-9_])", wanted):
            return len(POPULAR) + place, variant.lower()
    lowered = variant.lower()
    if lowered in _SIZES:
        return 3 * len(POPULAR) + _SIZES.index(lowered), ""
    if (parameters := re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", lowered)) is not None:
        millions = float(parameters[1]) * (1000 if parameters[2] == "b" else 1)
        return 4 * len(POPULAR), f"{millions:020.1f}"
    for place, name in enumerate(_POPULAR_PRECISIONS):
        if name and name in lowered:
            return 3 * len(POPULAR) + place, lowered
    return (2 * len(POPULAR) if not variant else 9 * len(POPULAR)), lowered


def best_projector(variants: Iterable[str]) -> str:
    """Returns the precision in which a projector is taken: half, which is what most people take."""
    listed = list(variants)
    ranked = {name: place for place, name in enumerate(_PROJECTORS)}
    return min(listed, key=lambda one: (ranked.get(one.upper(), len(_PROJECTORS)), one))


def matches(asked: str, *names: str) -> bool:
    """Tells whether what somebody asked for is one of the names of a variant, in any writing."""
    return bool(asked) and any(_plain(asked) == _plain(name) for name in names if name)


def _plain(name: str) -> str:
    return name.strip("/").lower().replace("-", "_")
