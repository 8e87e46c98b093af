"""Shapes of repositories that are exports, engines, packings and leftovers: names as programs write them."""

from tests.modelcar.hub.more_repositories import GB, KB, MB, Shape, shards, texts

_LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}

ODD: dict[str, Shape] = {
    "all exports of Ultralytics": Shape(
        {
            "README.md": 900,
            "yolov8n.pt": 6_500 * KB,
            "yolov8n.onnx": 12_800 * KB,
            "yolov8n.torchscript": 12_900 * KB,
            "yolov8n.engine": 15 * MB,
            "yolov8n_openvino_model/yolov8n.xml": 200 * KB,
            "yolov8n_openvino_model/yolov8n.bin": 12_700 * KB,
            "yolov8n_openvino_model/metadata.yaml": 600,
            "yolov8n_saved_model/saved_model.pb": 500 * KB,
            "yolov8n_saved_model/variables/variables.data-00000-of-00001": 12_500 * KB,
            "yolov8n_saved_model/variables/variables.index": 9 * KB,
            "yolov8n_saved_model/yolov8n_float16.tflite": 6_400 * KB,
            "yolov8n.mlpackage/Data/com.apple.CoreML/weights/weight.bin": 6_300 * KB,
        },
        0.0065,
        "other",
        "pickle",
        card={"library_name": "ultralytics"},
        lacks=["yolov8n.engine", "yolov8n_openvino_model/metadata.yaml", "yolov8n_saved_model/saved_model.pb"],
    ),
    "OpenVINO asked for": Shape(
        {
            "README.md": 900,
            "yolov8n.pt": 6_500 * KB,
            "yolov8n_openvino_model/yolov8n.xml": 200 * KB,
            "yolov8n_openvino_model/yolov8n.bin": 12_700 * KB,
            "yolov8n_openvino_model/metadata.yaml": 600,
        },
        0.0129,
        "openvino",
        variant="yolov8n_openvino_model",
        has=["yolov8n_openvino_model/metadata.yaml"],
    ),
    "engines for two and four GPUs": Shape(
        {
            "README.md": 900,
            **{f"tp{count}/rank{n}.engine": int(16 * GB / count) for count in (2, 4) for n in range(count)},
            **{f"tp{count}/config.json": 4000 for count in (2, 4)},
        },
        16,
        "tensorrt-llm",
        "has to be chosen",
    ),
    "a Triton repository of TensorRT-LLM": Shape(
        {
            "ensemble/config.pbtxt": 4000,
            "preprocessing/1/model.py": 9000,
            "preprocessing/config.pbtxt": 4000,
            "tensorrt_llm/config.pbtxt": 4000,
            **{f"tensorrt_llm/1/rank{n}.engine": 8 * GB for n in range(2)},
            "tensorrt_llm/1/config.json": 4000,
        },
        16,
        "tensorrt-llm",
        has=["preprocessing/1/model.py", "ensemble/config.pbtxt", "tensorrt_llm/1/config.json"],
    ),
    "TensorFlow in HDF5 and as a SavedModel": Shape(
        {
            **texts("vocab.txt"),
            "tf_model.h5": 440 * MB,
            "saved_model/1/saved_model.pb": 9 * MB,
            "saved_model/1/variables/variables.data-00000-of-00001": 438 * MB,
            "saved_model/1/variables/variables.index": 14 * KB,
        },
        0.456,
        "tensorflow",
        lacks=["tf_model.h5"],
    ),
    "Keras's one file and its older form": Shape(
        {"README.md": 900, "model.keras": 90 * MB, "model.h5": 90 * MB},
        0.09,
        "tensorflow",
        lacks=["model.h5"],
    ),
    "optimum's three graphs": Shape(
        {
            **texts("spiece.model"),
            "encoder_model.onnx": 141 * MB,
            "decoder_model.onnx": 232 * MB,
            "decoder_with_past_model.onnx": 219 * MB,
        },
        0.601,
        "onnx",
        has=["decoder_with_past_model.onnx"],
    ),
    "an index that leads into a folder": Shape(
        {
            **texts(),
            **{f"shards/part-{n}.safetensors": 4 * GB for n in (1, 2, 3)},
            "model.safetensors.index.json": 30 * KB,
        },
        12.01,
        "transformers",
        config=_LLAMA,
        documents={
            "model.safetensors.index.json": {"weight_map": {str(n): f"shards/part-{n}.safetensors" for n in (1, 2, 3)}}
        },
        has=["model.safetensors.index.json"],
    ),
    "a text classifier in two pickles": Shape(
        {"README.md": 900, "vectorizer.joblib": 3 * MB, "model.joblib": 9 * MB, "labels.json": 200},
        0.012,
        "sklearn",
        "pickle",
        card={"library_name": "sklearn"},
        has=["vectorizer.joblib"],
    ),
    "XGBoost with its scaler": Shape(
        {"README.md": 900, "model.ubj": 9 * MB, "scaler.pkl": 2 * KB}, 0.009, "xgboost", "pickle", has=["scaler.pkl"]
    ),
    "three sizes of GGUF in one repository": Shape(
        {
            "README.md": 900,
            **{f"Qwen2.5-{size}-Instruct-Q4_K_M.gguf": int(float(size[:-1]) * GB) for size in ("0.5B", "1.5B", "7B")},
        },
        0,
        "gguf",
        "has to be chosen",
    ),
    "one of them asked for by its file": Shape(
        {
            "README.md": 900,
            **{f"Qwen2.5-{size}-Instruct-Q4_K_M.gguf": int(float(size[:-1]) * GB) for size in ("0.5B", "1.5B", "7B")},
        },
        1.5,
        "gguf",
        variant="Qwen2.5-1.5B-Instruct-Q4_K_M",
    ),
    "an adapter beside the merged weights": Shape(
        {
            **texts("adapter_config.json"),
            **shards("model", 4, 4 * GB),
            "adapter_model.safetensors": 168 * MB,
            "checkpoint-120/adapter_model.safetensors": 168 * MB,
            "checkpoint-120/optimizer.pt": 336 * MB,
        },
        16.18,
        "transformers",
        config=_LLAMA,
        lacks=["checkpoint-120/adapter_model.safetensors"],
    ),
    "merged weights in a folder beside the adapter": Shape(
        {
            **texts("adapter_config.json"),
            "adapter_model.safetensors": 168 * MB,
            **shards("merged/model", 4, 4 * GB),
            "merged/config.json": 700,
            "merged/tokenizer.json": 9 * MB,
        },
        0,
        "transformers",
        has=["merged/config.json", "merged/model-00001-of-00004.safetensors"],
    ),
    "a run of accelerate": Shape(
        {
            **texts(),
            "model.safetensors": 2 * GB,
            "optimizer.bin": 4 * GB,
            "scheduler.bin": 1000,
            "random_states_0.pkl": 14 * KB,
            "scaler.pt": 900,
            "sampler.bin": 900,
            "custom_checkpoint_0.pkl": 900,
        },
        2.01,
        "transformers",
        lacks=["custom_checkpoint_0.pkl", "sampler.bin", "optimizer.bin"],
    ),
    "Megatron's shards of optimizers beside the weights": Shape(
        {
            **texts(),
            **shards("model", 2, 5 * GB),
            "global_step1000/mp_rank_00_model_states.pt": 10 * GB,
            "global_step1000/zero_pp_rank_0_mp_rank_00_optim_states.pt": 60 * GB,
            "latest": 16,
        },
        10.01,
        "transformers",
    ),
    "FSDP shards alone": Shape(
        {
            **texts(),
            **{f"pytorch_model_fsdp_0/__{n}_0.distcp": 2 * GB for n in range(4)},
            "pytorch_model_fsdp_0/.metadata": 90 * KB,
        },
        0,
        "none",
        "accelerate merge-weights",
    ),
    "bits per weight in folders": Shape(
        {
            "README.md": 900,
            **{
                f"{bits}bpw/{name}": size
                for bits, weights in (("3.0", 3), ("4.25", 4), ("6.0", 6))
                for name, size in {"output.safetensors": weights * GB, "config.json": 900, "tokenizer.json": MB}.items()
            },
        },
        0,
        "transformers",
        "has to be chosen",
    ),
    "an ONNX model with its voices": Shape(
        {
            "README.md": 900,
            "kokoro-v1.0.onnx": 310 * MB,
            "kokoro-v1.0.int8.onnx": 88 * MB,
            "voices-v1.0.bin": 27 * MB,
        },
        0.337,
        "onnx",
        "has to be chosen",
        has=["kokoro-v1.0.onnx", "voices-v1.0.bin"],
    ),
    "TencentARC/T2I-Adapter (one of many)": Shape(
        {
            "README.md": 900,
            **{f"models/t2iadapter_{kind}_sd14v1.pth": 309 * MB for kind in ("canny", "depth", "sketch", "seg")},
            "models/coadapter-canny-sd15v1.pth": 310 * MB,
        },
        0.309,
        "other",
        "has to be chosen",
    ),
    "Flax's own checkpoint beside a tokenizer": Shape(
        {
            "README.md": 900,
            "7b/_METADATA": 9000,
            "7b/d/0f3c8a": 17 * GB,
            "7b/manifest.ocdbt": 120,
            "tokenizer.model": 4 * MB,
        },
        17.0,
        "other",
        has=["7b/_METADATA", "tokenizer.model"],
    ),
    "fairseq's form in a folder": Shape(
        {**texts(), "model.safetensors": GB, "pytorch_model.bin": GB, "fairseq_model/model.pt": 3 * GB},
        1.01,
        "transformers",
        lacks=["fairseq_model/model.pt"],
    ),
    "an adapter of MLX with its states": Shape(
        {
            "README.md": 900,
            "adapter_config.json": 900,
            **{f"{name}adapters.safetensors": 20 * MB for name in ("", "0000100_", "0000200_")},
        },
        0.02,
        "adapter",
        has=["adapters.safetensors"],
        lacks=["0000100_adapters.safetensors"],
    ),
    "parts at the top, and a model of transformers in a folder": Shape(
        {
            "README.md": 900,
            "s1.ckpt": 155 * MB,
            "s2G.pth": 106 * MB,
            "chinese-roberta-wwm-ext-large/config.json": 900,
            "chinese-roberta-wwm-ext-large/pytorch_model.bin": 651 * MB,
            "chinese-roberta-wwm-ext-large/tokenizer.json": 300 * KB,
        },
        0.912,
        "other",
        "pickle",
    ),
    "a checkpoint for TensorRT-LLM to build": Shape(
        {
            "README.md": 900,
            "config.json": 900,
            "tokenizer.json": 9 * MB,
            **{f"rank{n}.safetensors": 8 * GB for n in range(4)},
        },
        32.01,
        "other",
        documents={"config.json": {"producer": {"name": "modelopt"}, "architecture": "LlamaForCausalLM"}},
    ),
    "parts of a speech recognizer in full and in 8 bits": Shape(
        {
            "README.md": 900,
            **{
                f"{part}-epoch-99-avg-1{kind}.onnx": int(size * share * MB)
                for part, size in {"encoder": 250, "decoder": 2, "joiner": 1}.items()
                for kind, share in {"": 1, ".int8": 0.3}.items()
            },
            "tokens.txt": 5000,
        },
        0.253,
        "onnx",
        "has to be chosen",
        has=["joiner-epoch-99-avg-1.onnx", "tokens.txt"],
    ),
    "pictures and a README": Shape(
        {"README.md": 9000, "samples/a.png": 4 * MB, "demo.mp4": 90 * MB}, 0, "none", "no weights"
    ),
    "code alone": Shape({"README.md": 9000, "train.py": 9000, "requirements.txt": 300}, 0, "none", "no weights"),
    "configuration and code without weights": Shape(
        {**texts("modeling_x.py", "configuration_x.py")}, 0, "none", "no weights"
    ),
    "shards of two bit widths side by side": Shape(
        {
            **texts(),
            **shards("model", 3, 5 * GB),
            **shards("model-4bit", 1, 4 * GB, index=False),
        },
        15.01,
        "transformers",
        lacks=["model-4bit-00001-of-00001.safetensors"],
    ),
    "a shard of which nothing came": Shape(
        {**texts(), **shards("model", 3, 5 * GB), "model-00002-of-00003.safetensors": 0},
        10.01,
        "transformers",
        "not complete",
    ),
    "a pointer among shards": Shape(
        {**texts(), **shards("model", 3, 5 * GB), "model-00003-of-00003.safetensors": 135},
        10.01,
        "transformers",
        "pointer",
    ),
    "broken safetensors beside whole pickles in shards": Shape(
        {
            **{path: size for path, size in shards("model", 3, 5 * GB).items() if "00002" not in path},
            **texts(),
            **shards("pytorch_model", 3, 5 * GB, "bin"),
        },
        15.01,
        "transformers",
        "pickle",
        lacks=["model-00001-of-00003.safetensors"],
    ),
}
