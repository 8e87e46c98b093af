"""Classes of models: which library's layout a repository has."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import PurePosixPath

from modelcar.hub.facts import Facts, mapping
from modelcar.hub.formats import Format
from modelcar.hub.weight_groups import MAIN, WeightGroup


class ModelClass(StrEnum):
    """Layouts of model repositories, each loaded in its own way."""

    TRANSFORMERS = "transformers"
    MISTRAL = "mistral"
    DIFFUSERS = "diffusers"
    SENTENCE_TRANSFORMERS = "sentence-transformers"
    ADAPTER = "adapter"
    GGUF = "gguf"
    GGML = "ggml"
    ONNX = "onnx"
    OPENVINO = "openvino"
    TENSORRT_LLM = "tensorrt-llm"
    MLX = "mlx"
    CTRANSLATE2 = "ctranslate2"
    NEMO = "nemo"
    SKLEARN = "sklearn"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    CATBOOST = "catboost"
    TENSORFLOW = "tensorflow"
    COREML = "coreml"
    OTHER = "other"
    NONE = "none"


_OF_FORMAT = {
    Format.GGUF: ModelClass.GGUF,
    Format.GGML: ModelClass.GGML,
    Format.ONNX: ModelClass.ONNX,
    Format.OPENVINO: ModelClass.OPENVINO,
    Format.TENSORRT: ModelClass.TENSORRT_LLM,
    Format.CTRANSLATE2: ModelClass.CTRANSLATE2,
    Format.NEMO: ModelClass.NEMO,
    Format.XGBOOST: ModelClass.XGBOOST,
    Format.LIGHTGBM: ModelClass.LIGHTGBM,
    Format.CATBOOST: ModelClass.CATBOOST,
    Format.SKOPS: ModelClass.SKLEARN,
    Format.PICKLE: ModelClass.SKLEARN,
    Format.TENSORFLOW: ModelClass.TENSORFLOW,
    Format.COREML: ModelClass.COREML,
}
_OWN_LIBRARIES = ("timm", "open_clip", "speechbrain", "pyannote-audio", "ultralytics", "keras", "nemo")
"""Libraries that load weights in their own way, whatever configuration lies beside them."""

_OWN_FILES = ("open_clip", "nemo")
"""Those of them whose weights have names of their own; beside those the same model may be there for transformers."""

_ON_TRANSFORMERS = frozenset((
    "", "vllm", "trl", "unsloth", "peft", "setfit", "sentence-transformers", "transformers.js", "optimum", "model2vec",
))  # fmt: skip
"""Libraries whose models transformers may load; others have a form of their own, if no configuration says else."""

_TELLING_KEYS = {
    "model_type",
    "architectures",
    "transformers_version",
    "torch_dtype",
    "hidden_size",
    "quantization_config",
}
"""Keys of a configuration that transformers wrote."""

_MIN_MAIN_SHARE = 0.15
_TORCH_LIKE = (Format.SAFETENSORS, Format.TORCH)
_PICKLING_LIBRARIES = ("", "sklearn", "scikit-learn", "skops")
_ADAPTER_BASES = ("adapter_model", "pytorch_lora_weights", "lora", "adapter")
_ST_MODULE = ("config_sentence_transformers.json", "sentence_bert_config.json")


def classify(kept: Sequence[WeightGroup], paths: Collection[str], facts: Facts) -> ModelClass:
    """Tells the class of what is taken of a repository.

    Args:
        kept: The groups of weights that are taken.
        paths: All paths of the repository.
        facts: What its small files say.
    """
    if not kept:
        return ModelClass.NONE
    largest = main_group(kept)
    if largest.format not in _TORCH_LIKE:
        return _of_other_format(largest, facts)
    if is_adapter(kept, paths, facts):
        return ModelClass.ADAPTER
    if "model_index.json" in paths:
        return ModelClass.DIFFUSERS
    if all(group.base.startswith("diffusion_pytorch_model") for group in kept):
        return ModelClass.DIFFUSERS
    if any(group.base.startswith("diffusion_pytorch_model") for group in kept):
        return ModelClass.OTHER
    if any(group.slot == "consolidated" and group.folder == "" for group in kept):
        safe = largest.format is Format.SAFETENSORS
        return ModelClass.MISTRAL if safe else ModelClass.OTHER
    if is_mlx(facts):
        return ModelClass.MLX
    if "modules.json" in paths:
        return ModelClass.SENTENCE_TRANSFORMERS
    if _is_transformers(kept, paths, facts):
        return ModelClass.TRANSFORMERS
    if any(group.base == "distributed" for group in kept) and any(path.startswith("context/") for path in paths):
        return ModelClass.NEMO
    if facts.card.library in ("sklearn", "scikit-learn"):
        return ModelClass.SKLEARN
    return ModelClass.NEMO if facts.card.library == "nemo" else ModelClass.OTHER


def main_group(groups: Sequence[WeightGroup]) -> WeightGroup:
    """Returns the weights that a model is known by: the largest, or those at the top beside parts in folders."""
    largest = max(groups, key=lambda group: group.size)
    beside = [group for group in groups if not group.folder and group.format in _TORCH_LIKE and group.slot == MAIN]
    if largest.format not in _TORCH_LIKE or not beside or beside[0].size < _MIN_MAIN_SHARE * largest.size:
        return largest
    return beside[0]


def is_adapter(groups: Sequence[WeightGroup], paths: Collection[str], facts: Facts) -> bool:
    """Tells whether weights are those of adapters alone."""
    if facts.card.is_adapter and not {"config.json", "model_index.json"} & set(paths):
        return all(group.format in _TORCH_LIKE and not group.is_sharded for group in groups)
    own = [group for group in groups if not is_adapter_group(group, paths)]
    return bool(groups) and not own


def is_adapter_group(group: WeightGroup, paths: Collection[str]) -> bool:
    """Tells whether weights are an adapter's: PEFT's or diffusers' names, or a configuration of one beside them."""
    beside = str(PurePosixPath(group.folder) / "adapter_config.json")
    if group.base.lower().startswith(_ADAPTER_BASES):
        return True
    return beside in paths and group.slot != MAIN and group.format in _TORCH_LIKE


