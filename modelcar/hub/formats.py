"""Formats of weights, told by the names of files, and the names of files that are no part of a model.

Sources: the savers' own names in transformers, diffusers, PEFT, optimum, llama.cpp, CTranslate2, NeMo, DeepSpeed and
accelerate.
"""

import re
from collections.abc import Collection
from enum import StrEnum
from pathlib import PurePosixPath


class Format(StrEnum):
    """A form that weights are published in, in the order in which one is preferred to the next."""

    SAFETENSORS = "safetensors"
    TORCH = "PyTorch"
    NEMO = "NeMo"
    TENSORRT = "TensorRT engine"
    CTRANSLATE2 = "CTranslate2"
    MLC = "MLC"
    GGUF = "GGUF"
    GGML = "GGML"
    LLAMAFILE = "llamafile"
    ONNX = "ONNX"
    OPENVINO = "OpenVINO"
    XGBOOST = "XGBoost"
    LIGHTGBM = "LightGBM"
    CATBOOST = "CatBoost"
    SKOPS = "skops"
    PICKLE = "pickle"
    SPACY = "spaCy"
    TENSORFLOW = "TensorFlow"
    FLAX = "Flax"
    PADDLE = "Paddle"
    TORCHSCRIPT = "TorchScript"
    NUMPY = "NumPy"
    RUST = "rust-bert"
    EXECUTORCH = "ExecuTorch"
    COREML = "Core ML"
    TFLITE = "TensorFlow Lite"
    UNKNOWN = "unknown"


OTHER_FRAMEWORKS = frozenset(
    {Format.TENSORFLOW, Format.FLAX, Format.PADDLE, Format.RUST, Format.EXECUTORCH, Format.COREML, Format.TFLITE}
)
OTHER_RUNTIMES = frozenset(
    {
        *(Format.GGUF, Format.GGML, Format.LLAMAFILE, Format.ONNX, Format.OPENVINO, Format.TENSORRT),
        *(Format.CTRANSLATE2, Format.NEMO, Format.MLC),
    }
)
QUANTIZED_BY_LLAMA_CPP = frozenset({Format.GGUF, Format.GGML, Format.LLAMAFILE})
"""Formats whose files are called after llama.cpp's types, such as Q4_K_M."""

WHOLE_IN_EACH_SUFFIX = frozenset(
    {Format.TORCH, Format.ONNX, Format.PICKLE, Format.NEMO, Format.TENSORRT, Format.TFLITE, Format.TORCHSCRIPT}
    | {Format.XGBOOST, Format.LIGHTGBM}
)
"""Formats that have several suffixes, of which each names the whole: `model.pt` is no part of `model.pth`."""

_BY_SUFFIX = {
    ".safetensors": Format.SAFETENSORS,
    **dict.fromkeys((".bin", ".pt", ".pth", ".ckpt", ".th", ".torch", ".pyt", ".pt2", ".distcp", ".mar"), Format.TORCH),
    ".gguf": Format.GGUF,
    ".ggml": Format.GGML,
    ".llamafile": Format.LLAMAFILE,
    **dict.fromkeys((".onnx", ".ort"), Format.ONNX),
    **dict.fromkeys((".engine", ".plan", ".trt"), Format.TENSORRT),
    **dict.fromkeys((".nemo", ".riva"), Format.NEMO),
    **dict.fromkeys((".h5", ".keras", ".hdf5"), Format.TENSORFLOW),
    ".msgpack": Format.FLAX,
    ".ot": Format.RUST,
    **dict.fromkeys((".mlmodel",), Format.COREML),
    **dict.fromkeys((".tflite", ".task", ".litertlm"), Format.TFLITE),
    ".pte": Format.EXECUTORCH,
    **dict.fromkeys((".ubj", ".xgb", ".bst"), Format.XGBOOST),
    **dict.fromkeys((".lgb", ".lgbm"), Format.LIGHTGBM),
    ".cbm": Format.CATBOOST,
    ".skops": Format.SKOPS,
    **dict.fromkeys((".joblib", ".pkl", ".pickle", ".pckl", ".pk", ".sav", ".dill", ".cloudpickle"), Format.PICKLE),
    **dict.fromkeys((".pdparams", ".pdiparams"), Format.PADDLE),
    **dict.fromkeys((".torchscript", ".ts", ".jit"), Format.TORCHSCRIPT),
    ".npz": Format.NUMPY,
    ".whl": Format.SPACY,
}
"""Formats by suffix; of several suffixes of one format that comes first which servers look for first."""
_SUFFIXES = tuple(_BY_SUFFIX)
_FOLDERS = {
    ".mlpackage": Format.COREML,
    ".mlmodelc": Format.COREML,
    "saved_model": Format.TENSORFLOW,
    "model_weights": Format.NEMO,
}
_MLMODELC_ARCHIVE = ".mlmodelc.zip"
_TF_ARCHIVE = re.compile(r"((tf_?)?saved_?model|tf_?(js|lite|model))(_\w+)?\.(tar\.gz|tgz|zip)", re.I)
_MLC_SHARD = re.compile(r"params_shard_\d+\.bin")
_MLC_CACHES = ("ndarray-cache.json", "tensor-cache.json")

