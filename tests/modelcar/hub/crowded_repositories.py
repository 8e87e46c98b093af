"""Shapes of real repositories with several models, or with parts of one's own beside the model: names as they are."""

from dataclasses import replace

from tests.modelcar.hub.more_repositories import GB, KB, MB, Shape, shards, texts


def _ggufs(stem: str, sizes: dict[str, float]) -> dict[str, int]:
    return {f"{stem}-{name}.gguf": int(size * GB) for name, size in sizes.items()}


_QWEN_IMAGE = Shape(
    {
        "README.md": 9000,
        **_ggufs("Qwen-Image-Edit-2509", {"Q3_K_M": 9.7, "Q4_K_M": 13.1, "Q8_0": 21.8}),
        "VAE/Qwen_Image-VAE.safetensors": 254 * MB,
    },
    13.35,
    "gguf",
    "has to be chosen",
    has=["VAE/Qwen_Image-VAE.safetensors"],
)
_BOLTZ = Shape(
    {"README.md": 900, "boltz1.ckpt": 3_600 * MB, "boltz1_conf.ckpt": 3_600 * MB, "ccd.pkl": 346 * MB},
    3.95,
    "other",
    "has to be chosen",
    has=["ccd.pkl"],
)
_COSY_VOICE = Shape(
    {
        "README.md": 9000,
        "cosyvoice3.yaml": 7000,
        "llm.pt": 2_020 * MB,
        "llm.rl.pt": 2_020 * MB,
        "flow.pt": 1_330 * MB,
        "hift.pt": 83 * MB,
        "campplus.onnx": 28 * MB,
        "speech_tokenizer_v3.onnx": 970 * MB,
        "speech_tokenizer_v3.batch.onnx": 970 * MB,
        "CosyVoice-BlankEN/config.json": 700,
        "CosyVoice-BlankEN/model.safetensors": 988 * MB,
        "CosyVoice-BlankEN/vocab.json": 2 * MB,
    },
    5.42,
    "other",
    "has to be chosen",
    has=["llm.pt", "flow.pt", "speech_tokenizer_v3.onnx", "CosyVoice-BlankEN/model.safetensors"],
)
_LFM_AUDIO = Shape(
    {
        "README.md": 9000,
        **{
            f"{part}LFM2.5-Audio-1.5B-{name}.gguf": int(size * share * MB)
            for part, size in {"": 696, "mmproj-": 209, "vocoder-": 105, "tokenizer-": 71}.items()
            for name, share in {"Q4_0": 1, "Q8_0": 1.8, "F16": 3.3}.items()
        },
    },
    0,
    "gguf",
    "has to be chosen",
    has=["LFM2.5-Audio-1.5B-Q4_0.gguf", "vocoder-LFM2.5-Audio-1.5B-Q4_0.gguf"],
)
_QWEN_IMAGE_AND_ENCODER = Shape(
    {
        "README.md": 900,
        **_ggufs("qwen-image", {"Q4_K_M": 13.1, "Q8_0": 21.8}),
        **_ggufs("Qwen2.5-VL-7B-Instruct", {"Q4_K_M": 4.7, "Q8_0": 8.1}),
        "qwen_image_vae.safetensors": 254 * MB,
    },
    13.35,
    "gguf",
    "has to be chosen",
    has=["qwen-image-Q4_K_M.gguf"],
)
_FLUX_GGUF = {
    "README.md": 9000,
    **_ggufs("flux1-schnell", {"Q2_K": 4.0, "Q4_0": 6.8, "Q8_0": 12.7}),
    "ae-f16.gguf": 168 * MB,
    "clip_l-Q8_0.gguf": 131 * MB,
    **_ggufs("t5xxl", {"Q4_0": 2.8, "Q8_0": 5.06}),
}
_MINICPM_O = {
    "README.md": 9000,
    **_ggufs("MiniCPM-o-4_5", {"Q4_0": 4.8, "Q4_K_M": 5.0, "F16": 16.4}),
    "audio/MiniCPM-o-4_5-audio-F16.gguf": 660 * MB,
    "vision/MiniCPM-o-4_5-vision-F16.gguf": 1_100 * MB,
    "tts/MiniCPM-o-4_5-tts-F16.gguf": 1_160 * MB,
    "tts/MiniCPM-o-4_5-projector-F16.gguf": 15 * MB,
}
_TINY_LLAMAS = Shape(
    {
        "README.md": 900,
        **{
            f"stories{size}.{end}": weights * MB
            for size, weights in {"15M": 60, "42M": 168, "110M": 438}.items()
            for end in ("bin", "pt")
        },
    },
    0.06,
    "other",
    "has to be chosen",
    has=["stories15M.bin"],
)
_CLIP = {
    **texts("open_clip_config.json", "preprocessor_config.json", "vocab.json", "merges.txt"),
    **dict.fromkeys(("open_clip_pytorch_model.bin", "pytorch_model.bin"), 3_950 * MB),
}
_CLIP_CONFIG = {"architectures": ["CLIPModel"], "model_type": "clip"}
_FLUX_FP8 = Shape(
    {
        "README.md": 900,
        **{
            f"flux1-{name}.safetensors": 11_900 * MB
            for name in ("dev-fp8", "dev-fp8-e5m2", "schnell-fp8-e4m3fn", "schnell-fp8-e5m2")
        },
        "flux_shakker_labs_union_pro-fp8_e4m3fn.safetensors": 3_300 * MB,
        "flux-vae-bf16.safetensors": 168 * MB,
    },
    15.37,
    "other",
    "has to be chosen",
)
_COGVIDEO = Shape(
    {
        "README.md": 900,
        "transformer_t2v/1000/mp_rank_00_model_states.pt": 11_100 * MB,
        "transformer_i2v/1000/mp_rank_00_model_states.pt": 11_100 * MB,
        "vae/3d-vae.pt": 862 * MB,
        "t5-v1_1-xxl/config.json": 782,
        **shards("t5-v1_1-xxl/model", 2, 4_700 * MB),
    },
    21.4,
    "other",
    "has to be chosen",
    has=["vae/3d-vae.pt"],
)

