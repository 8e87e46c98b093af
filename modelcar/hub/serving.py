"""Serving of a model: by which runtime, with which arguments, on what hardware, and what it cannot do."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelcar.hub.architectures import is_draft, is_for_transformers, is_pooled
from modelcar.hub.facts import Facts, text
from modelcar.hub.formats import GGUF_PIECE, Format
from modelcar.hub.model_class import ModelClass, main_group
from modelcar.hub.remote_code import code_needed
from modelcar.hub.snapshot import Serving
from modelcar.hub.weight_groups import WeightGroup

MOUNT = "/mnt/models"
"""The path under which KServe shows an image's /models to the server."""

GPU_BYTES = 80 * 10**9
"""Memory of the GPUs that are counted: H100 and A100 in data centres."""

_USABLE = 0.9
"""Share of a GPU's memory: vLLM's default `--gpu-memory-utilization`."""

_OVERHEAD, _CONTEXT_BYTES = 1.15, 4 * 10**9
"""Room for activations, and for a context of a few thousand tokens."""

_NODE_GPUS = 8
VERSIONED = "model_layout=versioned"

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt", "spiece.model")


_TOKENIZER = re.compile(r"token|vocab|merges|spiece|spm|sentencepiece|tekken|.*tiktoken|.*\.(model|spm|bpe)$")
"""Names of files that a tokenizer is read from, whichever library made it."""


@dataclass(frozen=True)
class Served:
    """A model of which is to be said how it is served.

    Attributes:
        model_class: Its layout.
        weights: Its groups of weights.
        paths: Its files.
        facts: What its small files say.
    """

    model_class: ModelClass
    weights: Sequence[WeightGroup]
    paths: Collection[str]
    facts: Facts

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return sum(group.size for group in self.weights)

    @property
    def main(self) -> WeightGroup:
        """The weights that it is known by."""
        return main_group(self.weights)


def serving_of(model: Served) -> Serving:
    """Tells how a model is served."""
    if not model.weights:
        return Serving(model_class=ModelClass.NONE, limits=("There are no weights to serve.",))
    describe = _BY_CLASS.get(model.model_class, _other)
    found = describe(model)
    # What no runtime of KServe serves has the name of its own kind, so that none is chosen for it.
    return found if found.model_format else found.model_copy(update={"model_format": model.model_class.value})


def memory_needed(weights_bytes: int) -> int:
    """Estimates the memory that a server of language models takes, in bytes."""
    return int(weights_bytes * _OVERHEAD) + min(_CONTEXT_BYTES, weights_bytes)


def gpus_needed(memory_bytes: int) -> int:
    """Counts the GPUs of 80 GB that hold a model: a power of two, as tensor parallelism wants it."""
    count = 1
    while count * GPU_BYTES * _USABLE < memory_bytes:
        count *= 2
    return count


def _transformers(model: Served) -> Serving:
    architecture = (model.facts.architectures or ("",))[0]
    task = model.facts.card.task
    if model.main.format not in (Format.SAFETENSORS, Format.TORCH):
        why = f"Its weights are {model.main.format}'s, which vLLM cannot load: convert them to safetensors."
        return _on_processors(model, "", "transformers", (why,))
    if is_for_transformers(architecture, task):
        return _on_vllm(model, model_format="huggingface", runtime="KServe's Hugging Face server")
    if is_pooled(architecture, task):
        return _on_vllm(model, arguments=("--runner", "pooling"))
    return _on_vllm(model, arguments=_tokenizer_mode(model))


def _tokenizer_mode(model: Served) -> tuple[str, ...]:
    has_own = any(name in model.paths for name in _TOKENIZERS)
    return ("--tokenizer-mode", "mistral") if "tekken.json" in model.paths and not has_own else ()


def _mistral(model: Served) -> Serving:
    modes = ("--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral")
    limits = () if "config.json" in model.paths else ("Only vLLM reads this form; transformers does not.",)
    return _on_vllm(model, arguments=modes, limits=limits)


def _sentence_transformers(model: Served) -> Serving:
    return _on_vllm(model, arguments=("--runner", "pooling"))


def _adapter(model: Served) -> Serving:
    settings = _adapter_settings(model)
    base = text(settings.get("base_model_name_or_path")) or (model.facts.card.base_models or ("",))[0]
    folders = sorted({group.folder for group in model.weights})
    name = model.facts.model.rpartition("/")[2] or "adapter"
    modules = tuple(f"{folder or name}={MOUNT}/{folder}".rstrip("/") for folder in folders)
    if not any(PurePosixPath(path).name == "adapter_config.json" for path in model.paths):
        limit = f"It is an adapter of diffusers: it is loaded onto {base or 'its base model'}."
        return Serving(
            model_class=model.model_class,
            model_format="diffusers",
            runtime="vLLM-Omni",
            base_model=base,
            gpus=1,
            limits=(limit,),
        )
    rank = settings.get("r")
    ranks = ("--max-lora-rank", str(lora_rank(rank))) if isinstance(rank, int) and rank > 16 else ()
    return Serving(
        model_class=model.model_class,
        model_format="vLLM",
        runtime="vLLM",
        arguments=("--enable-lora", *ranks, "--lora-modules", *modules),
        gpus=1,
        memory_bytes=memory_needed(model.size),
        base_model=base,
        limits=(f"It is an adapter and no model: serve {base or 'its base model'} and name this beside it.",),
    )


