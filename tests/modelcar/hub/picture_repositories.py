"""Shapes of real repositories of pictures and videos: names as they are, sizes rounded."""

from tests.modelcar.hub.more_repositories import GB, KB, MB, Shape, pipeline, shards, texts

_WAN_TEXT = {"models_t5_umt5-xxl-enc-bf16.pth": 11_360 * MB, "google/umt5-xxl/spiece.model": 4 * MB}


def _fp16(folder_sizes: dict[str, tuple[str, float]]) -> dict[str, dict[str, float]]:
    """A pipeline's parts in full and in half precision."""
    return {
        folder: {f"{stem}.safetensors": size * GB, f"{stem}.fp16.safetensors": size * GB / 2}
        for folder, (stem, size) in folder_sizes.items()
    }


PICTURES: dict[str, Shape] = {
    "nvidia/Cosmos-Predict2-2B-Video2World (a tokenizer of pictures beside the one of words)": Shape(
        {
            **pipeline(
                {
                    "text_encoder": shards("model", 2, 4.6 * GB),
                    "transformer": {"diffusion_pytorch_model.safetensors": 3_910 * MB},
                    "vae": {"diffusion_pytorch_model.safetensors": 508 * MB},
                }
            ),
            "tokenizer/spiece.model": 792 * KB,
            "tokenizer/tokenizer.json": 2 * MB,
            "tokenizer/tokenizer.pth": 508 * MB,
            **{f"model-{lines}p-{rate}fps.pt": 3_910 * MB for lines in (480, 720) for rate in (10, 16)},
        },
        13.62,
        "diffusers",
        has=["tokenizer/spiece.model"],
        lacks=["tokenizer/tokenizer.pth", "model-720p-16fps.pt"],
    ),
    "nvidia/Cosmos-Predict2-14B-Text2Image (its own form alone)": Shape(
        {
            "README.md": 9000,
            "model.pt": 28_600 * MB,
            "model_fast_tokenizer.pt": 28_600 * MB,
            "tokenizer/tokenizer.pth": 508 * MB,
        },
        0,
        "other",
        "pickle",
        has=["tokenizer/tokenizer.pth", "model.pt"],
    ),
    "nvidia/Cosmos-Tokenizer-CV8x8x8 (TorchScript)": Shape(
        {
            "README.md": 9000,
            "autoencoder.jit": 420 * MB,
            "decoder.jit": 240 * MB,
            "encoder.jit": 180 * MB,
            "model_config.yaml": 900,
        },
        0.84,
        "other",
        has=["encoder.jit", "decoder.jit"],
    ),
    "a LoRA of a training program (checkpoints beside the last)": Shape(
        {
            "README.md": 3000,
            "config.yaml": 2000,
            "my-style.safetensors": 172 * MB,
            **{f"my-style_{n:09}.safetensors": 172 * MB for n in (250, 500, 750, 1000)},
            "optimizer.pt": 340 * MB,
            "samples/1729.jpg": 200 * KB,
        },
        0.172,
        "adapter",
        card={
            "tags": ["text-to-image", "flux", "lora", "diffusers", "template:sd-lora", "ai-toolkit"],
            "base_model": "black-forest-labs/FLUX.1-dev",
        },
        has=["my-style.safetensors"],
        lacks=["my-style_000000250.safetensors", "optimizer.pt"],
    ),
    "a LoRA with a name of its own": Shape(
        {"README.md": 3000, "flux_dev_softstyle.safetensors": 172 * MB, "images/a.png": MB},
        0.173,
        "adapter",
        card={"tags": ["text-to-image", "lora", "diffusers"], "base_model": "black-forest-labs/FLUX.1-dev"},
    ),
    "a LoRA of kohya's scripts, epochs alone": Shape(
        {"README.md": 300, **{f"pixel-{n:06}.safetensors": 228 * MB for n in (2, 4, 6, 8)}},
        0.228,
        "adapter",
        "has to be chosen",
        card={"tags": ["lora"], "base_model": "stabilityai/stable-diffusion-xl-base-1.0"},
        has=["pixel-000008.safetensors"],
    ),
    "XLabs-AI/flux-lora-collection": Shape(
        {
            "README.md": 3000,
            **{
                f"{name}_lora.safetensors": 22 * MB for name in ("anime", "art", "disney", "mjv6", "realism", "scenery")
            },
            **{f"{name}_lora_comfy_converted.safetensors": 22 * MB for name in ("anime", "art", "disney")},
        },
        0,
        "adapter",
        "has to be chosen",
        card={"tags": ["LoRA", "Stable Diffusion", "diffusers"], "base_model": "black-forest-labs/FLUX.1-dev"},
    ),
    "ByteDance/Hyper-SD (LoRAs by steps)": Shape(
        {
            "README.md": 9000,
            **{f"Hyper-SDXL-{n}steps-lora.safetensors": 787 * MB for n in (2, 4, 8)},
            **{f"Hyper-SD15-{n}steps-lora.safetensors": 269 * MB for n in (2, 4, 8)},
            **{f"Hyper-FLUX.1-dev-{n}steps-lora.safetensors": 1_390 * MB for n in (8, 16)},
            "comfyui/Hyper-SDXL-1step-Unified-Workflow.json": 9000,
        },
        0,
        "adapter",
        "has to be chosen",
        card={"tags": ["lora", "text-to-image"], "library_name": "diffusers"},
    ),
    "lllyasviel/ControlNet-v1-1 (one of many)": Shape(
        {
            "README.md": 9000,
            **{
                f"control_v11{kind}.{end}": size
                for kind in ("p_sd15_canny", "p_sd15_openpose", "f1p_sd15_depth", "e_sd15_shuffle", "p_sd15_mlsd")
                for end, size in (("pth", 1_450 * MB), ("yaml", 1949))
            },
        },
        1.45,
        "other",
        "has to be chosen",
    ),
    "guoyww/animatediff": Shape(
        {
            "README.md": 9000,
            "mm_sd_v14.ckpt": 1_670 * MB,
            "mm_sd_v15.ckpt": 1_670 * MB,
            "mm_sd_v15_v2.ckpt": 1_820 * MB,
            "mm_sdxl_v10_beta.ckpt": 950 * MB,
            **{f"v2_lora_{way}.ckpt": 77 * MB for way in ("PanLeft", "PanRight", "ZoomIn", "ZoomOut")},
            "v3_sd15_mm.ckpt": 1_670 * MB,
        },
        0,
        "other",
        "has to be chosen",
    ),
    "h94/IP-Adapter (a collection)": Shape(
        {
            "README.md": 9000,
            "models/image_encoder/config.json": 560,
            "models/image_encoder/model.safetensors": 2_530 * MB,
            "models/image_encoder/pytorch_model.bin": 2_530 * MB,
            **{
                f"models/ip-adapter{kind}_sd15{end}": size * MB
                for kind, size in {"": 44, "-plus": 98, "-plus-face": 98, "-full-face": 44}.items()
                for end in (".bin", ".safetensors")
            },
            "sdxl_models/image_encoder/config.json": 560,
            "sdxl_models/image_encoder/model.safetensors": 3_690 * MB,
            **{
                f"sdxl_models/ip-adapter{kind}{end}": size * MB
                for kind, size in {"_sdxl": 703, "_sdxl_vit-h": 698, "-plus_sdxl_vit-h": 848}.items()
                for end in (".bin", ".safetensors")
            },
        },
        0,
        "other",
        "has to be chosen",
        lacks=["models/image_encoder/pytorch_model.bin", "models/ip-adapter_sd15.bin"],
    ),
    "madebyollin/sdxl-vae-fp16-fix (one model under three names)": Shape(
        {
            "README.md": 9000,
            "config.json": 600,
            "diffusion_pytorch_model.bin": 335 * MB,
            "diffusion_pytorch_model.safetensors": 335 * MB,
            "sdxl.vae.safetensors": 335 * MB,
            "sdxl_vae.safetensors": 335 * MB,
            "images/a.png": MB,
        },
        0.336,
        "diffusers",
        card={"library_name": "diffusers"},
        lacks=["sdxl_vae.safetensors"],
    ),
    "InstantX/InstantID (two parts)": Shape(
        {
            "README.md": 9000,
            "ControlNetModel/config.json": 1300,
            "ControlNetModel/diffusion_pytorch_model.safetensors": 2_500 * MB,
            "ip-adapter.bin": 1_690 * MB,
        },
        4.19,
        "other",
        "pickle",
        card={"library_name": "diffusers"},
        has=["ip-adapter.bin", "ControlNetModel/config.json"],
    ),
    "xinsir/controlnet-union-sdxl-1.0": Shape(
        {
            "README.md": 9000,
            "config.json": 1300,
            "config_promax.json": 1300,
            "diffusion_pytorch_model.safetensors": 2_510 * MB,
            "diffusion_pytorch_model_promax.safetensors": 2_510 * MB,
        },
        2.51,
        "diffusers",
    ),
    "Lightricks/LTX-Video (everything it has)": Shape(
        {
            **pipeline(
                {
                    "text_encoder": shards("model", 4, 4.76 * GB),
                    "transformer": shards("diffusion_pytorch_model", 2, 3.85 * GB),
                    "vae": {"diffusion_pytorch_model.safetensors": 1_680 * MB},
                }
            ),
            **{f"ltx-video-2b-v0.9{end}.safetensors": 9_370 * MB for end in ("", ".1", ".5")},
            "ltxv-13b-0.9.7-dev.safetensors": 28_600 * MB,
            "ltxv-13b-0.9.7-dev-fp8.safetensors": 15_700 * MB,
            "ltxv-spatial-upscaler-0.9.7.safetensors": 505 * MB,
            "media/a.gif": 5 * MB,
        },
        28.43,
        "diffusers",
        lacks=["ltxv-spatial-upscaler-0.9.7.safetensors"],
    ),
    "Wan-AI/Wan2.1-T2V-1.3B (its own form)": Shape(
        {
            "README.md": 9000,
            "config.json": 250,
            "diffusion_pytorch_model.safetensors": 5_680 * MB,
            "Wan2.1_VAE.pth": 508 * MB,
            **_WAN_TEXT,
        },
        17.55,
        "other",
        "pickle",
        has=["Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"],
    ),
    "Wan-AI/Wan2.1-I2V-14B-480P (its own form)": Shape(
        {
            "README.md": 9000,
            "config.json": 250,
            **shards("diffusion_pytorch_model", 7, 9.3 * GB),
            "Wan2.1_VAE.pth": 508 * MB,
            "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth": 4_770 * MB,
            "xlm-roberta-large/tokenizer.json": 9 * MB,
            **_WAN_TEXT,
        },
        81.75,
        "other",
        "pickle",
        has=["models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth", "xlm-roberta-large/tokenizer.json"],
    ),
    "Comfy-Org/Wan_2.2_ComfyUI_Repackaged": Shape(
        {
            "README.md": 900,
            **{
                f"split_files/diffusion_models/wan2.2_{task}_{noise}_noise_14B_{kind}.safetensors": int(size * GB)
                for task in ("t2v", "i2v")
                for noise in ("high", "low")
                for kind, size in {"fp16": 28.6, "fp8_scaled": 14.3}.items()
            },
            "split_files/diffusion_models/wan2.2_ti2v_5B_fp16.safetensors": 10 * GB,
            "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": 6_740 * MB,
            "split_files/vae/wan2.2_vae.safetensors": 1_410 * MB,
            "split_files/vae/wan_2.1_vae.safetensors": 254 * MB,
        },
        0,
        "other",
        "has to be chosen",
        has=["split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"],
    ),
    "tencent/HunyuanVideo (with its fp8 twin)": Shape(
        {
            "README.md": 9000,
            "config.json": 900,
            "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.pt": 25_600 * MB,
            "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states_fp8.pt": 13_200 * MB,
            "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states_fp8_map.pt": 100 * KB,
            "hunyuan-video-t2v-720p/vae/config.json": 700,
            "hunyuan-video-t2v-720p/vae/pytorch_model.pt": 986 * MB,
        },
        26.59,
        "other",
        "pickle",
        has=["hunyuan-video-t2v-720p/vae/pytorch_model.pt"],
        lacks=["hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states_fp8.pt"],
    ),
    "tencent/Hunyuan3D-2 (each part in several forms)": Shape(
        {
            "README.md": 9000,
            "config.json": 9,
            **{
                f"hunyuan3d-dit-v2-0{end}/{file}": size
                for end in ("", "-fast", "-turbo")
                for file, size in {
                    "config.yaml": 2000,
                    "model.fp16.ckpt": 4_930 * MB,
                    "model.fp16.safetensors": 4_930 * MB,
                }.items()
            },
            **{
                f"hunyuan3d-vae-v2-0{end}/{file}": size
                for end in ("", "-turbo")
                for file, size in {
                    "config.yaml": 2000,
                    "model.fp16.ckpt": 655 * MB,
                    "model.fp16.safetensors": 655 * MB,
                }.items()
            },
            "hunyuan3d-delight-v2-0/model_index.json": 900,
            "hunyuan3d-delight-v2-0/unet/diffusion_pytorch_model.safetensors": 3_460 * MB,
            "hunyuan3d-delight-v2-0/vae/diffusion_pytorch_model.safetensors": 335 * MB,
        },
        9.38,
        "other",
        "has to be chosen",
        has=["hunyuan3d-dit-v2-0/model.fp16.safetensors", "hunyuan3d-vae-v2-0/config.yaml"],
        lacks=["hunyuan3d-dit-v2-0-turbo/config.yaml", "hunyuan3d-dit-v2-0/model.fp16.ckpt"],
    ),
    "stabilityai/sdxl-turbo": Shape(
        {
            **pipeline(
                _fp16(
                    {
                        "text_encoder": ("model", 0.49),
                        "text_encoder_2": ("model", 2.78),
                        "unet": ("diffusion_pytorch_model", 10.27),
                        "vae": ("diffusion_pytorch_model", 0.335),
                    }
                )
            ),
            "sd_xl_turbo_1.0.safetensors": 13_880 * MB,
            "sd_xl_turbo_1.0_fp16.safetensors": 6_940 * MB,
        },
        13.88,
        "diffusers",
        lacks=["sd_xl_turbo_1.0_fp16.safetensors"],
    ),
    "CompVis/stable-diffusion-v1-4 (Flax inside)": Shape(
        pipeline(
            {
                **_fp16({"safety_checker": ("model", 1.22), "text_encoder": ("model", 0.49)}),
                "unet": {
                    "diffusion_pytorch_model.safetensors": 3_440 * MB,
                    "diffusion_pytorch_model.bin": 3_440 * MB,
                    "diffusion_flax_model.msgpack": 3_440 * MB,
                },
                "vae": {"diffusion_pytorch_model.safetensors": 335 * MB, "diffusion_flax_model.msgpack": 335 * MB},
            }
        ),
        5.49,
        "diffusers",
        lacks=["unet/diffusion_flax_model.msgpack"],
    ),
    "stable-diffusion-v1-5/stable-diffusion-inpainting (fp16 alone is safe)": Shape(
        {
            **pipeline(
                {
                    folder: {f"{safe}.fp16.safetensors": size / 2, f"{stem}.bin": size, f"{stem}.fp16.bin": size / 2}
                    for folder, stem, safe, size in (
                        ("safety_checker", "pytorch_model", "model", 1.22 * GB),
                        ("text_encoder", "pytorch_model", "model", 0.49 * GB),
                        ("unet", "diffusion_pytorch_model", "diffusion_pytorch_model", 3.44 * GB),
                        ("vae", "diffusion_pytorch_model", "diffusion_pytorch_model", 0.335 * GB),
                    )
                }
            ),
            "sd-v1-5-inpainting.ckpt": 4_270 * MB,
        },
        2.74,
        "diffusers",
        lacks=["unet/diffusion_pytorch_model.bin", "sd-v1-5-inpainting.ckpt"],
    ),
    "stabilityai/stable-cascade (parts by letters)": Shape(
        {
            "README.md": 9000,
            "stage_a.safetensors": 73 * MB,
            "stage_b.safetensors": 6_250 * MB,
            "stage_b_bf16.safetensors": 3_130 * MB,
            "stage_c.safetensors": 14_400 * MB,
            "stage_c_bf16.safetensors": 7_180 * MB,
            "effnet_encoder.safetensors": 81 * MB,
            "previewer.safetensors": 20 * MB,
        },
        20.83,
        "other",
        has=["stage_a.safetensors", "effnet_encoder.safetensors", "stage_c.safetensors"],
        lacks=["stage_b_bf16.safetensors"],
    ),
    "zai-org/CogVideoX-5b": Shape(
        pipeline(
            {
                "text_encoder": shards("model", 2, 4.76 * GB),
                "transformer": shards("diffusion_pytorch_model", 2, 5.6 * GB),
                "vae": {"diffusion_pytorch_model.safetensors": 862 * MB},
            }
        ),
        21.58,
        "diffusers",
    ),
    "facebook/sam2.1-hiera-large (both forms)": Shape(
        {
            "README.md": 9000,
            **dict.fromkeys(("config.json", "preprocessor_config.json", "processor_config.json"), 900),
            "model.safetensors": 898 * MB,
            "sam2.1_hiera_large.pt": 898 * MB,
            "sam2.1_hiera_l.yaml": 3700,
        },
        0.898,
        "transformers",
        config={"architectures": ["Sam2VideoModel"], "model_type": "sam2_video"},
        lacks=["sam2.1_hiera_large.pt"],
    ),
    "ybelkada/segment-anything (sizes by letters)": Shape(
        {
            "README.md": 900,
            "checkpoints/sam_vit_b_01ec64.pth": 375 * MB,
            "checkpoints/sam_vit_l_0b3195.pth": 1_250 * MB,
            "checkpoints/sam_vit_h_4b8939.pth": 2_560 * MB,
        },
        0,
        "other",
        "has to be chosen",
    ),
    "sizes of SAM 2 side by side": Shape(
        {
            "README.md": 900,
            **{
                f"sam2.1_hiera_{name}.pt": size * MB
                for name, size in {"tiny": 156, "small": 184, "base_plus": 323, "large": 898}.items()
            },
        },
        0,
        "other",
        "has to be chosen",
    ),
    "depth-anything/Depth-Anything-V2-Large": Shape(
        {"README.md": 3000, "depth_anything_v2_vitl.pth": 1_340 * MB},
        1.34,
        "other",
        "pickle",
        card={"library_name": "depth-anything-v2"},
    ),
    "microsoft/Florence-2-large": Shape(
        {
            **texts("modeling_florence2.py", "processing_florence2.py", "preprocessor_config.json"),
            "model.safetensors": 1_540 * MB,
            "pytorch_model.bin": 1_540 * MB,
        },
        1.55,
        "transformers",
    ),
    "apple/aimv2-large-patch14-224 (MLX's twin)": Shape(
        {
            "README.md": 3000,
            "config.json": 900,
            "preprocessor_config.json": 300,
            "model.safetensors": 1_240 * MB,
            "mlx_model.safetensors": 1_240 * MB,
            "flax_model.msgpack": 1_240 * MB,
            "modeling_aimv2.py": 9000,
        },
        1.24,
        "transformers",
        config={"model_type": "aimv2", "architectures": ["AIMv2Model"]},
        lacks=["mlx_model.safetensors", "flax_model.msgpack"],
    ),
    "briaai/RMBG-1.4": Shape(
        {
            **dict.fromkeys(("README.md", "config.json", "preprocessor_config.json"), 900),
            "MyConfig.py": 500,
            "briarmbg.py": 14 * KB,
            **dict.fromkeys(("model.pth", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"), 176 * MB),
            "onnx/model_fp16.onnx": 88 * MB,
            "onnx/model_quantized.onnx": 44 * MB,
        },
        0.176,
        "transformers",
        config={"architectures": ["BriaRMBG"], "model_type": "SegformerForSemanticSegmentation"},
    ),
    "SmilingWolf/wd-vit-tagger-v3": Shape(
        {
            "README.md": 900,
            "config.json": 900,
            "sw_jax_cv_config.json": 900,
            "selected_tags.csv": 308 * KB,
            **dict.fromkeys(("model.onnx", "model.safetensors", "model.msgpack"), 378 * MB),
        },
        0.379,
        "other",
        card={"library_name": "timm"},
        has=["selected_tags.csv"],
    ),
    "immich-app/ViT-B-32__openai (two graphs)": Shape(
        {
            "README.md": 900,
            "config.json": 900,
            "textual/model.onnx": 254 * MB,
            "textual/tokenizer.json": 2 * MB,
            "visual/model.onnx": 352 * MB,
            "visual/preprocess_cfg.json": 300,
        },
        0.608,
        "onnx",
        has=["textual/model.onnx", "visual/model.onnx"],
    ),
    "ds4sd/docling-models": Shape(
        {
            "README.md": 900,
            "config.json": 40,
            "model_artifacts/layout/config.json": 3000,
            "model_artifacts/layout/model.safetensors": 172 * MB,
            "model_artifacts/layout/preprocessor_config.json": 300,
            **{
                f"model_artifacts/tableformer/{kind}/{file}": size
                for kind, weights in (("accurate", 213), ("fast", 146))
                for file, size in {f"tableformer_{kind}.safetensors": weights * MB, "tm_config.json": 7000}.items()
            },
        },
        0.531,
        "other",
        has=["model_artifacts/tableformer/fast/tableformer_fast.safetensors"],
    ),
    "apple/coreml-stable-diffusion-v1-4 (two packings of each)": Shape(
        {
            "README.md": 900,
            **{
                f"{way}/{form}/{end}": size * MB
                for way in ("original", "split_einsum")
                for form, ends in {
                    "compiled": ("Unet.mlmodelc/weights/weight.bin", "TextEncoder.mlmodelc/weights/weight.bin"),
                    "packages": (
                        "U.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                        "T.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                    ),
                }.items()
                for end, size in zip(ends, (1720, 246), strict=True)
            },
        },
        0,
        "coreml",
        "has to be chosen",
    ),
}