def is_mlx(facts: Facts) -> bool:
    """Tells whether weights are Apple's MLX's: quantized as only MLX reads them, or said to be."""
    quantized = mapping(facts.config.get("quantization"))
    settings = mapping(facts.config.get("quantization_config"))
    own = {"group_size", "bits"} <= quantized.keys() or (
        {"group_size", "bits"} <= settings.keys() and "quant_method" not in settings
    )
    return own or facts.card.library == "mlx" or facts.model.lower().startswith("mlx-community/")


def _folders_of_parts(kept: Sequence[WeightGroup]) -> set[str]:
    """Returns the folders of a model's parts; one, where a part lies at the top."""
    folders = {group.folder for group in kept if group.format in _TORCH_LIKE}
    return {""} if "" in folders else folders


def _of_other_format(largest: WeightGroup, facts: Facts) -> ModelClass:
    if largest.format is Format.PICKLE and facts.card.library not in _PICKLING_LIBRARIES:
        return ModelClass.OTHER
    if largest.format is Format.NUMPY and is_mlx(facts):
        return ModelClass.MLX
    if largest.format is Format.TENSORFLOW and largest.base.startswith("tf_model"):
        return ModelClass.TRANSFORMERS
    if largest.format is Format.FLAX and largest.base.startswith("flax_model"):
        return ModelClass.TRANSFORMERS
    return _OF_FORMAT.get(largest.format, ModelClass.OTHER)


def _is_transformers(kept: Sequence[WeightGroup], paths: Collection[str], facts: Facts) -> bool:
    if len(_folders_of_parts(kept)) > 1 or main_group(kept).is_of_open_clip:
        return False
    if facts.card.library in _OWN_LIBRARIES:
        return facts.card.library in _OWN_FILES and bool(facts.model_type and facts.architectures)
    if facts.model_type or facts.architectures or facts.card.library == "transformers":
        return True
    if facts.card.library not in _ON_TRANSFORMERS:
        return False
    largest = main_group(kept)
    beside = any(not group.folder and not is_adapter_group(group, paths) for group in kept)
    if largest.base == "rank" or (largest.folder and beside):
        # A checkpoint that TensorRT-LLM builds engines of; parts of a model of which one is transformers'.
        return False
    config = facts.documents.get("config.json")
    if config is not None and not facts.config.keys() & _TELLING_KEYS and not largest.folder:
        return False
    configured = str(PurePosixPath(largest.folder) / "config.json") in paths
    folder = PurePosixPath(largest.folder)
    tokenizes = any(str(folder / name) in paths for name in ("tokenizer_config.json", "tokenizer.json"))
    return configured and (largest.slot == MAIN or tokenizes)