_GGML_NAMES = re.compile(r"ggml-.*\.bin|.*\.ggml(v\d)?\..*\.bin|.*\.ggmlv\d.*\.bin")
_TF_CHECKPOINT = re.compile(r".+\.(ckpt(-\d+)?|data-\d{5}-of-\d{5}|ckpt(-\d+)?\.(index|meta))")
_TF_PARTS = re.compile(r"(?P<stem>.+?)\.(data-\d{5}-of-\d{5}|index|meta)")
_CT2_VOCABULARY = re.compile(r"(shared_|source_|target_)?vocabulary\.(json|txt)")

_TRAINING_FOLDERS = re.compile(
    r"(checkpoint|global_step|ckpt|step|epoch|iter)[-_]?\d+|runs|wandb|mlruns|tb_logs|tensorboard|lightning_logs"
    r"|\.ipynb_checkpoints|__pycache__|\.git|pytorch_model_fsdp(_\d+)?|optimizer(_\d+)?|optim_states?"
)
"""Folders that training programs leave. `ckpt-0/` and the like are looked at again where nothing else is there."""

_TRAINING_FILES = re.compile(
    r"training_args\.(bin|json|yaml)|(optimizer|optim|scheduler|lr_scheduler|grad_scaler|sampler|dl_sampler)"
    r"([-_.]?\d+)?(\.\w+)?\.(pt|pth|bin|pkl|safetensors)|scaler([-_.]?\d+)?\.(pt|pth|bin)|rng_state(_\d+)?\.pth|random_states?_\d+\.pkl"
    r"|(\w+_)?zero_pp_rank_\d+_mp_rank_\d+_\w+\.pt|zero_to_fp32\.py|trainer_state\.json"
    r"|(train|eval|all|test|predict)_results\.(json|txt)|events\.out\.tfevents\..*|trainer_log\.jsonl|\.DS_Store"
    r"|.*\.(imatrix|imatrix_dat)|imatrix.*\.(dat|gguf)|.*[-_.]imatrix\.(dat|gguf)|ggml-vocab-.*\.gguf"
    r"|custom_checkpoint_\d+\.pkl|profiler?_state\.pt|.+[-_]optimizer([-_]\w+)?\.(pt|pth|bin|ckpt)"
)
TRAINING = "of use for training only"
_BOOKKEEPING = (".gitattributes", ".gitignore", ".gitkeep", ".gitmodules", ".dockerignore")
_DATA_SETS = (".parquet", ".arrow", ".tfrecord", ".lance")

MIN_UNKNOWN_BYTES = 100_000
NO_WEIGHTS = frozenset((
    ".json", ".jsonl", ".md", ".txt", ".py", ".ipynb", ".yaml", ".yml", ".csv", ".tsv", ".html", ".pdf", ".png",
    ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".bmp", ".ico", ".mp3", ".mp4", ".wav", ".flac", ".ogg", ".mov",
    ".webm", ".avi", ".parquet", ".arrow", ".tfrecord", ".jinja", ".tiktoken", ".spm", ".db", ".sqlite", ".log",
    ".xml", ".gz", ".xz", ".bz2", ".zst", ".tgz", ".tar", ".toml", ".cfg", ".sh", ".lance", ".npy", ".chk", ".ttf",
    ".otf", ".safetensors",
))  # fmt: skip
"""Suffixes of texts, pictures, sounds and the like, and of what is known otherwise."""

