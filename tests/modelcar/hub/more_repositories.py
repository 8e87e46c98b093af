"""More shapes of real repositories, from memory: names as they are, sizes rounded.

Each says what has to come of it: the gigabytes that are taken, the class, why it is refused (if it is), and files that
must or must not be among those taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GB, MB, KB = 1_000_000_000, 1_000_000, 1000


@dataclass(frozen=True)
class Shape:
    """A repository and what has to come of it."""

    files: Mapping[str, int]
    gb: float
    model_class: str
    refused: str = ""
    has: Sequence[str] = ()
    lacks: Sequence[str] = ()
    variant: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)


def shards(stem: str, count: int, size: float, suffix: str = "safetensors", *, index: bool = True) -> dict[str, int]:
    folder, _, name = stem.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    found = {f"{prefix}{name}-{n:05}-of-{count:05}.{suffix}": int(size) for n in range(1, count + 1)}
    if index and suffix in ("safetensors", "bin"):
        found[f"{prefix}{name}.{suffix}.index.json"] = 30 * KB
    return found


def texts(*more: str) -> dict[str, int]:
    found = {".gitattributes": 1519, "README.md": 9000, "config.json": 900, "generation_config.json": 180}
    found |= {"tokenizer.json": 9 * MB, "tokenizer_config.json": 50 * KB, "special_tokens_map.json": 400}
    return found | dict.fromkeys(more, 2000)


def pipeline(components: Mapping[str, Mapping[str, float]], index: bool = True) -> dict[str, int]:
    found = {".gitattributes": 1519, "README.md": 9000, "scheduler/scheduler_config.json": 400}
    if index:
        found["model_index.json"] = 600
    for folder, files in components.items():
        found[f"{folder}/config.json"] = 700
        found |= {f"{folder}/{name}": int(size) for name, size in files.items()}
    return found


def _index(**classes: str) -> dict[str, Any]:
    return {"_class_name": "Pipeline", **{name: ["diffusers", kind] for name, kind in classes.items()}}


SHAPES: dict[str, Shape] = {
    # transformers, every framework
    "openai/whisper-tiny": Shape(
        {
            **texts("vocab.json", "merges.txt", "normalizer.json"),
            "model.safetensors": 151 * MB,
            "pytorch_model.bin": 151 * MB,
            "tf_model.h5": 151 * MB,
            "flax_model.msgpack": 151 * MB,
        },
        0.160,
        "transformers",
        lacks=["tf_model.h5", "flax_model.msgpack", "pytorch_model.bin"],
    ),
    "google-t5/t5-base": Shape(
        {
            **texts("spiece.model"),
            "model.safetensors": 892 * MB,
            "pytorch_model.bin": 892 * MB,
            "tf_model.h5": 892 * MB,
            "flax_model.msgpack": 892 * MB,
            "rust_model.ot": 892 * MB,
        },
        0.901,
        "transformers",
    ),
    "google-bert/bert-base-uncased": Shape(
        {
            **texts("vocab.txt"),
            "model.safetensors": 440 * MB,
            "pytorch_model.bin": 440 * MB,
            "tf_model.h5": 536 * MB,
            "flax_model.msgpack": 438 * MB,
            "rust_model.ot": 534 * MB,
            "model.onnx": 532 * MB,
            "coreml/fill-mask/float32_model.mlpackage/Data/com.apple.CoreML/model.mlmodel": 165 * KB,
            "coreml/fill-mask/float32_model.mlpackage/Data/com.apple.CoreML/weights/weight.bin": 532 * MB,
            "coreml/fill-mask/float32_model.mlpackage/Manifest.json": 617,
        },
        0.449,
        "transformers",
        lacks=["model.onnx"],
    ),
    "openai/clip-vit-large-patch14": Shape(
        {
            **texts("vocab.json", "merges.txt", "preprocessor_config.json"),
            "model.safetensors": 1710 * MB,
            "pytorch_model.bin": 1710 * MB,
            "tf_model.h5": 1710 * MB,
            "flax_model.msgpack": 1710 * MB,
        },
        1.719,
        "transformers",
    ),
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": Shape(
        {
            **texts("open_clip_config.json", "preprocessor_config.json"),
            "model.safetensors": 605 * MB,
            "pytorch_model.bin": 605 * MB,
            "open_clip_pytorch_model.bin": 605 * MB,
            "open_clip_model.safetensors": 605 * MB,
        },
        0.614,
        "transformers",
    ),
    "google/flan-t5-xxl": Shape(
        {
            **texts("spiece.model"),
            **shards("model", 5, 9 * GB),
            **shards("pytorch_model", 5, 9 * GB, "bin"),
            **shards("tf_model", 5, 9 * GB, "h5"),
            "tf_model.h5.index.json": 60 * KB,
            **shards("flax_model", 5, 9 * GB, "msgpack"),
            "flax_model.msgpack.index.json": 60 * KB,
        },
        45.01,
        "transformers",
        lacks=["tf_model.h5.index.json", "flax_model.msgpack.index.json"],
    ),
    "microsoft/deberta-v3-base": Shape(
        {
            "README.md": 9000,
            "config.json": 579,
            "tokenizer_config.json": 52,
            "spm.model": 2464616,
            "pytorch_model.bin": 371 * MB,
            "pytorch_model.generator.bin": 149 * MB,
            "tf_model.h5": 736 * MB,
            "rust_model.ot": 737 * MB,
        },
        0.374,
        "transformers",
    ),
    "moonshotai/Kimi-K2-Instruct": Shape(
        {
            **texts("configuration_deepseek.py", "modeling_deepseek.py", "tokenization_kimi.py", "tiktoken.model"),
            **{f"model-{n}-of-61.safetensors": 17 * GB for n in range(1, 62)},
            "model.safetensors.index.json": 10 * MB,
        },
        1037.02,
        "transformers",
    ),
    "Qwen/Qwen3-Next (model.safetensors-0000N)": Shape(
        {
            **texts(),
            **{f"model.safetensors-{n:05}-of-00014.safetensors": 4 * GB for n in range(1, 15)},
            "model.safetensors.index.json": 300 * KB,
        },
        56.01,
        "transformers",
    ),
    "MiniMaxAI/MiniMax-M1 (counts from 0)": Shape(
        {
            **texts(),
            **{f"model-{n:05}-of-00413.safetensors": 2 * GB for n in range(414)},
            "model.safetensors.index.json": MB,
        },
        828.01,
        "transformers",
    ),
    "xai-org/grok-2 (TP files)": Shape(
        {
            **texts(),
            "pytorch_model-00000-TP-common.safetensors": 2 * GB,
            **{f"pytorch_model-{n:05}-TP-{t:03}.safetensors": 12 * GB for n in (1, 2, 3, 4, 5) for t in range(8)},
        },
        482.01,
        "transformers",
        config={"architectures": ["Grok1ForCausalLM"], "model_type": "git"},
    ),
    "meta-llama/Llama-3.1-8B (original)": Shape(
        {
            **texts("LICENSE", "USE_POLICY.md"),
            **shards("model", 4, 4 * GB),
            "original/consolidated.00.pth": 16 * GB,
            "original/params.json": 199,
            "original/tokenizer.model": 2 * MB,
        },
        16.01,
        "transformers",
        lacks=["original/params.json", "original/tokenizer.model"],
    ),
    "openai/gpt-oss-120b": Shape(
        {
            **texts("chat_template.jinja", "LICENSE"),
            **{f"model-{n:05}-of-00014.safetensors": 4350 * MB for n in range(15)},
            "model.safetensors.index.json": 54 * KB,
            "metal/model.bin": 65_238 * MB,
            "original/config.json": 377,
            "original/dtypes.json": 19 * KB,
            **{f"original/model--{n:05}-of-00007.safetensors": 9_320 * MB for n in range(1, 8)},
            "original/model.safetensors.index.json": 38 * KB,
        },
        65.26,
        "transformers",
        lacks=["original/config.json"],
    ),
    "THUDM/chatglm-6b (bin shards)": Shape(
        {**texts("ice_text.model", "modeling_chatglm.py"), **shards("pytorch_model", 8, 1.7 * GB, "bin")},
        13.61,
        "transformers",
        "pickle",
    ),
    "tiiuae/falcon-40b-instruct": Shape(
        {**texts(), **shards("model", 9, 9.3 * GB), **shards("pytorch_model", 9, 9.3 * GB, "bin")},
        83.71,
        "transformers",
    ),
    "CohereForAI/c4ai-command-r-v01": Shape({**texts(), **shards("model", 15, 4.66 * GB)}, 69.91, "transformers"),
    "state-spaces/mamba-2.8b-hf": Shape({**texts(), **shards("model", 3, 3.7 * GB)}, 11.11, "transformers"),
    "state-spaces/mamba-130m (bin only)": Shape(
        {"README.md": 100, "config.json": 200, "pytorch_model.bin": 517 * MB}, 0.517, "transformers", "pickle"
    ),
    "facebook/nllb-200 (bin+safetensors)": Shape(
        {**texts("sentencepiece.bpe.model"), "pytorch_model.bin": 2460 * MB, "model.safetensors": 2460 * MB},
        2.469,
        "transformers",
    ),
    "Qwen/Qwen2.5-Omni-7B (speaker table)": Shape(
        {**texts(), **shards("model", 5, 4.4 * GB), "spk_dict.pt": 259 * KB},
        22.01,
        "transformers",
        "pickle",
        has=["spk_dict.pt"],
    ),
    "Qwen/Qwen3-TTS-12Hz-0.6B": Shape(
        {
            **texts("preprocessor_config.json"),
            "model.safetensors": 1830 * MB,
            "speech_tokenizer/config.json": 2000,
            "speech_tokenizer/model.safetensors": 682 * MB,
            "speech_tokenizer/preprocessor_config.json": 300,
        },
        2.521,
        "transformers",
        has=["speech_tokenizer/model.safetensors"],
    ),
    "stepfun-ai/Step-Audio-2-mini (parts in a folder)": Shape(
        {
            **texts(),
            **shards("model", 7, 2.5 * GB),
            "token2wav/flow.pt": 622 * MB,
            "token2wav/hift.pt": 83 * MB,
            "token2wav/campplus.onnx": 28 * MB,
            "token2wav/speech_tokenizer_v2_25hz.onnx": 496 * MB,
            "token2wav/flow.yaml": 2000,
        },
        18.74,
        "transformers",
        "pickle",
        has=["token2wav/flow.pt", "token2wav/campplus.onnx"],
    ),
    "two precisions by suffix": Shape(
        {**texts(), "model.safetensors": 4 * GB, "model.fp16.safetensors": 2 * GB},
        4.01,
        "transformers",
        lacks=["model.fp16.safetensors"],
    ),
    "two precisions by suffix, fp16 asked for": Shape(
        {**texts(), "model.safetensors": 4 * GB, "model.fp16.safetensors": 2 * GB}, 2.01, "transformers", variant="fp16"
    ),
    "a single file and shards of the same": Shape(
        {**texts(), "model.safetensors": 14 * GB, **shards("model", 3, 4.67 * GB)}, 14.02, "transformers"
    ),
    "zero-size weights": Shape({**texts(), "model.safetensors": 0}, 0.01, "transformers", "not complete"),
    "zero-size safetensors beside whole pickles": Shape(
        {**texts(), "model.safetensors": 0, "pytorch_model.bin": 500 * MB}, 0.51, "transformers", "pickle"
    ),
    "pointers left of shards": Shape({**texts(), **shards("model", 3, 135)}, 0.01, "transformers", "pointer"),
    "last shard is missing": Shape(
        {key: size for key, size in {**texts(), **shards("model", 4, 4 * GB)}.items() if "00004-of" not in key},
        12.01,
        "transformers",
        "not complete",
    ),
    "index names two shards that are not there": Shape(
        {
            **texts(),
            "model-00001-of-00002.safetensors": 4 * GB,
            "model-00002-of-00002.safetensors": 4 * GB,
            "model.safetensors.index.json": 900,
        },
        8.01,
        "transformers",
        "not complete",
        documents={
            "model.safetensors.index.json": {
                "weight_map": {
                    "a": "model-00001-of-00002.safetensors",
                    "b": "model-00002-of-00002.safetensors",
                    "c": "extra.safetensors",
                }
            }
        },
    ),
    "stale shards, the index names the larger set": Shape(
        {**texts(), **shards("model", 4, 3.6 * GB), **shards("model", 2, 7 * GB)},
        14.01,
        "transformers",
        documents={
            "model.safetensors.index.json": {
                "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
            }
        },
        has=["model-00001-of-00002.safetensors"],
        lacks=["model-00001-of-00004.safetensors"],
    ),
    "absurd index": Shape(
        {**texts(), **shards("model", 2, 4 * GB)},
        8.01,
        "transformers",
        documents={
            "model.safetensors.index.json": {"weight_map": {"a": 3, "b": ["x"]}},
            "config.json": {"architectures": 7, "model_type": None},
        },
    ),
    # Mistral
    "mistralai/Mistral-Large-3-675B (consolidated shards only)": Shape(
        {"README.md": 9000, "params.json": 1200, "tekken.json": 17 * MB, **shards("consolidated", 40, 17 * GB)},
        680.02,
        "mistral",
        has=["params.json", "consolidated.safetensors.index.json"],
    ),
    "mistralai/Ministral-3-8B (both, HF tokenizer)": Shape(
        {
            **texts("tekken.json", "params.json", "chat_template.jinja"),
            **shards("model", 4, 2.5 * GB),
            "consolidated.safetensors": 10 * GB,
        },
        10.01,
        "transformers",
        lacks=["params.json"],
    ),
    "mistralai/Voxtral-Mini-3B-2507": Shape(
        {
            "README.md": 9000,
            "config.json": 1357,
            "params.json": 1200,
            "tekken.json": 15 * MB,
            "generation_config.json": 100,
            **shards("model", 2, 4.7 * GB),
            "consolidated.safetensors": 9.35 * GB,
        },
        9.37,
        "mistral",
        has=["params.json", "consolidated.safetensors"],
    ),
    "mistralai/Codestral-22B-v0.1": Shape(
        {
            **texts("params.json", "tokenizer.model.v3"),
            **shards("model", 9, 4.9 * GB),
            "consolidated.safetensors": 44.5 * GB,
        },
        44.11,
        "transformers",
    ),
    # sentence-transformers, rerankers, embeddings
    "BAAI/bge-large-en-v1.5": Shape(
        {
            **texts(
                "modules.json",
                "vocab.txt",
                "sentence_bert_config.json",
                "config_sentence_transformers.json",
                "1_Pooling/config.json",
            ),
            "model.safetensors": 1340 * MB,
            "pytorch_model.bin": 1340 * MB,
            "onnx/model.onnx": 1340 * MB,
        },
        1.349,
        "sentence-transformers",
    ),
    "nomic-ai/nomic-embed-text-v1.5": Shape(
        {
            **texts(
                "modules.json",
                "vocab.txt",
                "sentence_bert_config.json",
                "config_sentence_transformers.json",
                "1_Pooling/config.json",
            ),
            "model.safetensors": 547 * MB,
            "onnx/model.onnx": 547 * MB,
            "onnx/model_fp16.onnx": 274 * MB,
            "onnx/model_int8.onnx": 137 * MB,
            "onnx/model_q4.onnx": 165 * MB,
            "onnx/model_quantized.onnx": 137 * MB,
        },
        0.556,
        "sentence-transformers",
        config={"auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"}},
    ),
    "jinaai/jina-embeddings-v3": Shape(
        {
            **texts("modules.json", "config_sentence_transformers.json", "custom_st.py", "1_Pooling/config.json"),
            "model.safetensors": 1150 * MB,
            "pytorch_model.bin": 1150 * MB,
            "onnx/model.onnx": 2 * MB,
            "onnx/model.onnx_data": 2290 * MB,
            "onnx/model_fp16.onnx": 1150 * MB,
        },
        1.159,
        "sentence-transformers",
    ),
    "BAAI/bge-reranker-v2-m3": Shape(
        {**texts("sentencepiece.bpe.model"), "model.safetensors": 2270 * MB, "assets/llama-index.png": 200 * KB},
        2.279,
        "transformers",
    ),
    "sentence-transformers/all-mpnet-base-v2": Shape(
        {
            **texts("modules.json", "vocab.txt", "1_Pooling/config.json", "train_script.py"),
            "model.safetensors": 438 * MB,
            "pytorch_model.bin": 438 * MB,
            **{f"onnx/{n}.onnx": 438 * MB for n in ("model", "model_O1", "model_O2", "model_O3")},
            "onnx/model_O4.onnx": 219 * MB,
            "onnx/model_qint8_arm64.onnx": 110 * MB,
            "onnx/model_quint8_avx2.onnx": 110 * MB,
            "openvino/openvino_model.bin": 438 * MB,
            "openvino/openvino_model.xml": 400 * KB,
            "openvino/openvino_model_qint8_quantized.bin": 110 * MB,
            "openvino/openvino_model_qint8_quantized.xml": 700 * KB,
        },
        0.447,
        "sentence-transformers",
    ),
    "all-mpnet, ONNX asked for by type": Shape(
        {
            **texts("modules.json", "vocab.txt", "1_Pooling/config.json"),
            "model.safetensors": 438 * MB,
            **{f"onnx/{n}.onnx": 438 * MB for n in ("model", "model_O1")},
            "onnx/model_qint8_arm64.onnx": 110 * MB,
        },
        0.119,
        "onnx",
        variant="qint8_arm64",
        has=["onnx/model_qint8_arm64.onnx", "tokenizer.json"],
    ),
    "all-mpnet, OpenVINO asked for": Shape(
        {
            **texts("modules.json", "1_Pooling/config.json"),
            "model.safetensors": 438 * MB,
            "onnx/model.onnx": 438 * MB,
            "openvino/openvino_model.bin": 438 * MB,
            "openvino/openvino_model.xml": 400 * KB,
        },
        0.447,
        "openvino",
        variant="openvino",
        has=["openvino/openvino_model.xml"],
    ),
    "google/embeddinggemma-300m (two dense modules)": Shape(
        {
            **texts("modules.json", "1_Pooling/config.json", "2_Dense/config.json", "3_Dense/config.json"),
            "model.safetensors": 1210 * MB,
            "2_Dense/model.safetensors": 9440 * KB,
            "3_Dense/model.safetensors": 9440 * KB,
        },
        1.238,
        "sentence-transformers",
        has=["2_Dense/model.safetensors", "3_Dense/model.safetensors"],
    ),
    "sentence-transformers in 0_Transformer": Shape(
        {
            "README.md": 900,
            "modules.json": 300,
            "0_Transformer/config.json": 700,
            "0_Transformer/model.safetensors": 440 * MB,
            "0_Transformer/pytorch_model.bin": 440 * MB,
            "1_Pooling/config.json": 200,
        },
        0.440,
        "sentence-transformers",
        lacks=["0_Transformer/pytorch_model.bin"],
    ),
    # diffusers
    "runwayml/stable-diffusion-v1-5": Shape(
        {
            **pipeline(
                {
                    "unet": {
                        "diffusion_pytorch_model.bin": 3.44 * GB,
                        "diffusion_pytorch_model.fp16.bin": 1.72 * GB,
                        "diffusion_pytorch_model.fp16.safetensors": 1.72 * GB,
                        "diffusion_pytorch_model.non_ema.bin": 3.44 * GB,
                        "diffusion_pytorch_model.non_ema.safetensors": 3.44 * GB,
                        "diffusion_pytorch_model.safetensors": 3.44 * GB,
                    },
                    "vae": {
                        "diffusion_pytorch_model.bin": 335 * MB,
                        "diffusion_pytorch_model.fp16.bin": 167 * MB,
                        "diffusion_pytorch_model.fp16.safetensors": 167 * MB,
                        "diffusion_pytorch_model.safetensors": 335 * MB,
                    },
                    "text_encoder": {
                        "model.safetensors": 492 * MB,
                        "model.fp16.safetensors": 246 * MB,
                        "pytorch_model.bin": 492 * MB,
                        "pytorch_model.fp16.bin": 246 * MB,
                    },
                    "safety_checker": {
                        "model.safetensors": 1.22 * GB,
                        "model.fp16.safetensors": 608 * MB,
                        "pytorch_model.bin": 1.22 * GB,
                        "pytorch_model.fp16.bin": 608 * MB,
                    },
                }
            ),
            "v1-5-pruned.ckpt": int(7.7 * GB),
            "v1-5-pruned.safetensors": int(7.7 * GB),
            "v1-5-pruned-emaonly.ckpt": int(4.27 * GB),
            "v1-5-pruned-emaonly.safetensors": int(4.27 * GB),
            "v1-inference.yaml": 1873,
            "tokenizer/vocab.json": MB,
            "feature_extractor/preprocessor_config.json": 342,
        },
        5.49,
        "diffusers",
    ),
    "SD 1.5, fp16 asked for": Shape(
        pipeline(
            {
                "unet": {
                    "diffusion_pytorch_model.safetensors": 3.44 * GB,
                    "diffusion_pytorch_model.fp16.safetensors": 1.72 * GB,
                },
                "vae": {"diffusion_pytorch_model.safetensors": 335 * MB},
                "text_encoder": {"model.safetensors": 492 * MB, "model.fp16.safetensors": 246 * MB},
            }
        ),
        2.30,
        "diffusers",
        variant="fp16",
    ),
    "black-forest-labs/FLUX.1-dev": Shape(
        {
            **pipeline(
                {
                    "transformer": shards("diffusion_pytorch_model", 3, 7.93 * GB),
                    "text_encoder": {"model.safetensors": 246 * MB},
                    "text_encoder_2": shards("model", 2, 4.76 * GB),
                    "vae": {"diffusion_pytorch_model.safetensors": 168 * MB},
                }
            ),
            "flux1-dev.safetensors": int(23.8 * GB),
            "ae.safetensors": 335 * MB,
            "LICENSE.md": 18 * KB,
            "dev_grid.jpg": 3 * MB,
            "tokenizer/merges.txt": 525 * KB,
            "tokenizer_2/spiece.model": 792 * KB,
        },
        33.73,
        "diffusers",
        lacks=["flux1-dev.safetensors", "ae.safetensors"],
        has=["tokenizer_2/spiece.model"],
    ),
    "black-forest-labs/FLUX.1-schnell, index readable": Shape(
        {
            **pipeline(
                {
                    "transformer": shards("diffusion_pytorch_model", 3, 7.93 * GB),
                    "text_encoder": {"model.safetensors": 246 * MB},
                    "text_encoder_2": shards("model", 2, 4.76 * GB),
                    "vae": {"diffusion_pytorch_model.safetensors": 168 * MB},
                    "transformer_old": {"diffusion_pytorch_model.safetensors": 23 * GB},
                }
            ),
            "flux1-schnell.safetensors": int(23.8 * GB),
            "ae.safetensors": 335 * MB,
        },
        33.72,
        "diffusers",
        lacks=["transformer_old/diffusion_pytorch_model.safetensors"],
        documents={
            "model_index.json": _index(
                transformer="FluxTransformer2DModel",
                text_encoder="CLIPTextModel",
                text_encoder_2="T5EncoderModel",
                vae="AutoencoderKL",
                scheduler="S",
            )
        },
    ),
    "stabilityai/stable-diffusion-3.5-large": Shape(
        {
            **pipeline(
                {
                    "transformer": shards("diffusion_pytorch_model", 2, 8.1 * GB),
                    "text_encoder": {"model.safetensors": 247 * MB, "model.fp16.safetensors": 247 * MB},
                    "text_encoder_2": {"model.safetensors": 1.39 * GB, "model.fp16.safetensors": 1.39 * GB},
                    "text_encoder_3": {
                        **shards("model", 2, 4.76 * GB),
                        **{f"model.fp16-{n:05}-of-00002.safetensors": int(4.76 * GB) for n in (1, 2)},
                        "model.safetensors.index.fp16.json": 20 * KB,
                    },
                    "vae": {"diffusion_pytorch_model.safetensors": 168 * MB},
                }
            ),
            "sd3.5_large.safetensors": int(16.5 * GB),
            "text_encoders/clip_g.safetensors": int(1.39 * GB),
            "text_encoders/clip_l.safetensors": 246 * MB,
            "text_encoders/t5xxl_fp16.safetensors": int(9.79 * GB),
            "text_encoders/t5xxl_fp8_e4m3fn.safetensors": int(4.89 * GB),
        },
        27.53,
        "diffusers",
        lacks=["text_encoders/clip_g.safetensors", "text_encoder_3/model.safetensors.index.fp16.json"],
    ),
    "stabilityai/stable-diffusion-3-medium (single files)": Shape(
        {
            "README.md": 9000,
            "LICENSE.md": 18 * KB,
            "sd3_medium.safetensors": int(4.34 * GB),
            "sd3_medium_incl_clips.safetensors": int(5.97 * GB),
            "sd3_medium_incl_clips_t5xxlfp16.safetensors": int(15.8 * GB),
            "sd3_medium_incl_clips_t5xxlfp8.safetensors": int(10.9 * GB),
            "text_encoders/clip_g.safetensors": int(1.39 * GB),
            "text_encoders/clip_l.safetensors": 246 * MB,
            "text_encoders/t5xxl_fp16.safetensors": int(9.79 * GB),
            "text_encoders/t5xxl_fp8_e4m3fn.safetensors": int(4.89 * GB),
        },
        0,
        "other",
        "chosen",
    ),
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": Shape(
        pipeline(
            {
                "transformer": shards("diffusion_pytorch_model", 12, 4.8 * GB),
                "text_encoder": shards("model", 5, 4.5 * GB),
                "vae": {"diffusion_pytorch_model.safetensors": 508 * MB},
            }
        )
        | {"assets/video.mp4": 4 * MB},
        80.61,
        "diffusers",
    ),
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers (two transformers)": Shape(
        pipeline(
            {
                "transformer": shards("diffusion_pytorch_model", 12, 4.8 * GB),
                "transformer_2": shards("diffusion_pytorch_model", 12, 4.8 * GB),
                "text_encoder": shards("model", 3, 3.8 * GB),
                "vae": {"diffusion_pytorch_model.safetensors": 508 * MB},
            }
        ),
        127.11,
        "diffusers",
    ),
    "Wan-AI/Wan2.2-T2V-A14B (its own form)": Shape(
        {
            "README.md": 9000,
            "configuration.json": 43,
            "high_noise_model/config.json": 250,
            "low_noise_model/config.json": 250,
            **shards("high_noise_model/diffusion_pytorch_model", 6, 9.5 * GB),
            **shards("low_noise_model/diffusion_pytorch_model", 6, 9.5 * GB),
            "Wan2.1_VAE.pth": 508 * MB,
            "models_t5_umt5-xxl-enc-bf16.pth": int(11.4 * GB),
            "google/umt5-xxl/tokenizer.json": 17 * MB,
        },
        125.93,
        "other",
        "pickle",
        has=["Wan2.1_VAE.pth", "low_noise_model/config.json"],
    ),
    "diffusers with fp16 alone": Shape(
        pipeline(
            {
                "unet": {"diffusion_pytorch_model.fp16.safetensors": 1.72 * GB},
                "vae": {"diffusion_pytorch_model.fp16.safetensors": 167 * MB},
                "text_encoder": {"model.fp16.safetensors": 246 * MB},
            }
        ),
        2.13,
        "diffusers",
    ),
    "diffusers in ONNX alone": Shape(
        pipeline(
            {
                "unet": {"model.onnx": 2 * MB, "weights.pb": 3.4 * GB},
                "vae_decoder": {"model.onnx": 198 * MB},
                "vae_encoder": {"model.onnx": 137 * MB},
                "text_encoder": {"model.onnx": 492 * MB},
            }
        ),
        4.23,
        "onnx",
    ),
    "a ControlNet": Shape(
        {
            "README.md": 900,
            "config.json": 900,
            "diffusion_pytorch_model.safetensors": 1.45 * GB,
            "diffusion_pytorch_model.bin": 1.45 * GB,
            "diffusion_pytorch_model.fp16.safetensors": 723 * MB,
            "diffusion_pytorch_model.fp16.bin": 723 * MB,
            "images/a.png": MB,
        },
        1.451,
        "diffusers",
    ),
    "a LoRA of diffusers": Shape(
        {"README.md": 900, "pytorch_lora_weights.safetensors": 23 * MB, "image_0.png": MB},
        0.024,
        "adapter",
        card={"library_name": "diffusers", "base_model": "stabilityai/stable-diffusion-xl-base-1.0"},
    ),
    # adapters
    "an adapter in pickles": Shape(
        {"README.md": 900, "adapter_config.json": 600, "adapter_model.bin": 33 * MB}, 0.033, "adapter", "pickle"
    ),
    "an adapter in both": Shape(
        {
            "README.md": 900,
            "adapter_config.json": 600,
            "adapter_model.bin": 33 * MB,
            "adapter_model.safetensors": 33 * MB,
            "optimizer.pt": 66 * MB,
            "checkpoint-100/adapter_model.safetensors": 33 * MB,
            "checkpoint-100/adapter_config.json": 600,
        },
        0.033,
        "adapter",
    ),
    "two adapters in folders": Shape(
        {
            "README.md": 900,
            "a/adapter_config.json": 600,
            "a/adapter_model.safetensors": 33 * MB,
            "b/adapter_config.json": 600,
            "b/adapter_model.safetensors": 33 * MB,
        },
        0.066,
        "adapter",
    ),
    # GGUF
    "bartowski/Llama-3.2-3B-Instruct-GGUF": Shape(
        {
            "README.md": 9000,
            "Llama-3.2-3B-Instruct.imatrix": 3 * MB,
            **{
                f"Llama-3.2-3B-Instruct-{q}.gguf": int(s * GB)
                for q, s in {
                    "IQ3_M": 1.6,
                    "IQ4_XS": 1.8,
                    "Q3_K_XL": 1.9,
                    "Q4_0": 1.9,
                    "Q4_0_4_4": 1.9,
                    "Q4_K_L": 2.1,
                    "Q4_K_M": 2.0,
                    "Q4_K_S": 1.9,
                    "Q5_K_M": 2.3,
                    "Q6_K": 2.6,
                    "Q6_K_L": 2.7,
                    "Q8_0": 3.4,
                    "f16": 6.4,
                }.items()
            },
        },
        2.0,
        "gguf",
        "chosen",
        lacks=["Llama-3.2-3B-Instruct.imatrix"],
    ),
    "TheBloke/Llama-2-7B-Chat-GGUF": Shape(
        {
            "README.md": 9000,
            "config.json": 30,
            "LICENSE.txt": 7000,
            **{
                f"llama-2-7b-chat.{q}.gguf": int(s * GB)
                for q, s in {"Q2_K": 2.8, "Q3_K_M": 3.3, "Q4_0": 3.8, "Q4_K_M": 4.1, "Q5_K_M": 4.8, "Q8_0": 7.2}.items()
            },
        },
        4.1,
        "gguf",
        "chosen",
    ),
    "the same, Q8_0 asked for in small letters": Shape(
        {
            "README.md": 9000,
            **{f"llama-2-7b-chat.{q}.gguf": int(s * GB) for q, s in {"Q2_K": 2.8, "Q4_K_M": 4.1, "Q8_0": 7.2}.items()},
        },
        7.2,
        "gguf",
        variant="q8_0",
    ),
    "Qwen/Qwen2.5-7B-Instruct-GGUF (split files)": Shape(
        {
            "README.md": 9000,
            **{f"qwen2.5-7b-instruct-q4_k_m-{n:05}-of-00002.gguf": int(2.3 * GB) for n in (1, 2)},
            **{f"qwen2.5-7b-instruct-q8_0-{n:05}-of-00003.gguf": int(2.7 * GB) for n in (1, 2, 3)},
            "qwen2.5-7b-instruct-q2_k.gguf": 3 * GB,
        },
        4.6,
        "gguf",
        "chosen",
    ),
    "unsloth/gemma-3-4b-it-GGUF (three projectors)": Shape(
        {
            "README.md": 9000,
            "config.json": 900,
            **{f"gemma-3-4b-it-{q}.gguf": int(s * GB) for q, s in {"Q4_K_M": 2.5, "Q8_0": 4.1, "BF16": 7.8}.items()},
            "mmproj-BF16.gguf": 851 * MB,
            "mmproj-F16.gguf": 851 * MB,
            "mmproj-F32.gguf": 1680 * MB,
        },
        3.35,
        "gguf",
        "chosen",
        has=["mmproj-F16.gguf"],
        lacks=["mmproj-F32.gguf"],
    ),
    "unsloth/Qwen3-235B-A22B-GGUF (folders)": Shape(
        {
            "README.md": 9000,
            **{
                f"{q}/Qwen3-235B-A22B-{q}-{n:05}-of-{c:05}.gguf": int(47 * GB)
                for q, c in {"Q4_K_M": 3, "UD-Q4_K_XL": 3, "Q8_0": 6, "BF16": 10}.items()
                for n in range(1, c + 1)
            },
            "Qwen3-235B-A22B-UD-TQ1_0.gguf": 54 * GB,
        },
        141,
        "gguf",
        "chosen",
    ),
    "a GGUF whose second part is missing": Shape(
        {"README.md": 9000, "m-Q4_K_M-00001-of-00002.gguf": 4 * GB}, 4, "gguf", "not complete"
    ),
    "ggml-org/gpt-oss-20b-GGUF": Shape({"README.md": 9000, "gpt-oss-20b-mxfp4.gguf": int(12.1 * GB)}, 12.1, "gguf"),
    "microsoft/bitnet-b1.58-2B-4T-gguf": Shape(
        {"README.md": 9000, "ggml-model-i2_s.gguf": int(1.19 * GB), "data_summary_card.md": 2000}, 1.19, "gguf"
    ),
    "Phi-3-mini-4k-instruct-gguf": Shape(
        {
            "README.md": 9000,
            "Phi-3-mini-4k-instruct-fp16.gguf": int(7.6 * GB),
            "Phi-3-mini-4k-instruct-q4.gguf": int(2.4 * GB),
            "Modelfile_q4": 200,
        },
        2.4,
        "gguf",
        "chosen",
    ),
    "OuteTTS-GGUF with a vocoder": Shape(
        {
            "README.md": 9,
            "OuteTTS-0.2-500M-Q4_K_M.gguf": 400 * MB,
            "OuteTTS-0.2-500M-Q8_0.gguf": 560 * MB,
            "WavTokenizer-Large-75-F16.gguf": 124 * MB,
        },
        0.524,
        "gguf",
        "chosen",
    ),
    "ggerganov/whisper.cpp": Shape(
        {
            "README.md": 9,
            **{
                f"ggml-{n}.bin": s * MB
                for n, s in {
                    "tiny": 78,
                    "base": 148,
                    "base.en": 148,
                    "small": 488,
                    "large-v3": 3100,
                    "large-v3-q5_0": 1080,
                }.items()
            },
            "ggml-base-encoder.mlmodelc.zip": 38 * MB,
        },
        0,
        "ggml",
        "chosen",
    ),
    "TheBloke/goliath-120b-GGUF (pieces)": Shape(
        {
            "README.md": 9000,
            "goliath-120b.Q2_K.gguf": 49 * GB,
            "goliath-120b.Q6_K.gguf-split-a": 48 * GB,
            "goliath-120b.Q6_K.gguf-split-b": 48 * GB,
        },
        96,
        "gguf",
        variant="Q6_K",
    ),
    "llama 2 in GGML": Shape(
        {
            "README.md": 9000,
            "config.json": 30,
            "llama-2-7b.ggmlv3.q4_0.bin": 3800 * MB,
            "llama-2-7b.ggmlv3.q8_0.bin": 7100 * MB,
        },
        3.8,
        "ggml",
        "chosen",
    ),
    # quantized
    "casperhansen/llama-3-8b-instruct-awq": Shape({**texts(), **shards("model", 2, 2.9 * GB)}, 5.81, "transformers"),
    "TheBloke/Llama-2-7B-GPTQ": Shape(
        {**texts("quantize_config.json"), "model.safetensors": int(3.9 * GB)}, 3.91, "transformers"
    ),
    "an old GPTQ name": Shape(
        {**texts("quantize_config.json"), "gptq_model-4bit-128g.safetensors": int(3.9 * GB)}, 3.91, "transformers"
    ),
    "unsloth/llama-3-8b-bnb-4bit": Shape({**texts(), "model.safetensors": int(5.7 * GB)}, 5.71, "transformers"),
    "turboderp/Llama-3-8B-exl2 (branches)": Shape(
        {"README.md": 900, ".gitattributes": 1519, "measurement.json": 800 * KB}, 0, "none", "no weights"
    ),
    "an EXL2 branch": Shape(
        {**texts(), "output.safetensors": int(4.9 * GB), "measurement.json": 800 * KB},
        4.91,
        "transformers",
        config={"model_type": "llama"},
    ),
    "nvidia/Llama-3.1-8B-Instruct-FP8": Shape(
        {**texts("hf_quant_config.json"), **shards("model", 2, 4.5 * GB)}, 9.01, "transformers"
    ),
    "mlx-community/whisper-large-v3-mlx": Shape(
        {"README.md": 9, "config.json": 300, "weights.npz": int(3.1 * GB)}, 3.1, "mlx"
    ),
    # ONNX, OpenVINO, engines
    "onnx-community/Llama-3.2-1B-Instruct": Shape(
        {
            **texts(),
            "onnx/model.onnx": 200 * KB,
            "onnx/model.onnx_data": int(4.9 * GB),
            "onnx/model_fp16.onnx": 300 * KB,
            "onnx/model_fp16.onnx_data": int(2.5 * GB),
            "onnx/model_q4.onnx": int(1.7 * GB),
            "onnx/model_q4f16.onnx": int(1.1 * GB),
            "onnx/model_int8.onnx": int(1.2 * GB),
            "onnx/model_quantized.onnx": int(1.2 * GB),
        },
        4.91,
        "onnx",
        "chosen",
        has=["onnx/model.onnx_data"],
        lacks=["onnx/model_fp16.onnx_data"],
    ),
    "the same, fp16 asked for": Shape(
        {
            **texts(),
            "onnx/model.onnx": 200 * KB,
            "onnx/model.onnx_data": int(4.9 * GB),
            "onnx/model_fp16.onnx": 300 * KB,
            "onnx/model_fp16.onnx_data": int(2.5 * GB),
        },
        2.51,
        "onnx",
        variant="fp16",
        has=["onnx/model_fp16.onnx_data"],
        lacks=["onnx/model.onnx_data"],
    ),
    "Xenova/whisper-small (encoder and decoders)": Shape(
        {
            **texts(),
            **{
                f"onnx/{n}{v}.onnx": int(s * k * MB)
                for n, s in {
                    "encoder_model": 353,
                    "decoder_model": 615,
                    "decoder_with_past_model": 558,
                    "decoder_model_merged": 617,
                }.items()
                for v, k in {"": 1, "_fp16": 0.5, "_quantized": 0.25}.items()
            },
        },
        0.979,
        "onnx",
        "chosen",
        has=["onnx/encoder_model.onnx", "onnx/decoder_model_merged.onnx"],
        lacks=["onnx/decoder_model.onnx"],
    ),
    "insightface (several graphs, one model)": Shape(
        {
            "README.md": 9,
            "det_10g.onnx": 17 * MB,
            "w600k_r50.onnx": 174 * MB,
            "2d106det.onnx": 5 * MB,
            "genderage.onnx": 1.3 * MB,
            "1k3d68.onnx": 143 * MB,
        },
        0.340,
        "onnx",
    ),
    "onnx genai at the top": Shape(
        {**texts("genai_config.json"), "model.onnx": 300 * KB, "model.onnx.data": int(2.2 * GB)},
        2.21,
        "onnx",
        has=["model.onnx.data"],
    ),
    "microsoft/Phi-3.5-vision-onnx (three graphs in each folder)": Shape(
        {
            "README.md": 9,
            **{
                f"{f}/{g}": int(s * GB)
                for f in ("cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4", "gpu/gpu-int4-rtn-block-32")
                for g, s in {
                    "phi-3.5-v-instruct-embedding.onnx": 0.001,
                    "phi-3.5-v-instruct-embedding.onnx.data": 0.2,
                    "phi-3.5-v-instruct-text.onnx": 0.001,
                    "phi-3.5-v-instruct-text.onnx.data": 2.2,
                    "phi-3.5-v-instruct-vision.onnx": 0.001,
                    "phi-3.5-v-instruct-vision.onnx.data": 0.7,
                }.items()
            },
            "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4/genai_config.json": 2000,
            "gpu/gpu-int4-rtn-block-32/genai_config.json": 2000,
        },
        3.103,
        "onnx",
        "chosen",
        has=["gpu/gpu-int4-rtn-block-32/genai_config.json"],
    ),
    "OpenVINO/stable-diffusion-v1-5-int8-ov": Shape(
        pipeline(
            {
                "unet": {"openvino_model.bin": 860 * MB, "openvino_model.xml": 9 * MB},
                "vae_decoder": {"openvino_model.bin": 99 * MB, "openvino_model.xml": MB},
                "vae_encoder": {"openvino_model.bin": 68 * MB, "openvino_model.xml": MB},
                "text_encoder": {"openvino_model.bin": 123 * MB, "openvino_model.xml": MB},
                "tokenizer": {"openvino_tokenizer.bin": MB, "openvino_tokenizer.xml": 30 * KB},
            }
        ),
        1.163,
        "openvino",
        has=["vae_decoder/openvino_model.xml", "tokenizer/openvino_tokenizer.bin"],
    ),
    "OpenVINO in int4 and int8 folders": Shape(
        {
            "README.md": 9,
            **{f"{f}/{n}": s for f, s in {"int4": 4 * GB, "int8": 8 * GB}.items() for n in ("openvino_model.bin",)},
            "int4/openvino_model.xml": MB,
            "int8/openvino_model.xml": MB,
            "int4/config.json": 900,
            "int8/config.json": 900,
        },
        4.0,
        "openvino",
        "chosen",
    ),
    "a TensorRT engine in a Triton folder": Shape(
        {"model/config.pbtxt": 600, "model/1/model.plan": GB}, 1.0, "tensorrt-llm"
    ),
    # CTranslate2, NeMo
    "Systran/faster-whisper-large-v3": Shape(
        {
            "README.md": 9,
            "config.json": 2400,
            "model.bin": int(3.09 * GB),
            "preprocessor_config.json": 340,
            "tokenizer.json": 2.5 * MB,
            "vocabulary.json": MB,
        },
        3.093,
        "ctranslate2",
    ),
    "nvidia/canary-1b": Shape({"README.md": 9, "canary-1b.nemo": int(4.1 * GB)}, 4.1, "nemo", "pickle"),
    "nvidia/parakeet with both forms": Shape(
        {
            "README.md": 9,
            "config.json": 900,
            "model.safetensors": int(2.4 * GB),
            "parakeet-tdt-0.6b-v3.nemo": int(2.5 * GB),
        },
        2.4,
        "transformers",
    ),
    # classic, spaCy, others
    "sklearn, joblib": Shape({"README.md": 9, "model.joblib": 2 * MB}, 0.002, "sklearn", "pickle"),
    "sklearn, skops": Shape({"README.md": 9, "config.json": 900, "model.skops": 2 * MB}, 0.002, "sklearn"),
    "sklearn in both forms": Shape(
        {"README.md": 9, "model.skops": 2 * MB, "model.pkl": 2 * MB}, 0.002, "sklearn", lacks=["model.pkl"]
    ),
    "xgboost, ubj": Shape({"README.md": 9, "model.ubj": 2 * MB}, 0.002, "xgboost"),
    "xgboost, JSON": Shape({"README.md": 9, "xgboost_model.json": 2 * MB}, 0.002, "xgboost"),
    "lightgbm, text": Shape({"README.md": 9, "lightgbm_model.txt": 2 * MB}, 0.002, "lightgbm"),
    "spacy/en_core_web_sm": Shape(
        {
            "README.md": 9,
            "en_core_web_sm-any-py3-none-any.whl": 13 * MB,
            "config.cfg": 6000,
            "meta.json": 9000,
            "ner/model": 6 * MB,
            "ner/moves": 900,
            "tagger/model": 300 * KB,
            "tok2vec/model": 6 * MB,
            "vocab/strings.json": 800 * KB,
            "vocab/lookups.bin": 70 * KB,
            "vocab/vectors": 128,
            "lemmatizer/lookups/lookups.bin": 970 * KB,
            "attribute_ruler/patterns": 14 * KB,
        },
        0.027,
        "other",
    ),
    "timm, safetensors and bin": Shape(
        {"README.md": 9, "config.json": 600, "model.safetensors": 346 * MB, "pytorch_model.bin": 346 * MB},
        0.346,
        "other",
        card={"library_name": "timm"},
    ),
    "facebook/sam2 (several sizes of pickles)": Shape(
        {"README.md": 9, "sam2_hiera_large.pt": 898 * MB, "sam2_hiera_l.yaml": 4000}, 0.898, "other", "pickle"
    ),
    "coqui/XTTS-v2": Shape(
        {
            "README.md": 9,
            "config.json": 4300,
            "model.pth": int(1.87 * GB),
            "dvae.pth": 211 * MB,
            "mel_stats.pth": 1067,
            "speakers_xtts.pth": 7.7 * MB,
            "vocab.json": 361 * KB,
            "hash.md5": 32,
            "samples/en_sample.wav": 400 * KB,
        },
        2.09,
        "transformers",
        "pickle",
        has=["speakers_xtts.pth"],
    ),
    "onnx-community/Kokoro-82M-v1.0-ONNX": Shape(
        {
            "README.md": 9,
            "config.json": 44,
            "tokenizer.json": 3000,
            "onnx/model.onnx": 326 * MB,
            "onnx/model_fp16.onnx": 163 * MB,
            "onnx/model_q8f16.onnx": 86 * MB,
            "onnx/model_quantized.onnx": 92 * MB,
            **{f"voices/v{n}.bin": 522 * KB for n in range(54)},
        },
        0.354,
        "onnx",
        "chosen",
        has=["voices/v3.bin"],
    ),
    "FunAudioLLM/CosyVoice2-0.5B": Shape(
        {
            "README.md": 9,
            "cosyvoice2.yaml": 7000,
            "llm.pt": int(2.02 * GB),
            "flow.pt": 450 * MB,
            "hift.pt": 83 * MB,
            "campplus.onnx": 28 * MB,
            "speech_tokenizer_v2.onnx": 496 * MB,
            "flow.decoder.estimator.fp32.onnx": 286 * MB,
            "CosyVoice-BlankEN/model.safetensors": 988 * MB,
            "CosyVoice-BlankEN/config.json": 600,
        },
        4.351,
        "other",
        "pickle",
        has=["campplus.onnx", "speech_tokenizer_v2.onnx", "CosyVoice-BlankEN/config.json"],
    ),
    "facebook/fasttext-language-identification": Shape(
        {"README.md": 9, "model.bin": int(1.18 * GB)}, 1.18, "other", "pickle", card={"library_name": "fasttext"}
    ),
    "sb3/ppo-LunarLander-v2": Shape(
        {
            "README.md": 9,
            "ppo-LunarLander-v2.zip": 147 * KB,
            "config.json": 14 * KB,
            "replay.mp4": 250 * KB,
            "results.json": 160,
        },
        0.0004,
        "other",
    ),
    # TensorFlow, Flax, Keras
    "a SavedModel": Shape(
        {
            "README.md": 9,
            "saved_model/saved_model.pb": 3 * MB,
            "saved_model/variables/variables.data-00000-of-00001": 90 * MB,
            "saved_model/variables/variables.index": 9000,
            "saved_model/keras_metadata.pb": 9000,
        },
        0.093,
        "tensorflow",
    ),
    "a SavedModel at the top": Shape(
        {
            "README.md": 9,
            "saved_model.pb": 3 * MB,
            "variables/variables.data-00000-of-00001": 90 * MB,
            "variables/variables.index": 9000,
        },
        0.093,
        "tensorflow",
    ),
    "keras": Shape(
        {"README.md": 9, "config.json": 900, "metadata.json": 100, "model.weights.h5": 90 * MB},
        0.09,
        "tensorflow",
        card={"library_name": "keras"},
    ),
    "flax alone": Shape({**texts(), "flax_model.msgpack": 500 * MB}, 0.509, "transformers"),
    "distil-whisper/distil-large-v2": Shape(
        {
            **texts("vocab.json"),
            "model.safetensors": 1510 * MB,
            "model.fp32-00001-of-00001.safetensors": 3030 * MB,
            "model.safetensors.index.fp32.json": 90 * KB,
            "original-model.bin": 3030 * MB,
            "ggml-large-32-2.en.bin": 1520 * MB,
            "flax_model.msgpack": 3030 * MB,
            "onnx/encoder_model.onnx": 2500 * MB,
        },
        1.52,
        "transformers",
    ),
    "kyutai/moshiko-pytorch-bf16": Shape(
        {
            "README.md": 9,
            "model.safetensors": int(15.4 * GB),
            "tokenizer-e351c8d8-checkpoint125.safetensors": 385 * MB,
            "tokenizer_spm_32k_3.model": 553 * KB,
        },
        15.78,
        "other",
        has=["tokenizer-e351c8d8-checkpoint125.safetensors"],
    ),
    "microsoft/Phi-4-multimodal-instruct (adapters that are needed)": Shape(
        {
            **texts("modeling_phi4mm.py"),
            **shards("model", 3, 3.7 * GB),
            "speech-lora/adapter_config.json": 700,
            "speech-lora/adapter_model.safetensors": 922 * MB,
            "vision-lora/adapter_config.json": 700,
            "vision-lora/adapter_model.safetensors": 738 * MB,
        },
        12.77,
        "transformers",
        has=["vision-lora/adapter_model.safetensors"],
    ),
    "intfloat/e5-mistral-7b-instruct (an adapter that is not)": Shape(
        {
            **texts("modules.json", "1_Pooling/config.json"),
            **shards("model", 2, 7.1 * GB),
            "lora/adapter_config.json": 600,
            "lora/adapter_model.bin": 84 * MB,
            "onnx/model.onnx": 2 * MB,
            "onnx/model.onnx_data": 14 * GB,
        },
        14.21,
        "sentence-transformers",
        lacks=["lora/adapter_model.bin"],
    ),
    "google/gemma-2b (GGUF at the top)": Shape(
        {**texts(), **shards("model", 2, 2.5 * GB), "gemma-2b.gguf": 10 * GB}, 5.01, "transformers"
    ),
    "tencent/HunyuanVideo (its own form)": Shape(
        {
            "README.md": 9,
            "config.json": 90,
            "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.pt": int(25.6 * GB),
            "hunyuan-video-t2v-720p/vae/pytorch_model.pt": 986 * MB,
            "hunyuan-video-t2v-720p/vae/config.json": 700,
        },
        26.586,
        "other",
        "pickle",
        has=["hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.pt"],
    ),
    "a NeMo 2 checkpoint": Shape(
        {
            "README.md": 9,
            "context/model.yaml": 9000,
            "context/nemo_tokenizer/tokenizer.json": MB,
            "weights/.metadata": 90 * KB,
            "weights/common.pt": 9000,
            "weights/metadata.json": 90,
            **{f"weights/__{n}_0.distcp": 4 * GB for n in range(4)},
        },
        16.0,
        "nemo",
        "pickle",
    ),
    # leftovers
    "DeepSpeed leftovers": Shape(
        {
            **texts("zero_to_fp32.py", "latest", "trainer_state.json"),
            **shards("model", 2, 4 * GB),
            **{f"global_step300/bf16_zero_pp_rank_{n}_mp_rank_00_optim_states.pt": 9 * GB for n in range(8)},
            "global_step300/mp_rank_00_model_states.pt": 8 * GB,
            **{f"rng_state_{n}.pth": 15 * KB for n in range(8)},
            "training_args.bin": 7000,
        },
        8.01,
        "transformers",
    ),
    "FSDP leftovers": Shape(
        {
            **texts(),
            "model.safetensors": 2 * GB,
            "pytorch_model_fsdp_0/__0_0.distcp": GB,
            "pytorch_model_fsdp_0/.metadata": 9000,
            "optimizer_0/__0_0.distcp": 2 * GB,
            "scheduler.pt": 900,
        },
        2.01,
        "transformers",
    ),
    "checkpoints alone": Shape(
        {
            "README.md": 9,
            **{
                f"checkpoint-{n}/{f}": s
                for n in (500, 1000)
                for f, s in {
                    "model.safetensors": GB,
                    "config.json": 900,
                    "optimizer.pt": 2 * GB,
                    "tokenizer.json": MB,
                    "training_args.bin": 6000,
                }.items()
            },
        },
        1.001,
        "transformers",
        "chosen",
        has=["checkpoint-1000/model.safetensors"],
        lacks=["checkpoint-1000/optimizer.pt"],
    ),
    "tensorboard and wandb": Shape(
        {
            **texts(),
            "model.safetensors": GB,
            "runs/x/events.out.tfevents.1": 90 * MB,
            "wandb/run/files/output.log": 90 * MB,
            "logs/events.out.tfevents.2": 90 * MB,
        },
        1.01,
        "transformers",
    ),
    "a data set": Shape(
        {"README.md": 9, "data/train-00000-of-00001.parquet": 900 * MB, "test.csv": 90 * MB, "images/a.png": MB},
        0,
        "none",
        "no weights",
    ),
    "a tokenizer alone": Shape({**texts("tokenizer.model")}, 0, "none", "no weights"),
    "a model beside its data": Shape(
        {**texts(), "model.safetensors": GB, "data/train.parquet": GB}, 1.01, "transformers"
    ),
    "only a training_args.bin": Shape(
        {"README.md": 9, "config.json": 900, "training_args.bin": 6000}, 0, "none", "no weights"
    ),
    # collections
    "several sizes in folders": Shape(
        {
            "README.md": 9,
            **{
                f"{n}/{f}": s
                for n, k in {"7b": 14, "13b": 26}.items()
                for f, s in {"config.json": 900, "model.safetensors": k * GB}.items()
            },
        },
        14,
        "transformers",
        "chosen",
    ),
    "4-bit beside full in folders": Shape(
        {**texts(), "model.safetensors": 14 * GB, "int4/config.json": 900, "int4/model.safetensors": 4 * GB},
        14.01,
        "transformers",
        lacks=["int4/config.json"],
    ),
    "weights in one folder": Shape(
        {
            "README.md": 9,
            "weights/config.json": 900,
            "weights/model.safetensors": 4 * GB,
            "weights/pytorch_model.bin": 4 * GB,
        },
        4.0,
        "transformers",
        has=["weights/config.json"],
    ),
}