CROWDED: dict[str, Shape] = {
    "QuantStack/Qwen-Image-Edit-2509-GGUF (with its VAE)": _QWEN_IMAGE,
    "the same, Q8_0 asked for": replace(_QWEN_IMAGE, gb=22.05, refused="", variant="Q8_0"),
    "calcuis/hunyuan-gguf (text encoders beside it, Q4_K_M asked for)": Shape(
        {
            "README.md": 9000,
            **_ggufs("hunyuan-video-t2v-720p", {"Q4_K_M": 7.9, "Q8_0": 14.0}),
            "llava_llama3_fp8_scaled.safetensors": 9_090 * MB,
            "clip_l.safetensors": 246 * MB,
            "hunyuan_video_vae_bf16.safetensors": 493 * MB,
        },
        17.73,
        "other",
        variant="Q4_K_M",
    ),
    "boltz-community/boltz-1 (two checkpoints and a table)": _BOLTZ,
    "the same, boltz1_conf asked for": replace(
        _BOLTZ, refused="pickle", variant="boltz1_conf", has=["ccd.pkl", "boltz1_conf.ckpt"]
    ),
    "hkchengrex/MMAudio (sizes, and what all of them need; one asked for)": Shape(
        {
            "README.md": 900,
            **{
                f"weights/mmaudio_{name}_44k.pth": size * MB
                for name, size in {"large": 4_120, "medium": 2_490, "small": 630}.items()
            },
            "ext_weights/best_netG.pt": 430 * MB,
            "ext_weights/synchformer_state_dict.pth": 950 * MB,
            "ext_weights/v1-16.pth": 655 * MB,
            "ext_weights/v1-44.pth": 1_220 * MB,
        },
        7.37,
        "other",
        "pickle",
        variant="mmaudio_large_44k",
    ),
    "FunAudioLLM/Fun-CosyVoice3-0.5B-2512 (two parts in two forms each)": _COSY_VOICE,
    "the same, llm.rl asked for": replace(
        _COSY_VOICE, refused="pickle", variant="llm.rl", has=["llm.rl.pt", "flow.pt", "speech_tokenizer_v3.onnx"]
    ),
    "LiquidAI/LFM2.5-Audio-1.5B-GGUF (parts beside the model)": _LFM_AUDIO,
    "the same, Q8_0 of each part asked for": replace(
        _LFM_AUDIO,
        refused="",
        variant="Q8_0",
        has=[f"{part}LFM2.5-Audio-1.5B-Q8_0.gguf" for part in ("", "vocoder-", "tokenizer-")],
        lacks=["LFM2.5-Audio-1.5B-Q4_0.gguf", "tokenizer-LFM2.5-Audio-1.5B-Q4_0.gguf"],
    ),
    "an image model in GGUF beside its text encoder": _QWEN_IMAGE_AND_ENCODER,
    "the same, a type of both asked for": replace(_QWEN_IMAGE_AND_ENCODER, gb=0, variant="Q4_K_M"),
    "the same, the image model asked for": replace(
        _QWEN_IMAGE_AND_ENCODER, gb=22.05, refused="", variant="qwen-image-Q8_0", has=["qwen-image-Q8_0.gguf"]
    ),
    "second-state/FLUX.1-schnell-GGUF (Q4_0 asked for)": Shape(
        _FLUX_GGUF,
        9.9,
        "gguf",
        variant="Q4_0",
        has=["flux1-schnell-Q4_0.gguf", "ae-f16.gguf", "clip_l-Q8_0.gguf", "t5xxl-Q4_0.gguf"],
    ),
    "openbmb/MiniCPM-o-4_5-gguf (parts in folders, Q4_K_M asked for)": Shape(
        _MINICPM_O, 7.94, "gguf", variant="Q4_K_M", has=["tts/MiniCPM-o-4_5-tts-F16.gguf"]
    ),
    "three sizes of GGUF, a type of all asked for": Shape(
        {f"Qwen2.5-{size}B-Instruct-Q4_K_M.gguf": int(float(size) * GB) for size in ("0.5", "1.5", "7")},
        0,
        "gguf",
        "has to be chosen",
        variant="Q4_K_M",
    ),
    "onnx-community/whisper-large-v3-turbo (graphs in many types, q4 asked for)": Shape(
        {
            **texts("vocab.json", "merges.txt", "normalizer.json"),
            "onnx/encoder_model.onnx": 600 * KB,
            "onnx/encoder_model.onnx_data": 2_550 * MB,
            **{f"onnx/encoder_model_{kind}.onnx": size * MB for kind, size in {"fp16": 1_275, "q4": 425}.items()},
            **{
                f"onnx/{graph}{kind}.onnx": size * MB
                for graph in ("decoder_model", "decoder_model_merged", "decoder_with_past_model")
                for kind, size in {"": 800, "_fp16": 400, "_q4": 290, "_q4f16": 200}.items()
            },
        },
        0.724,
        "onnx",
        card={"library_name": "transformers.js"},
        variant="q4",
        has=["onnx/encoder_model_q4.onnx", "onnx/decoder_model_merged_q4.onnx"],
    ),
    "karpathy/tinyllamas (each size with two suffixes)": _TINY_LLAMAS,
    "the same, stories42M asked for": replace(
        _TINY_LLAMAS, gb=0.168, refused="pickle", variant="stories42M", has=["stories42M.bin"]
    ),
    "one state under two suffixes": Shape(
        {"README.md": 900, "model.pt": GB, "model.pth": GB}, 1, "other", "pickle", has=["model.pt"]
    ),
    "a table that is called as the model is": Shape(
        {"README.md": 900, "speech.pt": GB, "speech.ckpt": 9 * MB}, 1.009, "other", "pickle"
    ),
    "scikit-learn in both of its suffixes": Shape(
        {"README.md": 900, "config.json": 300, "model.pkl": 9 * MB, "model.joblib": 9 * MB},
        0.009,
        "sklearn",
        "pickle",
        card={"library_name": "sklearn"},
        has=["model.joblib"],
    ),
    "ONNX and its form for small devices": Shape(
        {"README.md": 900, "model.onnx": 90 * MB, "model.ort": 90 * MB}, 0.09, "onnx", has=["model.onnx"]
    ),
    "a pickle as scikit-learn's older guides call it": Shape(
        {"README.md": 900, "finalized_model.sav": 9 * MB}, 0.009, "sklearn", "pickle", card={"library_name": "sklearn"}
    ),
    "lysandre/bidaf-elmo-model-2020.03.19 (AllenNLP)": Shape(
        {"README.md": 900, "config.json": 3000, "weights.th": 180 * MB, "vocabulary/tokens.txt": 2 * MB},
        0.182,
        "other",
        "pickle",
        card={"library_name": "allennlp"},
    ),
    "apple/DFN5B-CLIP-ViT-H-14-378 (for transformers and for open_clip)": Shape(
        _CLIP, 3.96, "transformers", "pickle", config=_CLIP_CONFIG, lacks=["open_clip_pytorch_model.bin"]
    ),
    "the same, of open_clip": Shape(
        _CLIP,
        3.96,
        "other",
        "pickle",
        card={"library_name": "open_clip"},
        config=_CLIP_CONFIG,
        lacks=["pytorch_model.bin"],
    ),
    "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k (in shards for transformers)": Shape(
        {
            **_CLIP,
            **shards("model", 2, 5_080 * MB),
            "open_clip_pytorch_model.bin": 10_160 * MB,
            "open_clip_model.safetensors": 10_160 * MB,
        },
        10.17,
        "other",
        card={"library_name": "open_clip"},
        config=_CLIP_CONFIG,
        has=["open_clip_model.safetensors"],
        lacks=["model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin"],
    ),
    "a CLIP of open_clip whose only safetensors are transformers' own": Shape(
        {**_CLIP, "model.safetensors": 3_950 * MB},
        3.96,
        "transformers",
        card={"library_name": "open_clip"},
        config=_CLIP_CONFIG,
        has=["model.safetensors"],
    ),
    "a CLIP that open_clip alone loads": Shape(
        {name: size for name, size in _CLIP.items() if name != "pytorch_model.bin"},
        3.96,
        "other",
        "pickle",
        config=_CLIP_CONFIG,
    ),
    "nvidia/parakeet-tdt-0.6b-v3 (of NeMo, and in transformers' form)": Shape(
        {
            "README.md": 9000,
            **dict.fromkeys(("config.json", "processor_config.json", "tokenizer_config.json"), 900),
            "tokenizer.json": 400 * KB,
            "model.safetensors": 2_500 * MB,
            "parakeet-tdt-0.6b-v3.nemo": 2_510 * MB,
        },
        2.5,
        "transformers",
        card={"library_name": "nemo"},
        config={"architectures": ["ParakeetForTDT"], "model_type": "parakeet_tdt"},
    ),
    "Bingsu/adetailer (sizes of several detectors)": Shape(
        {
            "README.md": 900,
            **{f"face_yolov8{size}.pt": weights * MB for size, weights in {"n": 6, "s": 22, "m": 52}.items()},
            **{f"hand_yolov8{size}.pt": weights * MB for size, weights in {"n": 6, "s": 22}.items()},
            **{f"person_yolov8{size}-seg.pt": weights * MB for size, weights in {"n": 6, "s": 23, "m": 54}.items()},
        },
        0.018,
        "other",
        "has to be chosen",
        card={"library_name": "ultralytics"},
    ),
    "exports of Ultralytics to TensorFlow Lite": Shape(
        {"README.md": 900, "best_float16.tflite": 6 * MB, "best_float32.tflite": 12 * MB},
        0,
        "other",
        "has to be chosen",
    ),
    "the same in four types": Shape(
        {
            "README.md": 900,
            **{
                f"model_{kind}.tflite": size * MB
                for kind, size in {"float16": 6, "float32": 12, "int8": 3, "dynamic_range_quant": 3}.items()
            },
        },
        0,
        "other",
        "has to be chosen",
    ),
    "UsefulSensors/moonshine (two sizes in three types)": Shape(
        {
            "README.md": 900,
            **{
                f"onnx/merged/{size}/{kind}/{graph}.onnx": weights * MB
                for size, weights in {"tiny": 30, "base": 60}.items()
                for kind in ("float", "quantized", "quantized_4bit")
                for graph in ("encoder_model", "decoder_model_merged")
            },
        },
        0.12,
        "onnx",
        variant="onnx/merged/base/float",
        has=["onnx/merged/base/float/encoder_model.onnx"],
    ),
    "apple/coreml-depth-anything-v2-small (types in names without a joint)": Shape(
        {
            "README.md": 900,
            **{
                f"DepthAnythingV2Small{kind}.mlpackage/Data/com.apple.CoreML/weights/weight.bin": size * MB
                for kind, size in {"F16": 49, "F32": 99, "F16P6": 19, "F16INT8": 25}.items()
            },
        },
        0,
        "coreml",
        "has to be chosen",
    ),
    "apple/coreml-sam2-large (parts that all have a type)": Shape(
        {
            "README.md": 900,
            **{
                f"SAM2Large{part}FLOAT16.mlpackage/Data/com.apple.CoreML/weights/weight.bin": size * MB
                for part, size in {"ImageEncoder": 426, "PromptEncoder": 2, "MaskDecoder": 10}.items()
            },
        },
        0.438,
        "coreml",
    ),
    "GPTQ in two widths": Shape(
        {
            **texts("quantize_config.json"),
            "gptq_model-4bit-128g.safetensors": 4 * GB,
            "gptq_model-8bit-128g.safetensors": 7_500 * MB,
        },
        0,
        "transformers",
        "has to be chosen",
        config={"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    ),
    "TheBloke/vicuna-13B-1.1-GPTQ-4bit-128g (an older pickle beside it)": Shape(
        {
            **texts("tokenizer.model"),
            "vicuna-13B-1.1-GPTQ-4bit-128g.latest.act-order.safetensors": 7_260 * MB,
            "vicuna-13B-1.1-GPTQ-4bit-128g.compat.no-act-order.pt": 7_260 * MB,
        },
        7.27,
        "transformers",
        config={"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    ),
    "Tencent-Hunyuan/HunyuanDiT-v1.2 (weights with and without their mean)": Shape(
        {
            "README.md": 900,
            "t2i/clip_text_encoder/config.json": 700,
            "t2i/clip_text_encoder/pytorch_model.bin": 1_400 * MB,
            "t2i/model/pytorch_model_ema.pt": 6 * GB,
            "t2i/model/pytorch_model_module.pt": 6 * GB,
            "t2i/mt5/config.json": 700,
            "t2i/mt5/pytorch_model.bin": 6_700 * MB,
        },
        14.1,
        "other",
        "pickle",
        has=["t2i/model/pytorch_model_ema.pt"],
    ),
    "canopylabs/orpheus-3b-0.1-pretrained (what accelerate left)": Shape(
        {
            **texts(),
            **shards("model", 2, 3_300 * MB),
            "pytorch_model_fsdp.bin": 13_200 * MB,
            "optimizer.bin": 26 * GB,
            "rng_state_0.pth": 15 * KB,
        },
        6.61,
        "transformers",
        config={"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    ),
    "what accelerate left, alone": Shape(
        {"README.md": 900, "config.json": 900, "pytorch_model_fsdp.bin": 13_200 * MB},
        13.2,
        "transformers",
        "pickle",
        config={"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    ),
    "nunchaku-tech/nunchaku-flux.1-dev (types within the names)": Shape(
        {
            "README.md": 900,
            "svdq-int4_r32-flux.1-dev.safetensors": 6_770 * MB,
            "svdq-fp4_r32-flux.1-dev.safetensors": 7_080 * MB,
        },
        6.77,
        "other",
        "has to be chosen",
        card={"library_name": "diffusers"},
    ),
    "Kijai/flux-fp8 (two models, and what goes with both)": _FLUX_FP8,
    "the same, one model's fp8 asked for": replace(
        _FLUX_FP8, refused="", variant="fp8", has=["flux1-dev-fp8.safetensors", "flux-vae-bf16.safetensors"]
    ),
    "argmaxinc/whisperkit-coreml (the same parts in each folder)": Shape(
        {
            "README.md": 900,
            **{
                f"{model}/{part}.mlmodelc/weights/weight.bin": size * MB
                for model, size in {
                    "openai_whisper-tiny": 30,
                    "openai_whisper-base": 80,
                    "openai_whisper-large-v3": 1_500,
                    "openai_whisper-large-v3_turbo": 1_500,
                    "distil-whisper_distil-large-v3": 700,
                }.items()
                for part in ("AudioEncoder", "TextDecoder", "MelSpectrogram")
            },
        },
        0,
        "coreml",
        "has to be chosen",
        lacks=["distil-whisper_distil-large-v3/AudioEncoder.mlmodelc/weights/weight.bin"],
    ),
    "tencent/HunyuanVideo-1.5 (one of its transformers asked for)": Shape(
        {
            "README.md": 900,
            "config.json": 900,
            **{
                f"transformer/{kind}/diffusion_pytorch_model.safetensors": 33 * GB
                for kind in ("480p_t2v", "480p_i2v", "720p_t2v", "720p_i2v", "480p_t2v_distilled")
            },
            "vae/diffusion_pytorch_model.safetensors": 5 * GB,
            "upsampler/720p_sr_distilled/diffusion_pytorch_model.safetensors": 33 * GB,
        },
        71,
        "diffusers",
        variant="720p_i2v",
        has=["transformer/720p_i2v/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"],
    ),
    "zai-org/CogVideoX1.5-5B-SAT (two transformers)": _COGVIDEO,
    "the same, one of them asked for": replace(
        _COGVIDEO,
        refused="pickle",
        variant="transformer_i2v",
        has=["transformer_i2v/1000/mp_rank_00_model_states.pt", "vae/3d-vae.pt"],
    ),
    "nvidia/Cosmos-Predict2.5-2B (files named by identifiers)": Shape(
        {
            "README.md": 900,
            **{
                f"{folder}/{name}_ema_bf16.pt": 4_100 * MB
                for folder, name in {
                    "base/pre-trained": "d20b7120-df3e-4911-919d-db6e08bad31c",
                    "base/post-trained": "81edfebe-bd6a-4039-8c1d-737df1a790bf",
                    "auto/multiview": "524af350-2e43-496c-8590-3646ae1325da",
                }.items()
            },
            "tokenizer.pth": 508 * MB,
        },
        4.61,
        "other",
        "has to be chosen",
    ),
    "Wan-AI/Wan2.2-I2V-A14B (two halves of one model)": Shape(
        {
            "README.md": 900,
            **shards("high_noise_model/diffusion_pytorch_model", 6, 9_500 * MB),
            **shards("low_noise_model/diffusion_pytorch_model", 6, 9_500 * MB),
            "Wan2.1_VAE.pth": 508 * MB,
        },
        114.5,
        "other",
        "pickle",
    ),
    "a detector in two types of TensorFlow Lite": Shape(
        {"README.md": 900, "yolov8n_float16.tflite": 6 * MB, "yolov8n_float32.tflite": 12 * MB},
        0,
        "other",
        "has to be chosen",
    ),
    "a speech model in GGUF and its codec, of another name": Shape(
        {
            "README.md": 900,
            **_ggufs("csm-1b", {"Q4_K_M": 1.0, "Q8_0": 1.8}),
            **_ggufs("mimi", {"Q4_K_M": 0.06, "F32": 0.38}),
        },
        1.86,
        "gguf",
        variant="Q8_0",
        has=["csm-1b-Q8_0.gguf", "mimi-Q4_K_M.gguf"],
    ),
    "a smaller model that is made of a larger one": Shape(
        {
            "README.md": 900,
            **_ggufs("whisper-large-v3", {"Q5_0": 1.1, "Q8_0": 1.7}),
            **_ggufs("whisper-large-v3-turbo", {"Q5_0": 0.5, "Q8_0": 0.8}),
        },
        0,
        "gguf",
        "has to be chosen",
        variant="Q8_0",
    ),
}