_TOKENIZER = re.compile(r"(tokenizer|sentencepiece|spiece|spm|vocab|bpe).*\.(model|spm|vocab|bpe|txt)$", re.I)
_SUPPORT_NAMES = re.compile(
    r"(readme|licen[cs]e|notice|copying|use[_-]policy|usage[_-]policy|acceptable[_-]use)(?!.*\.(bin|pt|safetensors)$).*"
    r"|.*\.(json|jinja|model|py|tiktoken|yaml|yml|spm|vocab|bpe|md|proto)|(merges|vocab|dict|system_prompt)\.txt"
    r"|tokenizer.*|template|params",
    re.IGNORECASE,
)
"""Small files that a server or a reader needs whichever weights are taken."""

MMPROJ = re.compile(r"(^|[-_./])mmproj([-_.]|$)", re.IGNORECASE)
"""llama.cpp's projectors of pictures and sounds: https://github.com/ggml-org/llama.cpp/blob/master/docs/multimodal.md"""

GGUF_PIECE = re.compile(r"\.gguf(-split-[a-z]|\.part\d+of\d+)$", re.IGNORECASE)
"""Pieces of a GGUF, cut at any byte and to be put together again before it is loaded."""

RUNTIME_FOLDERS = {
    "onnx": "weights for another runtime",
    "openvino": "weights for another runtime",
    "openvino_model": "weights for another runtime",
    "coreml": "weights for another runtime",
    "mlx": "weights for another runtime",
    "gguf": "weights for another runtime",
    "ggml": "weights for another runtime",
    "metal": "weights for another runtime",
    "tflite": "weights for another runtime",
    "tensorrt": "weights for another runtime",
    "trt": "weights for another runtime",
    "tensorrt_llm": "weights for another runtime",
    "ctranslate2": "weights for another runtime",
    "ct2": "weights for another runtime",
    "executorch": "weights for another runtime",
    "qnn": "weights for another runtime",
    "neuron": "weights for another runtime",
    "torchscript": "weights for another runtime",
    "fairseq": "the original form of the weights",
    "fairseq_model": "the original form of the weights",
    "original": "the original form of the weights",
    "original_checkpoint": "the original form of the weights",
    "tf": "weights for another framework",
    "tensorflow": "weights for another framework",
    "flax": "weights for another framework",
    "jax": "weights for another framework",
    "old": "an older form of the weights",
    "backup": "an older form of the weights",
}


def weights_format(path: str, beside: Collection[str] = ()) -> Format | None:
    """Tells a file's format of weights by its name; None if the name is not one of weights.

    Args:
        path: Its path in the repository.
        beside: All paths there: what OpenVINO and CTranslate2 call .bin is known by its neighbours.
    """
    pure = PurePosixPath(path)
    if (inside := _folder_format(pure)) is not None:
        return inside
    name, suffix = pure.name, pure.suffix.lower()
    if name.endswith(_MLMODELC_ARCHIVE):
        return Format.COREML
    if _TF_ARCHIVE.fullmatch(name):
        return Format.TENSORFLOW
    if name.endswith(".pth.tar"):
        return Format.TORCH
    if GGUF_PIECE.search(name):
        return Format.GGUF
    if suffix == ".xml":
        return Format.OPENVINO if str(pure.with_suffix(".bin")) in beside else None
    if suffix == ".bin":
        return _bin_format(pure, beside)
    if suffix in (".pdmodel",) and str(pure.with_suffix(".pdiparams")) in beside:
        return Format.PADDLE
    if (found := _boosted_format(pure)) is not None:
        return found
    if _TF_CHECKPOINT.fullmatch(name) and not name.endswith(".ckpt"):
        return Format.TENSORFLOW
    if name == "saved_model.pb" or (suffix == ".pb" and "graph" in name):
        return Format.TENSORFLOW
    if suffix == ".index" and any(other.startswith(f"{pure.with_suffix('')}.data-") for other in beside):
        return Format.TENSORFLOW
    return _BY_SUFFIX.get(suffix)