def _adapter_settings(model: Served) -> Mapping[str, object]:
    folder = PurePosixPath(model.weights[0].folder)
    return model.facts.document(str(folder / "adapter_config.json"))


def lora_rank(rank: int) -> int:
    """Returns the least rank that vLLM takes and that is enough."""
    return next((one for one in (32, 64, 128, 256, 320, 512) if one >= rank), 512)


def _diffusers(model: Served) -> Serving:
    limits = ["No runtime that comes with OpenShift AI serves it: vLLM-Omni, or a server of your own on diffusers."]
    if "model_index.json" not in model.paths:
        limits = ["It is a part of a pipeline, such as a ControlNet, and is not served by itself."]
    variants = {group.variant for group in model.weights} - {""}
    if variants and all(group.variant for group in model.weights):
        limits.append(f'diffusers loads these files with variant="{sorted(variants)[0]}".')
    memory = memory_needed(model.size)
    return Serving(
        model_class=model.model_class,
        model_format="diffusers",
        runtime="vLLM-Omni",
        arguments=("--omni",),
        gpus=gpus_needed(memory),
        memory_bytes=memory,
        limits=tuple(limits),
    )


def _gguf(model: Served) -> Serving:
    main = max((group for group in model.weights if not group.is_projector), key=lambda group: group.size)
    path = sorted(file.path for file in main.weights)[0]
    arguments = ["--model", f"{MOUNT}/{path}"]
    for group in model.weights:
        if group.is_projector:
            arguments += ["--mmproj", f"{MOUNT}/{group.weights[0].path}"]
    if "bitnet" in model.facts.model.lower() or main.variant.upper().startswith(("I2_S", "TL1", "TL2")):
        limits = ["Its type is bitnet.cpp's own."]
    elif text(model.facts.card.gguf.get("architecture")) in (
        "flux",
        "sd3",
        "sdxl",
        "wan",
        "hunyuan_video",
        "ltxv",
        "qwen_image",
    ):
        limits = [
            "It is a part of a picture or video pipeline: ComfyUI and stable-diffusion.cpp load it, llama.cpp does not."
        ]
    elif GGUF_PIECE.search(path):
        limits = ["It is published in pieces, which have to be put together before anything loads it."]
    else:
        limits = ["vLLM takes a GGUF only by its file's path, with the tokenizer of the base model."]
    memory = memory_needed(model.size)
    return Serving(
        model_class=model.model_class,
        model_format="gguf",
        runtime="llama.cpp",
        arguments=tuple(arguments),
        path=path,
        gpus=gpus_needed(memory),
        memory_bytes=memory,
        limits=tuple(limits),
    )


def _ggml(model: Served) -> Serving:
    path = model.main.weights[0].path
    return _on_processors(model, "", "whisper.cpp", (), arguments=("--model", f"{MOUNT}/{path}"), path=path)


def _onnx(model: Served) -> Serving:
    folder = model.main.folder
    if any(PurePosixPath(path).name == "genai_config.json" for path in model.paths):
        limit = f"It is laid out for ONNX Runtime GenAI: point it at {MOUNT}/{folder}".rstrip("/") + "."
        return _on_processors(model, "onnx", "ONNX Runtime GenAI", (limit,), path=folder)
    limit = "OpenVINO Model Server and Triton want it below /models/1: model_layout=versioned."
    return _on_processors(model, "onnx", "OpenVINO Model Server or Triton", (limit,), path=folder)


def _openvino(model: Served) -> Serving:
    folder = model.main.folder
    names = {PurePosixPath(path).name for path in model.paths}
    if "openvino_tokenizer.xml" in names:
        return _on_processors(
            model, "openvino_ir", "OpenVINO Model Server", (), arguments=("--task", "text_generation"), path=folder
        )
    limit = "OpenVINO Model Server wants it below /models/1: model_layout=versioned."
    return _on_processors(model, "openvino_ir", "OpenVINO Model Server", (limit,), path=folder)


def _tensorrt(model: Served) -> Serving:
    ranks = len(model.main.weights)
    limits = (
        "An engine runs only on the kind of GPU, and with the version of TensorRT, that it was built with.",
        "vLLM cannot load it.",
    )
    return Serving(
        model_class=model.model_class,
        model_format="triton",
        runtime="Triton with TensorRT-LLM",
        gpus=max(ranks, 1),
        memory_bytes=memory_needed(model.size),
        limits=limits,
    )


def _mlx(model: Served) -> Serving:
    limit = "vLLM cannot load MLX weights: they run on Apple's processors, with mlx-lm."
    return Serving(
        model_class=model.model_class, runtime="mlx-lm", memory_bytes=memory_needed(model.size), limits=(limit,)
    )


