"""Shapes of further real repositories, many of them of the last two years: names as they are, sizes rounded."""

from tests.modelcar.hub.more_repositories import GB, KB, MB, Shape, pipeline, shards, texts

_ST = {"modules.json": 349, "sentence_bert_config.json": 53, "config_sentence_transformers.json": 123}
_POOLING = {**_ST, "1_Pooling/config.json": 190}
_ONNX_TYPES = ("", "_fp16", "_int8", "_q4", "_q4f16", "_quantized", "_uint8", "_bnb4")


def _modules(*paths: str) -> dict[str, object]:
    return {"modules.json": [{"idx": n, "path": path, "type": "x"} for n, path in enumerate(paths)]}


def _ggufs(stem: str, sizes: dict[str, float]) -> dict[str, int]:
    return {f"{stem}-{name}.gguf": int(size * GB) for name, size in sizes.items()}


NEWER: dict[str, Shape] = {
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8": Shape(
        {**texts("chat_template.jinja", "preprocessor_config.json"), **shards("model", 84, 4.9 * GB)},
        411,
        "transformers",
    ),
    "Qwen/Qwen3-VL-8B-Instruct": Shape(
        {
            **texts("vocab.json", "merges.txt", "preprocessor_config.json", "video_preprocessor_config.json"),
            **shards("model", 4, 4.4 * GB),
        },
        17.6,
        "transformers",
        has=["video_preprocessor_config.json"],
    ),
    "deepseek-ai/DeepSeek-V3.1": Shape(
        {
            **texts("configuration_deepseek.py", "modeling_deepseek.py", "assets/chat_template.jinja"),
            **{f"model-{n:05}-of-000163.safetensors": 4_300 * MB for n in range(1, 164)},
            "model.safetensors.index.json": 9 * MB,
        },
        701,
        "transformers",
        has=["modeling_deepseek.py"],
    ),
    "deepseek-ai/DeepSeek-OCR": Shape(
        {
            **texts("modeling_deepseekocr.py", "assets/fig1.png"),
            "model-00001-of-000001.safetensors": 6_670 * MB,
            "model.safetensors.index.json": 247 * KB,
        },
        6.68,
        "transformers",
    ),
    "zai-org/GLM-4.5-Air": Shape({**texts(), **shards("model", 47, 4.7 * GB)}, 221, "transformers"),
    "moonshotai/Kimi-K2-Thinking": Shape(
        {
            **texts("tiktoken.model", "tokenization_kimi.py"),
            **{f"model-{n:05}-of-000062.safetensors": 9_600 * MB for n in range(1, 63)},
            "model.safetensors.index.json": 16 * MB,
        },
        595,
        "transformers",
    ),
    "ibm-granite/granite-4.0-h-small": Shape({**texts(), **shards("model", 14, 4.6 * GB)}, 64.4, "transformers"),
    "google/gemma-3n-E4B-it": Shape(
        {**texts("preprocessor_config.json", "processor_config.json"), **shards("model", 4, 3.9 * GB)},
        15.7,
        "transformers",
    ),
    "google/gemma-3n-E4B-it-litert-preview": Shape(
        {"README.md": 9000, "gemma-3n-E4B-it-int4.task": 4_400 * MB}, 4.4, "other"
    ),
    "microsoft/Phi-4-multimodal-instruct": Shape(
        {
            **texts("modeling_phi4mm.py", "processing_phi4mm.py"),
            **shards("model", 3, 3.7 * GB),
            "speech-lora/adapter_model.safetensors": 922 * MB,
            "speech-lora/adapter_config.json": 900,
            "vision-lora/adapter_model.safetensors": 738 * MB,
            "vision-lora/adapter_config.json": 900,
            "examples/what_is_shown_in_this_image.wav": 115 * KB,
            "figures/a.png": 300 * KB,
        },
        12.8,
        "transformers",
        has=["speech-lora/adapter_model.safetensors", "vision-lora/adapter_config.json"],
    ),
    "openai/whisper-large-v3-turbo": Shape(
        {**texts("vocab.json", "merges.txt", "normalizer.json"), "model.safetensors": 1_620 * MB}, 1.63, "transformers"
    ),
    "openai/whisper-large-v2 (two forms in shards)": Shape(
        {
            **texts("vocab.json"),
            "model.safetensors": 6_170 * MB,
            "pytorch_model.bin": 6_170 * MB,
            "flax_model-00001-of-00002.msgpack": 4 * GB,
            "flax_model-00002-of-00002.msgpack": 2 * GB,
            "flax_model.msgpack.index.json": 50 * KB,
            "tf_model.h5": 6_170 * MB,
        },
        6.18,
        "transformers",
        lacks=["flax_model.msgpack.index.json", "tf_model.h5"],
    ),
    "jinaai/jina-embeddings-v2-base-en": Shape(
        {
            **texts("vocab.txt"),
            **_POOLING,
            "model.safetensors": 275 * MB,
            "pytorch_model.bin": 275 * MB,
            "model.onnx": 547 * MB,
            "model-w-mean-pooling.onnx": 547 * MB,
            "onnx/model.onnx": 547 * MB,
            "onnx/model_quantized.onnx": 137 * MB,
            "coreml/feature-extraction/float32_model.mlpackage/Data/com.apple.CoreML/weights/weight.bin": 550 * MB,
            "coreml/feature-extraction/float32_model.mlpackage/Manifest.json": 600,
        },
        0.285,
        "sentence-transformers",
    ),
    "jinaai/jina-embeddings-v4 (adapters that are needed)": Shape(
        {
            **texts("modeling_jina_embeddings_v4.py", "qwen2_5_vl.py"),
            **_POOLING,
            **shards("model", 2, 3.9 * GB),
            "adapters/adapter_model.safetensors": 361 * MB,
            "adapters/adapter_config.json": 900,
        },
        8.17,
        "sentence-transformers",
        has=["adapters/adapter_model.safetensors"],
    ),
    "nomic-ai/nomic-embed-code": Shape(
        {**texts(), **_POOLING, **shards("model", 6, 4.7 * GB)}, 28.2, "sentence-transformers"
    ),
    "mixedbread-ai/mxbai-embed-large-v1": Shape(
        {
            **texts("vocab.txt"),
            **_POOLING,
            "model.safetensors": 670 * MB,
            "gguf/mxbai-embed-large-v1-f16.gguf": 670 * MB,
            "mxbai-embed-large-v1_fp32.llamafile": 1_370 * MB,
            **{f"onnx/model{kind}.onnx": 400 * MB for kind in _ONNX_TYPES},
            "openvino/openvino_model.bin": 1_340 * MB,
            "openvino/openvino_model.xml": 800 * KB,
        },
        0.680,
        "sentence-transformers",
        lacks=["gguf/mxbai-embed-large-v1-f16.gguf", "mxbai-embed-large-v1_fp32.llamafile"],
    ),
    "Alibaba-NLP/gte-Qwen2-7B-instruct": Shape(
        {
            **texts("modeling_qwen.py"),
            **_POOLING,
            **shards("model", 7, 4.35 * GB),
            "openvino/openvino_model.bin": 14 * GB,
            "openvino/openvino_model.xml": 3 * MB,
        },
        30.5,
        "sentence-transformers",
    ),
    "minishlab/potion-base-8M": Shape(
        {
            **texts(),
            **_ST,
            "model.safetensors": 30 * MB,
            "onnx/model.onnx": 30 * MB,
            "onnx/config.json": 200,
            "onnx/tokenizer.json": 700 * KB,
        },
        0.039,
        "sentence-transformers",
        documents=_modules("", "1_Normalize"),
        lacks=["onnx/tokenizer.json"],
    ),
    "sentence-transformers/static-retrieval-mrl-en-v1": Shape(
        {
            "README.md": 9000,
            **_ST,
            "0_StaticEmbedding/model.safetensors": 125 * MB,
            "0_StaticEmbedding/tokenizer.json": MB,
        },
        0.126,
        "sentence-transformers",
        documents=_modules("0_StaticEmbedding"),
    ),
    "lightonai/GTE-ModernColBERT-v1 (a dense module)": Shape(
        {
            **texts(),
            **_ST,
            "model.safetensors": 596 * MB,
            "1_Dense/model.safetensors": 393 * KB,
            "1_Dense/config.json": 111,
            "onnx/model.onnx": 598 * MB,
            "onnx/model_int8.onnx": 150 * MB,
        },
        0.606,
        "sentence-transformers",
        documents=_modules("", "1_Dense"),
        has=["1_Dense/model.safetensors"],
    ),
    "colbert-ir/colbertv2.0": Shape(
        {
            **texts("vocab.txt", "artifact.metadata"),
            "model.safetensors": 438 * MB,
            "pytorch_model.bin": 438 * MB,
            "onnx/model.onnx": 436 * MB,
        },
        0.448,
        "transformers",
        has=["artifact.metadata"],
    ),
    "answerdotai/answerai-colbert-small-v1": Shape(
        {
            **texts("vocab.txt", "artifact.metadata"),
            "model.safetensors": 134 * MB,
            "onnx/model.onnx": 133 * MB,
            "onnx/model_int8.onnx": 34 * MB,
            "vespa_colbert.onnx": 133 * MB,
        },
        0.143,
        "transformers",
        lacks=["vespa_colbert.onnx"],
    ),
    "black-forest-labs/FLUX.1-Kontext-dev": Shape(
        {
            **pipeline(
                {
                    "text_encoder": {"model.safetensors": 246 * MB},
                    "text_encoder_2": shards("model", 2, 4.76 * GB),
                    "transformer": shards("diffusion_pytorch_model", 3, 7.94 * GB),
                    "vae": {"diffusion_pytorch_model.safetensors": 168 * MB},
                }
            ),
            "flux1-kontext-dev.safetensors": 23_800 * MB,
            "ae.safetensors": 335 * MB,
            "LICENSE.md": 18 * KB,
        },
        33.8,
        "diffusers",
        lacks=["flux1-kontext-dev.safetensors", "ae.safetensors"],
    ),
    "black-forest-labs/FLUX.2-dev": Shape(
        {
            **pipeline(
                {
                    "text_encoder": shards("model", 10, 4.8 * GB),
                    "transformer": shards("diffusion_pytorch_model", 7, 9.2 * GB),
                    "vae": {"diffusion_pytorch_model.safetensors": 336 * MB},
                }
            ),
            "flux2-dev.safetensors": 64_400 * MB,
        },
        112.7,
        "diffusers",
    ),
    "Qwen/Qwen-Image-Edit-2509": Shape(
        pipeline(
            {
                "text_encoder": shards("model", 4, 4.15 * GB),
                "transformer": shards("diffusion_pytorch_model", 5, 8.2 * GB),
                "vae": {"diffusion_pytorch_model.safetensors": 254 * MB},
                "processor": {"tokenizer.json": 11 * MB},
            }
        ),
        57.9,
        "diffusers",
    ),
    "stabilityai/stable-diffusion-3.5-medium": Shape(
        {
            **pipeline(
                {
                    "text_encoder": {"model.safetensors": 247 * MB},
                    "text_encoder_2": {"model.safetensors": 1_390 * MB},
                    "text_encoder_3": shards("model", 2, 4.76 * GB),
                    "transformer": {"diffusion_pytorch_model.safetensors": 4_940 * MB},
                    "vae": {"diffusion_pytorch_model.safetensors": 168 * MB},
                }
            ),
            "sd3.5_medium.safetensors": 5_110 * MB,
            "text_encoders/clip_g.safetensors": 1_390 * MB,
            "text_encoders/clip_l.safetensors": 246 * MB,
            "text_encoders/t5xxl_fp16.safetensors": 9_790 * MB,
            "text_encoders/t5xxl_fp8_e4m3fn.safetensors": 4_890 * MB,
        },
        16.3,
        "diffusers",
        lacks=["text_encoders/t5xxl_fp16.safetensors", "sd3.5_medium.safetensors"],
    ),
    "stabilityai/stable-audio-open-1.0": Shape(
        {
            **pipeline(
                {
                    "projection_model": {"diffusion_pytorch_model.safetensors": 300 * KB},
                    "text_encoder": {"model.safetensors": 439 * MB},
                    "transformer": {"diffusion_pytorch_model.safetensors": 4_230 * MB},
                    "vae": {"diffusion_pytorch_model.safetensors": 626 * MB},
                }
            ),
            "model.ckpt": 4_850 * MB,
            "model.safetensors": 4_850 * MB,
            "model_config.json": 4000,
        },
        5.3,
        "diffusers",
        lacks=["model.ckpt", "model.safetensors"],
    ),
    "hunyuanvideo-community/HunyuanVideo": Shape(
        pipeline(
            {
                "text_encoder": shards("model", 4, 4.0 * GB),
                "text_encoder_2": {"model.safetensors": 246 * MB},
                "transformer": shards("diffusion_pytorch_model", 6, 4.3 * GB),
                "vae": {"diffusion_pytorch_model.safetensors": 986 * MB},
            }
        ),
        43.0,
        "diffusers",
    ),
    "genmo/mochi-1-preview": Shape(
        {
            **pipeline(
                {
                    "text_encoder": shards("model", 4, 4.8 * GB),
                    "transformer": {
                        **shards("diffusion_pytorch_model", 5, 8.0 * GB),
                        **shards("diffusion_pytorch_model.bf16", 3, 6.7 * GB, index=False),
                        "diffusion_pytorch_model.safetensors.index.bf16.json": 60 * KB,
                    },
                    "vae": {
                        "diffusion_pytorch_model.safetensors": 1_840 * MB,
                        "diffusion_pytorch_model.bf16.safetensors": 920 * MB,
                    },
                }
            ),
            "dit.safetensors": 40_100 * MB,
            "decoder.safetensors": 1_450 * MB,
            "encoder.safetensors": 400 * MB,
        },
        61.0,
        "diffusers",
    ),
    "Wan-AI/Wan2.2-TI2V-5B (its own form)": Shape(
        {
            "README.md": 9000,
            "config.json": 250,
            **shards("diffusion_pytorch_model", 3, 6.6 * GB),
            "Wan2.2_VAE.pth": 2_820 * MB,
            "models_t5_umt5-xxl-enc-bf16.pth": 11_360 * MB,
            "google/umt5-xxl/tokenizer.json": 16 * MB,
            "google/umt5-xxl/spiece.model": 4 * MB,
        },
        34.0,
        "other",
        "pickle",
        has=["Wan2.2_VAE.pth", "google/umt5-xxl/tokenizer.json"],
    ),
    "ByteDance/SDXL-Lightning (numbers of steps)": Shape(
        {
            "README.md": 9000,
            **{f"sdxl_lightning_{n}step.safetensors": 6_940 * MB for n in (2, 4, 8)},
            **{f"sdxl_lightning_{n}step_lora.safetensors": 394 * MB for n in (2, 4, 8)},
            **{f"sdxl_lightning_{n}step_unet.safetensors": 5_140 * MB for n in (2, 4, 8)},
            "sdxl_lightning_1step_x0.safetensors": 6_940 * MB,
            "sdxl_lightning_1step_unet_x0.safetensors": 5_140 * MB,
        },
        0,
        "other",
        "has to be chosen",
    ),
    "Lightricks/LTX-Video (versions of one file)": Shape(
        {"README.md": 9000, **{f"ltx-video-2b-v0.9{end}.safetensors": 9_370 * MB for end in ("", ".1", ".5")}},
        9.37,
        "other",
        "has to be chosen",
        has=["ltx-video-2b-v0.9.5.safetensors"],
    ),
    "Comfy-Org/Qwen-Image_ComfyUI": Shape(
        {
            "README.md": 9000,
            "split_files/diffusion_models/qwen_image_bf16.safetensors": 40_900 * MB,
            "split_files/diffusion_models/qwen_image_fp8_e4m3fn.safetensors": 20_400 * MB,
            "split_files/text_encoders/qwen_2.5_vl_7b.safetensors": 16_600 * MB,
            "split_files/text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors": 9_380 * MB,
            "split_files/vae/qwen_image_vae.safetensors": 254 * MB,
        },
        0,
        "other",
        "has to be chosen",
    ),
    "nvidia/canary-qwen-2.5b": Shape(
        {"README.md": 9000, "config.json": 4000, "LICENSES": 9000, "model.safetensors": 5_120 * MB},
        5.12,
        "nemo",
        card={"library_name": "nemo"},
    ),
    "OpenVINO/Qwen3-8B-int4-ov": Shape(
        {
            **texts("vocab.json", "merges.txt", "openvino_config.json"),
            "openvino_model.bin": 4_600 * MB,
            "openvino_model.xml": 3 * MB,
            **{f"openvino_{name}tokenizer.{end}": 2 * MB for name in ("", "de") for end in ("bin", "xml")},
        },
        4.62,
        "openvino",
    ),
    "OpenVINO/whisper-large-v3-fp16-ov": Shape(
        {
            **texts("vocab.json", "normalizer.json"),
            **{f"openvino_{part}_model.bin": 1_500 * MB for part in ("encoder", "decoder")},
            **{f"openvino_{part}_model.xml": 2 * MB for part in ("encoder", "decoder")},
            **{f"openvino_{name}tokenizer.{end}": MB for name in ("", "de") for end in ("bin", "xml")},
        },
        3.02,
        "openvino",
    ),
    "OpenVINO/FLUX.1-schnell-int4-ov": Shape(
        pipeline(
            {
                "transformer": {"openvino_model.bin": 6 * GB, "openvino_model.xml": 9 * MB},
                "text_encoder": {"openvino_model.bin": 120 * MB, "openvino_model.xml": MB},
                "text_encoder_2": {"openvino_model.bin": 2_500 * MB, "openvino_model.xml": MB},
                "vae_decoder": {"openvino_model.bin": 90 * MB, "openvino_model.xml": MB},
                "vae_encoder": {"openvino_model.bin": 60 * MB, "openvino_model.xml": MB},
            }
        ),
        8.78,
        "openvino",
        has=["vae_decoder/openvino_model.bin", "vae_encoder/openvino_model.xml"],
    ),
    "mlx-community/parakeet-tdt-0.6b-v2": Shape(
        {"README.md": 900, "config.json": 40 * KB, "model.safetensors": 2_470 * MB},
        2.47,
        "mlx",
        card={"library_name": "mlx"},
    ),
    "gaudi/opus-mt-en-fr-ctranslate2": Shape(
        {
            "README.md": 900,
            "config.json": 200,
            "model.bin": 150 * MB,
            "shared_vocabulary.txt": 800 * KB,
            "source.spm": 778 * KB,
            "target.spm": 802 * KB,
        },
        0.152,
        "ctranslate2",
        has=["source.spm", "shared_vocabulary.txt"],
    ),
    "turboderp/Qwen3-32B-exl3 (a branch)": Shape(
        {**texts("quantization_config.json"), **shards("model", 3, 6.4 * GB)}, 19.2, "transformers"
    ),
    "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4": Shape(
        {**texts(), **shards("model", 9, 4.4 * GB)}, 39.6, "transformers"
    ),
    "unsloth/gpt-oss-120b-GGUF (folders and one file)": Shape(
        {
            "README.md": 9000,
            "config.json": 900,
            "gpt-oss-120b-F16.gguf": 65_400 * MB,
            **shards("Q4_K_M/gpt-oss-120b-Q4_K_M", 2, 31.4 * GB, "gguf"),
            **shards("UD-Q4_K_XL/gpt-oss-120b-UD-Q4_K_XL", 2, 31.5 * GB, "gguf"),
            **shards("Q8_0/gpt-oss-120b-Q8_0", 2, 31.7 * GB, "gguf"),
        },
        62.8,
        "gguf",
        "has to be chosen",
        has=["Q4_K_M/gpt-oss-120b-Q4_K_M-00001-of-00002.gguf"],
    ),
    "the same, UD-Q4_K_XL asked for": Shape(
        {
            "README.md": 9000,
            "gpt-oss-120b-F16.gguf": 65_400 * MB,
            **shards("Q4_K_M/gpt-oss-120b-Q4_K_M", 2, 31.4 * GB, "gguf"),
            **shards("UD-Q4_K_XL/gpt-oss-120b-UD-Q4_K_XL", 2, 31.5 * GB, "gguf"),
        },
        63.0,
        "gguf",
        variant="UD-Q4_K_XL",
    ),
    "unsloth/Qwen3-VL-8B-Instruct-GGUF": Shape(
        {
            "README.md": 9000,
            **_ggufs("Qwen3-VL-8B-Instruct", {"Q4_K_M": 5.0, "Q8_0": 8.7, "UD-Q4_K_XL": 5.1, "BF16": 16.4}),
            "mmproj-BF16.gguf": 1_160 * MB,
            "mmproj-F16.gguf": 1_160 * MB,
            "mmproj-F32.gguf": 2_310 * MB,
        },
        6.17,
        "gguf",
        variant="Q4_K_M",
        has=["mmproj-F16.gguf"],
        lacks=["mmproj-F32.gguf", "mmproj-BF16.gguf"],
    ),
    "bartowski/Qwen_Qwen3-30B-A3B-GGUF": Shape(
        {
            "README.md": 9000,
            "Qwen_Qwen3-30B-A3B.imatrix": 120 * MB,
            **_ggufs("Qwen_Qwen3-30B-A3B", {"Q4_K_M": 18.6, "Q6_K_L": 25.2, "IQ2_XXS": 8.2, "Q4_K_L": 18.8}),
            **shards("Qwen_Qwen3-30B-A3B-bf16/Qwen_Qwen3-30B-A3B-bf16", 2, 30.5 * GB, "gguf"),
        },
        18.6,
        "gguf",
        "has to be chosen",
        lacks=["Qwen_Qwen3-30B-A3B.imatrix"],
    ),
    "QuantStack/Wan2.2-T2V-A14B-GGUF (two models a type)": Shape(
        {
            "README.md": 9000,
            **{
                f"{noise}Noise/Wan2.2-T2V-A14B-{noise}Noise-{kind}.gguf": int(size * GB)
                for noise in ("High", "Low")
                for kind, size in {"Q4_K_M": 9.6, "Q8_0": 15.4}.items()
            },
            "VAE/Wan2.1_VAE.safetensors": 254 * MB,
        },
        0,
        "gguf",
        variant="Q4_K_M",
        has=[f"{noise}Noise/Wan2.2-T2V-A14B-{noise}Noise-Q4_K_M.gguf" for noise in ("High", "Low")],
    ),
    "google/gemma-2-2b-it-GGUF": Shape({"README.md": 900, "2b_it_v2.gguf": 10_460 * MB}, 10.46, "gguf"),
    "vikhyatk/moondream2": Shape(
        {
            **texts("moondream.py", "hf_moondream.py"),
            "model.safetensors": 3_850 * MB,
            "moondream2-mmproj-f16.gguf": 910 * MB,
            "moondream2-text-model-f16.gguf": 2_840 * MB,
        },
        3.86,
        "transformers",
        lacks=["moondream2-text-model-f16.gguf", "moondream2-mmproj-f16.gguf"],
    ),
    "timm/ViT-SO400M-14-SigLIP-384": Shape(
        {
            **texts(),
            "open_clip_config.json": 600,
            "open_clip_model.safetensors": 3_510 * MB,
            "open_clip_pytorch_model.bin": 3_510 * MB,
        },
        3.52,
        "other",
        card={"library_name": "open_clip"},
        lacks=["open_clip_pytorch_model.bin"],
    ),
    "urchade/gliner_large-v2.1": Shape(
        {"README.md": 9000, "gliner_config.json": 900, "pytorch_model.bin": 1_780 * MB},
        1.78,
        "other",
        "pickle",
        card={"library_name": "gliner"},
    ),
    "sesame/csm-1b (transformers' own set)": Shape(
        {
            **texts("chat_template.jinja"),
            "ckpt.pt": 6_220 * MB,
            "model.safetensors": 6_210 * MB,
            **shards("transformers", 2, 3.3 * GB),
            "prompts/conversational_a.wav": 2 * MB,
        },
        6.61,
        "transformers",
        config={
            "architectures": ["CsmForConditionalGeneration"],
            "transformers_weights": "transformers.safetensors.index.json",
        },
        has=["transformers-00001-of-00002.safetensors", "transformers.safetensors.index.json"],
        lacks=["model.safetensors", "ckpt.pt"],
    ),
    "nari-labs/Dia-1.6B": Shape(
        {"README.md": 9000, "config.json": 900, "dia-v0_1.pth": 6_450 * MB, "model.safetensors": 6_450 * MB},
        6.45,
        "other",
        documents={"config.json": {"version": "0.1", "model": {}}},
        lacks=["dia-v0_1.pth"],
    ),
    "SparkAudio/Spark-TTS-0.5B": Shape(
        {
            "README.md": 9000,
            "config.yaml": 200,
            "BiCodec/config.yaml": 1500,
            "BiCodec/model.safetensors": 626 * MB,
            "LLM/config.json": 700,
            "LLM/model.safetensors": 1_010 * MB,
            "LLM/tokenizer.json": 14 * MB,
            "wav2vec2-large-xlsr-53/config.json": 1600,
            "wav2vec2-large-xlsr-53/pytorch_model.bin": 1_270 * MB,
        },
        2.92,
        "other",
        "pickle",
        has=["BiCodec/model.safetensors", "LLM/model.safetensors", "wav2vec2-large-xlsr-53/pytorch_model.bin"],
    ),
    "speechbrain/spkrec-ecapa-voxceleb": Shape(
        {
            "README.md": 9000,
            "hyperparams.yaml": 1900,
            "label_encoder.txt": 129 * KB,
            "classifier.ckpt": 5_500 * KB,
            "embedding_model.ckpt": 83_300 * KB,
            "mean_var_norm_emb.ckpt": 2000,
        },
        0.089,
        "other",
        "pickle",
        card={"library_name": "speechbrain"},
        has=["mean_var_norm_emb.ckpt", "classifier.ckpt", "label_encoder.txt"],
    ),
    "pyannote/speaker-diarization-3.1 (weights elsewhere)": Shape(
        {"README.md": 9000, "config.yaml": 469, "handler.py": 2000}, 0, "none", "no weights"
    ),
    "microsoft/OmniParser-v2.0": Shape(
        {
            "README.md": 3000,
            "icon_caption/config.json": 5000,
            "icon_caption/model.safetensors": 1_080 * MB,
            "icon_detect/model.pt": 40 * MB,
            "icon_detect/model.yaml": 1000,
        },
        1.12,
        "other",
        "pickle",
        has=["icon_detect/model.pt"],
    ),
    "EleutherAI/gpt-j-6b": Shape(
        {
            **texts("vocab.json"),
            "pytorch_model.bin": 24_200 * MB,
            "tf_model.h5": 24_200 * MB,
            "flax_model.msgpack": 24_200 * MB,
        },
        24.2,
        "transformers",
        "pickle",
    ),
    "Helsinki-NLP/opus-mt-en-de": Shape(
        {
            **texts("source.spm", "target.spm"),
            **dict.fromkeys(("pytorch_model.bin", "tf_model.h5", "rust_model.ot"), 298 * MB),
        },
        0.307,
        "transformers",
        "pickle",
        lacks=["rust_model.ot"],
    ),
    "PaddlePaddle/PP-OCRv5_server_det": Shape(
        {
            "README.md": 9000,
            "config.json": 2000,
            "inference.json": 700 * KB,
            "inference.pdiparams": 88 * MB,
            "inference.yml": 900,
        },
        0.089,
        "other",
        has=["inference.json", "inference.yml"],
    ),
    "fastai image classifier": Shape(
        {"README.md": 900, "model.pkl": 47 * MB, "pyproject.toml": 80},
        0.047,
        "other",
        "pickle",
        card={"library_name": "fastai"},
    ),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": Shape(
        {
            **texts("vocab.json", "merges.txt", "runs/Oct31/events.out.tfevents.1.a", "instructions/README.md"),
            "model.safetensors": 3_420 * MB,
            **{f"onnx/model{kind}.onnx": 900 * MB for kind in _ONNX_TYPES},
            "onnx/model.onnx_data": 6_800 * MB,
            "training_args.bin": 7000,
        },
        3.43,
        "transformers",
        lacks=["training_args.bin", "onnx/model.onnx_data", "runs/Oct31/events.out.tfevents.1.a"],
    ),
    "keras hub": Shape(
        {"README.md": 900, "config.json": 900, "metadata.json": 90, "task.json": 900, "model.weights.h5": 5_200 * MB},
        5.2,
        "tensorflow",
        card={"library_name": "keras-hub"},
    ),
    "facebook/mms-1b-all (a language a file)": Shape(
        {
            **texts("vocab.json", "preprocessor_config.json"),
            "model.safetensors": 3_860 * MB,
            "pytorch_model.bin": 3_860 * MB,
            **{
                f"adapter.{code}.{end}": 9 * MB
                for code in ("eng", "deu", "fra", "abk-script_latin")
                for end in ("bin", "safetensors")
            },
        },
        3.91,
        "transformers",
        has=["adapter.eng.safetensors", "adapter.abk-script_latin.safetensors"],
        lacks=["adapter.eng.bin", "pytorch_model.bin"],
    ),
    "stabilityai/stable-video-diffusion-img2vid-xt": Shape(
        {
            **pipeline(
                {
                    "image_encoder": {"model.safetensors": 2_530 * MB, "model.fp16.safetensors": 1_260 * MB},
                    "unet": {
                        "diffusion_pytorch_model.safetensors": 6_100 * MB,
                        "diffusion_pytorch_model.fp16.safetensors": 3_050 * MB,
                    },
                    "vae": {
                        "diffusion_pytorch_model.safetensors": 391 * MB,
                        "diffusion_pytorch_model.fp16.safetensors": 196 * MB,
                    },
                }
            ),
            "svd_xt.safetensors": 9_560 * MB,
            "svd_xt_image_decoder.safetensors": 8_900 * MB,
        },
        9.02,
        "diffusers",
    ),
}