def suffix_order(path: str) -> int:
    """Orders suffixes of one format: the one that servers look for first comes first."""
    suffix = PurePosixPath(path).suffix.lower()
    return _SUFFIXES.index(suffix) if suffix in _SUFFIXES else len(_SUFFIXES)


def may_be_weights(file: str, size: int) -> bool:
    """Tells whether a file of unknown form may hold weights, where nothing else does."""
    if _TOKENIZER.match(PurePosixPath(file).name):
        return False
    return size >= MIN_UNKNOWN_BYTES and PurePosixPath(file).suffix.lower() not in NO_WEIGHTS


def package_root(path: str) -> str:
    """Returns the folder that counts as one thing, such as `x.mlpackage`; empty if the file is in none."""
    parts = PurePosixPath(path).parts
    for count, part in enumerate(parts[:-1], 1):
        if PurePosixPath(part).suffix in (".mlpackage", ".mlmodelc") or part in ("saved_model", "model_weights"):
            return "/".join(parts[:count])
    return ""


def training_reason(path: str) -> str:
    """Says why a file is of no use but to train on; empty if it may be of use."""
    pure = PurePosixPath(path)
    if any(_TRAINING_FOLDERS.fullmatch(part) for part in pure.parts[:-1]) or _TRAINING_FILES.fullmatch(pure.name):
        return TRAINING
    return ""


def is_training_folder(folder: str) -> bool:
    """Tells whether a folder, or one that it is in, is a training program's."""
    return any(_TRAINING_FOLDERS.fullmatch(part) for part in PurePosixPath(folder).parts)


def is_training_file(path: str) -> bool:
    """Tells whether a file's own name says that it is of use for training only."""
    return _TRAINING_FILES.fullmatch(PurePosixPath(path).name) is not None


def other_reason(path: str) -> str:
    """Says why a file that holds no weights is no part of a model; empty if it may be."""
    pure = PurePosixPath(path)
    if pure.name in _BOOKKEEPING:
        return "git's own bookkeeping"
    return "a data set, not the model" if pure.suffix.lower() in _DATA_SETS else ""


def supports_weights(path: str) -> bool:
    """Tells whether a file goes with whichever weights are taken, as licence and tokenizer do."""
    pure = PurePosixPath(path)
    return _SUPPORT_NAMES.fullmatch(pure.name) is not None or MMPROJ.search(pure.name) is not None


def is_index(path: str) -> bool:
    """Tells whether a file says which tensors lie in which shard."""
    return re.search(r"\.index(\.[\w-]+)?\.json$", path) is not None


def _folder_format(pure: PurePosixPath) -> Format | None:
    for part in pure.parts[:-1]:
        found = _FOLDERS.get(PurePosixPath(part).suffix) or _FOLDERS.get(part)
        if found is not None:
            return found
    return None


def _bin_format(pure: PurePosixPath, beside: Collection[str]) -> Format | None:
    if str(pure.with_suffix(".xml")) in beside:
        return Format.OPENVINO
    if _GGML_NAMES.fullmatch(pure.name):
        return Format.GGML
    if pure.name == "model.bin" and _has_vocabulary(pure.parent, beside):
        return Format.CTRANSLATE2
    if _MLC_SHARD.fullmatch(pure.name) and any(str(pure.with_name(cache)) in beside for cache in _MLC_CACHES):
        return Format.MLC
    if pure.name in ("lookups.bin",) or pure.parent.name == "vocab":
        return None
    return Format.TORCH


def _has_vocabulary(folder: PurePosixPath, beside: Collection[str]) -> bool:
    parts = (PurePosixPath(path) for path in beside)
    return any(one.parent == folder and _CT2_VOCABULARY.fullmatch(one.name) for one in parts)


def _boosted_format(pure: PurePosixPath) -> Format | None:
    """Tells the models of boosted trees that are published as JSON or text."""
    name = pure.name.lower()
    if re.fullmatch(r"(xgb\w*|xgboost\w*|(\w*_)?xgb(oost)?)([-_]?model)?\.json", name):
        return Format.XGBOOST
    if re.fullmatch(r"(lgbm?\w*|lightgbm\w*)([-_]?model)?\.txt", name):
        return Format.LIGHTGBM
    return None