def _ctranslate2(model: Served) -> Serving:
    limit = "No runtime that comes with KServe serves it: a server of your own on CTranslate2 (faster-whisper) does."
    memory = memory_needed(model.size)
    return Serving(
        model_class=model.model_class,
        runtime="CTranslate2",
        gpus=gpus_needed(memory),
        memory_bytes=memory,
        limits=(limit,),
    )


def _nemo(model: Served) -> Serving:
    limit = "vLLM cannot load it: NeMo does, or Triton and TensorRT-LLM after an export."
    memory = memory_needed(model.size)
    return Serving(
        model_class=model.model_class, runtime="NeMo", gpus=gpus_needed(memory), memory_bytes=memory, limits=(limit,)
    )


def _sklearn(model: Served) -> Serving:
    skops = model.main.format is Format.SKOPS
    limits = ("KServe's own server loads joblib and pickle files, not skops: load it with skops.io.",) if skops else ()
    return _on_processors(model, "sklearn", "KServe's scikit-learn server or MLServer", limits)


def _boosted(model: Served) -> Serving:
    name = model.model_class.value
    return _on_processors(model, name, f"KServe's {model.main.format} server or MLServer", ())


def _tensorflow(model: Served) -> Serving:
    limit = "TensorFlow Serving and Triton want it below /models/1: model_layout=versioned."
    return _on_processors(model, "tensorflow", "TensorFlow Serving or Triton", (limit,))


def _coreml(model: Served) -> Serving:
    limit = "Core ML runs on Apple's systems only: no server on Kubernetes loads it."
    return Serving(
        model_class=model.model_class, runtime="Core ML", memory_bytes=memory_needed(model.size), limits=(limit,)
    )


def _other(model: Served) -> Serving:
    library = model.facts.card.library
    said = f"It is loaded by {library}" if library else "The repository does not say which library loads it"
    limit = f"{said}: no runtime that comes with KServe serves it, a server of your own does."
    memory = memory_needed(model.size)
    return Serving(
        model_class=model.model_class, runtime=library, gpus=gpus_needed(memory), memory_bytes=memory, limits=(limit,)
    )


def _on_vllm(
    model: Served,
    *,
    model_format: str = "vLLM",
    runtime: str = "vLLM",
    arguments: tuple[str, ...] = (),
    limits: tuple[str, ...] = (),
) -> Serving:
    memory = memory_needed(model.size)
    gpus = gpus_needed(memory)
    said = list(limits)
    if gpus > _NODE_GPUS:
        said.append(f"{gpus} GPUs of 80 GB are more than a node has: take fewer of more memory, or several nodes.")
    trusted, others, about_code = code_needed(model.facts)
    lacking = []
    if is_draft(model.facts.architectures, model.facts.config):
        said.append("It drafts for another model, and serves nothing by itself: --speculative-config names it there.")
    elif model_format == "vLLM" and not any(_TOKENIZER.match(PurePosixPath(path).name) for path in model.paths):
        lacking.append("There is no tokenizer among its files: --tokenizer has to name another model's.")
    if model.main.folder:
        said.append(f"Its configuration is in a folder: point the server at {MOUNT}/{model.main.folder}.")
    parallel = ("--tensor-parallel-size", str(gpus)) if gpus > 1 and model_format == "vLLM" else ()
    trust = ("--trust-remote-code",) if trusted else ()
    return Serving(
        model_class=model.model_class,
        model_format=model_format,
        runtime=runtime,
        arguments=(*arguments, *parallel, *trust),
        path=model.main.folder,
        gpus=gpus,
        memory_bytes=memory,
        trust_remote_code=trusted,
        code_from=others,
        limits=(*said, *about_code, *lacking),
    )


def _on_processors(
    model: Served,
    model_format: str,
    runtime: str,
    limits: tuple[str, ...],
    *,
    arguments: tuple[str, ...] = (),
    path: str = "",
) -> Serving:
    return Serving(
        model_class=model.model_class,
        model_format=model_format,
        runtime=runtime,
        arguments=arguments,
        path=path,
        memory_bytes=memory_needed(model.size),
        limits=limits,
    )


_BY_CLASS = {
    ModelClass.TRANSFORMERS: _transformers,
    ModelClass.MISTRAL: _mistral,
    ModelClass.SENTENCE_TRANSFORMERS: _sentence_transformers,
    ModelClass.ADAPTER: _adapter,
    ModelClass.DIFFUSERS: _diffusers,
    ModelClass.GGUF: _gguf,
    ModelClass.GGML: _ggml,
    ModelClass.ONNX: _onnx,
    ModelClass.OPENVINO: _openvino,
    ModelClass.TENSORRT_LLM: _tensorrt,
    ModelClass.MLX: _mlx,
    ModelClass.CTRANSLATE2: _ctranslate2,
    ModelClass.NEMO: _nemo,
    ModelClass.SKLEARN: _sklearn,
    ModelClass.XGBOOST: _boosted,
    ModelClass.LIGHTGBM: _boosted,
    ModelClass.CATBOOST: _boosted,
    ModelClass.TENSORFLOW: _tensorflow,
    ModelClass.COREML: _coreml,
}
