"""Shapes of real repositories of language models and classifiers: names as they are, sizes rounded."""

from tests.modelcar.hub.more_repositories import GB, KB, MB, Shape, shards, texts

_ST = {"modules.json": 349, "sentence_bert_config.json": 53, "config_sentence_transformers.json": 123}
_POOLING = {**_ST, "1_Pooling/config.json": 190}
_EVERY = ("model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot")
_LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def _ggufs(stem: str, sizes: dict[str, float], joint: str = "-") -> dict[str, int]:
    return {f"{stem}{joint}{name}.gguf": int(size * GB) for name, size in sizes.items()}


LANGUAGE: dict[str, Shape] = {
    "facebook/bart-large-cnn": Shape(
        {**texts("vocab.json", "generation_config_for_summarization.json"), **dict.fromkeys(_EVERY, 1_630 * MB)},
        1.64,
        "transformers",
    ),
    "FacebookAI/xlm-roberta-base (a graph at the top)": Shape(
        {
            **texts("sentencepiece.bpe.model"),
            **dict.fromkeys(("model.safetensors", "pytorch_model.bin", "flax_model.msgpack", "model.onnx"), 1_120 * MB),
            "tf_model.h5": 1_890 * MB,
        },
        1.13,
        "transformers",
        lacks=["model.onnx", "tf_model.h5"],
    ),
    "distilbert/distilbert-base-cased-distilled-squad (archives of TensorFlow)": Shape(
        {
            **texts("vocab.txt"),
            **dict.fromkeys(
                ("model.safetensors", "pytorch_model.bin", "rust_model.ot", "openvino_model.bin"), 261 * MB
            ),
            "tf_model.h5": 354 * MB,
            "openvino_model.xml": 300 * KB,
            "saved_model.tar.gz": 240 * MB,
            "tfjs.tar.gz": 231 * MB,
        },
        0.27,
        "transformers",
        lacks=["saved_model.tar.gz", "tfjs.tar.gz", "openvino_model.xml"],
    ),
    "monologg/koelectra-small-v2-distilled-korquad-384 (TensorFlow Lite in three types)": Shape(
        {
            **texts("vocab.txt"),
            **dict.fromkeys(("model.safetensors", "pytorch_model.bin", "model.tflite"), 56 * MB),
            "model_8bits.tflite": 15 * MB,
            "model_fp16.tflite": 28 * MB,
        },
        0.065,
        "transformers",
        lacks=["model.tflite", "model_8bits.tflite", "model_fp16.tflite"],
    ),
    "m-a-p/MERT-v1-95M (fairseq's own beside it)": Shape(
        {
            "README.md": 9000,
            **dict.fromkeys(("config.json", "preprocessor_config.json"), 900),
            "modeling_MERT.py": 17 * KB,
            "pytorch_model.bin": 378 * MB,
            "MERT-v1-95M_fairseq.pt": 1_160 * MB,
        },
        0.378,
        "transformers",
        "pickle",
        config={"architectures": ["MERTModel"], "model_type": "mert_model"},
        lacks=["MERT-v1-95M_fairseq.pt"],
    ),
    "microsoft/deberta-large-mnli (a tokenizer in a pickle)": Shape(
        {"README.md": 900, "config.json": 900, "bpe_encoder.bin": 3_910 * KB, "pytorch_model.bin": 1_620 * MB},
        1.624,
        "transformers",
        "pickle",
        has=["bpe_encoder.bin"],
        config={"model_type": "deberta"},
    ),
    "jonatasgrosman/wav2vec2-large-xlsr-53-russian (a language model beside it)": Shape(
        {
            **texts("vocab.json", "alphabet.json", "language_model/attrs.json", "eval.py"),
            "language_model/lm.binary": 862 * MB,
            "language_model/unigrams.txt": 5 * MB,
            "pytorch_model.bin": 1_260 * MB,
            "flax_model.msgpack": 1_260 * MB,
        },
        2.14,
        "transformers",
        "pickle",
        has=["language_model/lm.binary", "language_model/unigrams.txt"],
    ),
    "dslim/bert-base-NER": Shape(
        {
            **texts("vocab.txt", "added_tokens.json", "onnx/tokenizer_config.json"),
            **dict.fromkeys((*_EVERY[:4], "onnx/model.onnx"), 433 * MB),
        },
        0.442,
        "transformers",
        lacks=["onnx/tokenizer_config.json"],
    ),
    "google-t5/t5-small (graphs in a folder)": Shape(
        {
            **texts("spiece.model"),
            **dict.fromkeys(_EVERY, 242 * MB),
            **{
                f"onnx/{part}{end}.onnx": 140 * MB
                for part in ("encoder_model", "decoder_model", "decoder_model_merged", "decoder_with_past_model")
                for end in ("", "_quantized")
            },
        },
        0.251,
        "transformers",
    ),
    "openai-community/gpt2 (TensorFlow Lite at the top)": Shape(
        {
            **texts("vocab.json", "merges.txt"),
            **dict.fromkeys(_EVERY, 548 * MB),
            "64.tflite": 496 * MB,
            "64-8bits.tflite": 125 * MB,
            "64-fp16.tflite": 249 * MB,
            "onnx/decoder_model.onnx": 650 * MB,
        },
        0.557,
        "transformers",
        lacks=["64.tflite", "64-8bits.tflite"],
    ),
    "bigscience/bloom-560m": Shape(
        {
            **texts(),
            "model.safetensors": 1_120 * MB,
            "pytorch_model.bin": 1_120 * MB,
            "flax_model.msgpack": 1_120 * MB,
            "onnx/decoder_model.onnx": 3 * MB,
            "onnx/decoder_model.onnx_data": 3_260 * MB,
        },
        1.13,
        "transformers",
    ),
    "tiiuae/falcon-180B": Shape({**texts("LICENSE.txt"), **shards("model", 81, 4.44 * GB)}, 359.6, "transformers"),
    "mistralai/Mistral-Nemo-Instruct-2407": Shape(
        {
            **texts("params.json", "tekken.json"),
            **shards("model", 5, 4.9 * GB),
            "consolidated.safetensors": 24_500 * MB,
        },
        24.51,
        "transformers",
        lacks=["params.json", "consolidated.safetensors"],
    ),
    "mistralai/Magistral-Small-2509 (tekken alone)": Shape(
        {
            "README.md": 9000,
            **dict.fromkeys(("config.json", "generation_config.json", "params.json", "SYSTEM_PROMPT.txt"), 1200),
            "tekken.json": 19 * MB,
            **shards("model", 10, 4.8 * GB),
            "consolidated.safetensors": 48 * GB,
        },
        48.02,
        "transformers",
        lacks=["params.json"],
        config={"architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3"},
    ),
    "mistralai/Pixtral-Large-Instruct-2411": Shape(
        {
            "README.md": 9000,
            **dict.fromkeys(("params.json", "SYSTEM_PROMPT.txt", "LICENSE.md"), 1200),
            "tekken.json": 15 * MB,
            **shards("consolidated", 52, 4.76 * GB),
        },
        247.5,
        "mistral",
        has=["params.json", "tekken.json"],
    ),
    "meta-llama/Llama-3.1-405B-Instruct (two originals)": Shape(
        {
            **texts("LICENSE", "USE_POLICY.md"),
            **shards("model", 191, 4.25 * GB),
            **{
                f"original/mp{count}/consolidated.{n:02}.pth": int(812 * GB / count)
                for count in (8, 16)
                for n in range(count)
            },
            **{f"original/mp{count}/params.json": 200 for count in (8, 16)},
        },
        811.8,
        "transformers",
        lacks=["original/mp8/params.json"],
    ),
    "meta-llama/Llama-Guard-3-1B-INT4 (ExecuTorch)": Shape(
        {
            "README.md": 9000,
            "LICENSE.txt": 7000,
            "llama_guard_3_1b_pruned_xnnpack.pte": 450 * MB,
            "tokenizer.model": 2 * MB,
        },
        0.452,
        "other",
    ),
    "meta-llama/Llama-3.2-1B-Instruct-SpinQuant_INT4_EO8": Shape(
        {"README.md": 9000, "consolidated.00.pth": 1_140 * MB, "params.json": 300, "tokenizer.model": 2 * MB},
        1.142,
        "other",
        "pickle",
    ),
    "microsoft/Phi-3-medium-4k-instruct-onnx-cuda": Shape(
        {
            "README.md": 9000,
            **{
                f"{folder}/{name}": size
                for folder, weights in (("cuda-fp16", 27.9), ("cuda-int4-rtn-block-32", 8.6))
                for name, size in {
                    "genai_config.json": 1600,
                    "tokenizer.json": 2 * MB,
                    "model.onnx": 50 * MB,
                    "model.onnx.data": int(weights * GB),
                }.items()
            },
        },
        8.65,
        "onnx",
        "has to be chosen",
        has=["cuda-int4-rtn-block-32/genai_config.json"],
    ),
    "onnxruntime/DeepSeek-R1-Distill-ONNX (models by devices)": Shape(
        {
            "README.md": 9000,
            **{
                f"{model}/{device}/{name}": size
                for model, weights in (("deepseek-r1-distill-qwen-1.5B", 1.4), ("deepseek-r1-distill-qwen-7B", 5.5))
                for device in ("cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4", "gpu/gpu-int4-rtn-block-32")
                for name, size in {
                    "genai_config.json": 1600,
                    "tokenizer.json": 7 * MB,
                    "model.onnx": 300 * KB,
                    "model.onnx.data": int(weights * GB),
                }.items()
            },
        },
        0,
        "onnx",
        "has to be chosen",
    ),
    "onnx-community/Qwen2-VL-2B-Instruct (three graphs in many types)": Shape(
        {
            **texts("preprocessor_config.json", "chat_template.json"),
            **{
                f"onnx/{part}{end}.onnx": int(size * share * MB)
                for part, size in {"embed_tokens": 933, "decoder_model_merged": 6_100, "vision_encoder": 2_660}.items()
                for end, share in {"_fp16": 0.5, "_q4": 0.2, "_q4f16": 0.15, "_int8": 0.25, "_uint8": 0.25}.items()
            },
        },
        0,
        "onnx",
        "has to be chosen",
    ),
    "the same, q4f16 asked for": Shape(
        {
            **texts("preprocessor_config.json"),
            **{
                f"onnx/{part}{end}.onnx": int(size * share * MB)
                for part, size in {"embed_tokens": 933, "decoder_model_merged": 6_100, "vision_encoder": 2_660}.items()
                for end, share in {"_fp16": 0.5, "_q4f16": 0.15, "_int8": 0.25}.items()
            },
        },
        1.463,
        "onnx",
        variant="q4f16",
        has=["onnx/embed_tokens_q4f16.onnx", "onnx/vision_encoder_q4f16.onnx"],
    ),
    "jbochi/madlad400-3b-mt (GGUF beside it)": Shape(
        {
            **texts("spiece.model"),
            "model.safetensors": 11_800 * MB,
            "model-q4k.gguf": 1_650 * MB,
            "model-q6k.gguf": 2_400 * MB,
            "sentencepiece.model": 4 * MB,
        },
        11.81,
        "transformers",
        lacks=["model-q4k.gguf"],
    ),
    "mradermacher/Qwen3-32B-i1-GGUF (pieces and an imatrix)": Shape(
        {
            "README.md": 9000,
            "imatrix.dat": 16 * MB,
            **_ggufs("Qwen3-32B", {"i1-IQ1_S": 7.2, "i1-Q4_K_M": 19.8, "i1-Q4_K_S": 18.8, "i1-Q6_K": 26.9}, "."),
        },
        19.8,
        "gguf",
        "has to be chosen",
        lacks=["imatrix.dat"],
    ),
    "mradermacher, parts of a file": Shape(
        {
            "README.md": 9000,
            "Big.Q2_K.gguf": 40 * GB,
            **{f"Big.Q4_K_M.gguf.part{n}of3": 30 * GB for n in (1, 2, 3)},
        },
        90,
        "gguf",
        variant="Q4_K_M",
    ),
    "ggml-org/SmolVLM-Instruct-GGUF (a projector of each type)": Shape(
        {
            "README.md": 900,
            "SmolVLM-Instruct-Q8_0.gguf": 1_930 * MB,
            "SmolVLM-Instruct-f16.gguf": 3_630 * MB,
            "SmolVLM-Instruct-Q4_K_M.gguf": 1_120 * MB,
            "mmproj-SmolVLM-Instruct-Q8_0.gguf": 593 * MB,
            "mmproj-SmolVLM-Instruct-f16.gguf": 872 * MB,
        },
        1.99,
        "gguf",
        "has to be chosen",
        has=["mmproj-SmolVLM-Instruct-f16.gguf"],
    ),
    "city96/FLUX.1-dev-gguf (without the usual type)": Shape(
        {
            "README.md": 9000,
            **_ggufs("flux1-dev", {"F16": 23.8, "Q2_K": 4.0, "Q4_0": 6.8, "Q4_K_S": 6.8, "Q5_K_S": 8.3, "Q8_0": 12.7}),
        },
        6.8,
        "gguf",
        "has to be chosen",
    ),
    "mozilla-ai/Llama-3.2-3B-Instruct-llamafile": Shape(
        {
            "README.md": 9000,
            **{
                f"Llama-3.2-3B-Instruct.{kind}.llamafile": int(size * GB)
                for kind, size in {"Q4_K_M": 2.6, "Q6_K": 3.2, "Q8_0": 4.0}.items()
            },
        },
        2.6,
        "other",
        "has to be chosen",
    ),
    "LoneStriker/Yi-34B-4.0bpw-h6-exl2 (the index of other files)": Shape(
        {
            **texts("tokenizer.model"),
            **{f"output-{n:05}-of-00003.safetensors": 6 * GB for n in (1, 2, 3)},
            "model.safetensors.index.json": 46 * KB,
            "measurement.json": 900 * KB,
        },
        18.01,
        "transformers",
        config=_LLAMA,
        documents={
            "model.safetensors.index.json": {
                "weight_map": {str(n): f"model-{n:05}-of-00007.safetensors" for n in range(1, 8)}
            }
        },
        lacks=["model.safetensors.index.json"],
    ),
    "mlc-ai/Llama-3.2-1B-Instruct-q4f16_1-MLC": Shape(
        {
            "README.md": 900,
            "mlc-chat-config.json": 1900,
            "ndarray-cache.json": 60 * KB,
            "tokenizer.json": 9 * MB,
            "tokenizer_config.json": 50 * KB,
            **{f"params_shard_{n}.bin": 32 * MB for n in range(22)},
        },
        0.713,
        "other",
        has=["ndarray-cache.json", "params_shard_21.bin"],
        card={"library_name": "mlc-llm"},
    ),
    "taobao-mnn/Qwen2.5-7B-Instruct-MNN": Shape(
        {
            "README.md": 900,
            **dict.fromkeys(("config.json", "llm_config.json", "llm.mnn.json"), 4000),
            "embeddings_bf16.bin": 1_090 * MB,
            "llm.mnn": 600 * KB,
            "llm.mnn.weight": 4 * GB,
            "tokenizer.txt": 2 * MB,
        },
        5.1,
        "other",
        "pickle",
        has=["llm.mnn", "llm.mnn.weight", "embeddings_bf16.bin"],
    ),
    "BlinkDL/rwkv-4-pile-7b (dates)": Shape(
        {
            "README.md": 900,
            **{
                f"RWKV-4-Pile-7B-{end}.pth": 14_800 * MB
                for end in ("20221115-8047", "20230109-ctx4096", "EngChn-test4-20230330", "Instruct-test4-20230326")
            },
        },
        14.8,
        "other",
        "has to be chosen",
    ),
    "BlinkDL/rwkv7-g1 (sizes)": Shape(
        {
            "README.md": 900,
            **{
                f"rwkv7-g1-{size}b-20250307-ctx4096.pth": int(float(size) * 2 * GB)
                for size in ("0.1", "0.4", "1.5", "2.9")
            },
        },
        0,
        "other",
        "has to be chosen",
    ),
    "tencent/Tencent-Hunyuan-Large (whole models in folders)": Shape(
        {
            "README.md": 9000,
            **{
                f"Hunyuan-A52B-{kind}/{name}": size
                for kind, each in (("Instruct", 9.8), ("Instruct-FP8", 4.9), ("Pretrain", 9.8))
                for name, size in {
                    **shards("model", 80, each * GB),
                    "config.json": 2000,
                    "tokenizer_config.json": 2000,
                    "hy.tiktoken": 2 * MB,
                }.items()
            },
        },
        0,
        "transformers",
        "has to be chosen",
    ),
    "the same, one of them asked for": Shape(
        {
            "README.md": 9000,
            **{
                f"Hunyuan-A52B-{kind}/{name}": size
                for kind, each in (("Instruct", 9.8), ("Instruct-FP8", 4.9), ("Pretrain", 9.8))
                for name, size in {
                    **shards("model", 8, each * GB),
                    "config.json": 2000,
                    "tokenizer_config.json": 2000,
                }.items()
            },
        },
        78.4,
        "transformers",
        variant="Hunyuan-A52B-Instruct",
        has=["Hunyuan-A52B-Instruct/config.json"],
        lacks=["Hunyuan-A52B-Pretrain/config.json"],
    ),
    "nvidia/megatron-gpt2-345m (ranks below one step)": Shape(
        {
            "README.md": 900,
            "latest_checkpointed_iteration.txt": 8,
            **{f"iter_0000500/mp_rank_{n:02}/model_optim_rng.pt": GB for n in range(2)},
        },
        2.0,
        "other",
        "pickle",
        has=["iter_0000500/mp_rank_01/model_optim_rng.pt"],
    ),
    "yuhuili/EAGLE3-LLaMA3.1-Instruct-8B (a draft head)": Shape(
        {"README.md": 900, "config.json": 700, "pytorch_model.bin": 850 * MB},
        0.85,
        "transformers",
        "pickle",
        config={"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
    ),
    "RedHatAI/Llama-3.1-8B-Instruct-speculator.eagle3": Shape(
        {"README.md": 9000, "config.json": 2600, "eagle3.py": 9000, "model.safetensors": 1_260 * MB},
        1.26,
        "transformers",
        config={"architectures": ["Eagle3DraftModel"], "speculators_model_type": "eagle3"},
    ),
    "FasterDecoding/medusa-vicuna-7b-v1.3": Shape(
        {"README.md": 900, "config.json": 150, "medusa_lm_head.pt": 1_350 * MB},
        1.35,
        "other",
        "pickle",
        has=["config.json"],
    ),
    "a reward model of LLaMA-Factory (an adapter and a head)": Shape(
        {
            **texts("adapter_config.json", "all_results.json", "trainer_log.jsonl"),
            "adapter_model.safetensors": 84 * MB,
            "value_head.safetensors": 17 * KB,
            "training_args.bin": 5000,
        },
        0.093,
        "adapter",
        has=["value_head.safetensors"],
        lacks=["training_args.bin"],
    ),
    "ibm-granite/granite-speech-3.3-8b (an adapter that belongs to it)": Shape(
        {
            **texts("adapter_config.json", "preprocessor_config.json", "processor_config.json"),
            **shards("model", 4, 4.3 * GB),
            "adapter_model.safetensors": 136 * MB,
        },
        17.35,
        "transformers",
        has=["adapter_model.safetensors", "adapter_config.json"],
    ),
    "an adapter pushed with its last checkpoint": Shape(
        {
            **texts("adapter_config.json"),
            "adapter_model.safetensors": 160 * MB,
            "training_args.bin": 5000,
            **{
                f"last-checkpoint/{name}": size
                for name, size in {
                    "adapter_config.json": 700,
                    "adapter_model.safetensors": 160 * MB,
                    "optimizer.pt": 320 * MB,
                    "scheduler.pt": 1000,
                    "rng_state.pth": 14 * KB,
                    "trainer_state.json": 30 * KB,
                    "tokenizer.json": 9 * MB,
                }.items()
            },
        },
        0.169,
        "adapter",
        lacks=["last-checkpoint/adapter_model.safetensors", "last-checkpoint/tokenizer.json"],
    ),
    "a model with the best checkpoint beside it": Shape(
        {
            **texts(),
            "model.safetensors": 500 * MB,
            **{
                f"{folder}/{name}": size
                for folder in ("best_checkpoint", "checkpoint-best", "checkpoint_final")
                for name, size in {"model.safetensors": 500 * MB, "config.json": 700, "optimizer.bin": GB}.items()
            },
        },
        0.509,
        "transformers",
        lacks=["best_checkpoint/config.json", "checkpoint_final/model.safetensors"],
    ),
    "a SetFit model": Shape(
        {
            **texts("vocab.txt", "config_setfit.json"),
            **_POOLING,
            "model.safetensors": 438 * MB,
            "model_head.pkl": 7 * KB,
        },
        0.447,
        "sentence-transformers",
        "pickle",
        has=["model_head.pkl", "config_setfit.json"],
    ),
    "intfloat/multilingual-e5-large": Shape(
        {
            **texts("sentencepiece.bpe.model"),
            **_POOLING,
            "model.safetensors": 2_240 * MB,
            "pytorch_model.bin": 2_240 * MB,
            "onnx/model.onnx": 546 * KB,
            "onnx/model.onnx_data": 2_240 * MB,
            "onnx/model_qint8_avx512_vnni.onnx": 562 * MB,
            "onnx/tokenizer.json": 17 * MB,
            "openvino/openvino_model.bin": 2_240 * MB,
            "openvino/openvino_model.xml": 900 * KB,
        },
        2.25,
        "sentence-transformers",
        lacks=["onnx/tokenizer.json"],
    ),
    "sentence-transformers/clip-ViT-B-32 (a module that is the model)": Shape(
        {
            "README.md": 900,
            "modules.json": 122,
            "config_sentence_transformers.json": 116,
            "0_CLIPModel/config.json": 4000,
            "0_CLIPModel/merges.txt": 525 * KB,
            "0_CLIPModel/model.safetensors": 605 * MB,
            "0_CLIPModel/pytorch_model.bin": 605 * MB,
        },
        0.606,
        "sentence-transformers",
        documents={"modules.json": [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "x"}]},
        lacks=["0_CLIPModel/pytorch_model.bin"],
    ),
    "opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill (a router)": Shape(
        {
            **texts("idf.json", "router_config.json"),
            "modules.json": 135,
            "config_sentence_transformers.json": 120,
            "document_0_MLMTransformer/config.json": 700,
            "document_0_MLMTransformer/model.safetensors": 268 * MB,
            "document_1_SpladePooling/config.json": 100,
            "query_0_SparseStaticEmbedding/config.json": 100,
            "query_0_SparseStaticEmbedding/model.safetensors": 122 * KB,
            "query_0_SparseStaticEmbedding/idf.json": MB,
        },
        0.278,
        "sentence-transformers",
        documents={"modules.json": [{"idx": 0, "name": "0", "path": "", "type": "Router"}]},
        has=["query_0_SparseStaticEmbedding/model.safetensors", "document_0_MLMTransformer/model.safetensors"],
    ),
    "qdrant/bge-small-en-v1.5-onnx-Q": Shape(
        {**texts("vocab.txt", "ort_config.json"), "model_optimized.onnx": 67 * MB}, 0.076, "onnx"
    ),
    "Xenova/all-MiniLM-L6-v2": Shape(
        {
            **texts("vocab.txt"),
            **{
                f"onnx/model{end}.onnx": size * MB
                for end, size in {"": 90, "_fp16": 45, "_int8": 23, "_q4": 55}.items()
            },
        },
        0.1,
        "onnx",
        "has to be chosen",
    ),
    "lerobot/pi0 (statistics beside the model)": Shape(
        {
            "README.md": 900,
            **dict.fromkeys(("config.json", "policy_preprocessor.json", "policy_postprocessor.json"), 2000),
            "model.safetensors": 7_470 * MB,
            "policy_preprocessor_step_5_normalizer_processor.safetensors": 20 * KB,
            "policy_postprocessor_step_0_unnormalizer_processor.safetensors": 20 * KB,
        },
        7.47,
        "other",
        card={"library_name": "lerobot"},
        documents={"config.json": {"type": "pi0", "n_obs_steps": 1}},
        has=["policy_preprocessor_step_5_normalizer_processor.safetensors"],
    ),
    "a run of trl's value head": Shape(
        {**texts(), "pytorch_model.bin": 500 * MB, "model.safetensors": 500 * MB, "v_head.bin": 9 * KB},
        0.509,
        "transformers",
        "pickle",
        has=["v_head.bin"],
    ),
    "deepseek-ai/Janus-Pro-7B": Shape(
        {
            **texts("preprocessor_config.json", "processor_config.json"),
            **shards("pytorch_model", 2, 7.4 * GB, "bin"),
        },
        14.81,
        "transformers",
        "pickle",
        config={"architectures": ["MultiModalityCausalLM"], "model_type": "multi_modality"},
    ),
    "liuhaotian/llava-v1.5-7b": Shape(
        {**texts("tokenizer.model"), **shards("pytorch_model", 2, 6.75 * GB, "bin"), "mm_projector.bin": 42 * MB},
        13.55,
        "transformers",
        "pickle",
        has=["mm_projector.bin"],
    ),
    "openbmb/MiniCPM-o-2_6 (decoders of speech)": Shape(
        {
            **texts("modeling_minicpmo.py"),
            **shards("model", 4, 4.35 * GB),
            "assets/Decoder.pt": 104 * MB,
            "assets/DVAE_full.pt": 60 * MB,
            "assets/Vocos.pt": 54 * MB,
            "assets/demo.wav": 5 * MB,
        },
        17.63,
        "transformers",
        "pickle",
        has=["assets/Decoder.pt"],
    ),
    "google/gemma-2b-pytorch": Shape(
        {"README.md": 9000, "config.json": 200, "gemma-2b.ckpt": 5 * GB, "tokenizer.model": 4 * MB},
        5.0,
        "other",
        "pickle",
        documents={"config.json": {"model_type_": "gemma_pytorch"}},
    ),
    "google/gemma_2b_en of Keras": Shape(
        {
            "README.md": 900,
            **dict.fromkeys(("config.json", "metadata.json", "task.json", "tokenizer.json", "preprocessor.json"), 900),
            "assets/tokenizer/vocabulary.spm": 4 * MB,
            "model.weights.h5": 10_040 * MB,
        },
        10.04,
        "tensorflow",
        card={"library_name": "keras-hub"},
        has=["assets/tokenizer/vocabulary.spm"],
    ),
    "litert-community/Gemma3-1B-IT (packings for phones)": Shape(
        {
            "README.md": 9000,
            "gemma3-1b-it-int4.litertlm": 584 * MB,
            "gemma3-1b-it-int4.task": 555 * MB,
            **{
                f"Gemma3-1B-IT_multi-prefill-seq_q{bits}_ekv{cache}.task": bits * 150 * MB
                for bits in (4, 8)
                for cache in (2048, 4096)
            },
        },
        0,
        "other",
        "has to be chosen",
    ),
    "google/timesfm-1.0-200m (JAX)": Shape(
        {
            "README.md": 9000,
            "checkpoints/checkpoint_1100000/descriptor/descriptor.pbtxt": 600,
            "checkpoints/checkpoint_1100000/metadata/metadata": 200,
            "checkpoints/checkpoint_1100000/state/checkpoint": 814 * MB,
        },
        0.814,
        "other",
    ),
    "Prior-Labs/TabPFN-v2-clf": Shape(
        {
            "README.md": 900,
            "config.json": 37,
            **{f"tabpfn-v2-classifier{end}.ckpt": 29 * MB for end in ("", "-gn2p4bpt", "-llderlii", "-od3j1g5m")},
        },
        0.029,
        "other",
        "has to be chosen",
        has=["tabpfn-v2-classifier.ckpt"],
    ),
    "unstructuredio/yolo_x_layout": Shape(
        {
            "README.md": 900,
            "yolox_l0.05.onnx": 217 * MB,
            "yolox_l0.05_quantized.onnx": 55 * MB,
            "yolox_tiny.onnx": 20 * MB,
        },
        0,
        "onnx",
        "has to be chosen",
    ),
    "Intel's Open Model Zoo (FP16 and FP32 in folders)": Shape(
        {
            "README.md": 900,
            **{
                f"{kind}/person-detection.{end}": size
                for kind, weights in {"FP16": 3, "FP16-INT8": 2, "FP32": 6}.items()
                for end, size in {"bin": weights * MB, "xml": 400 * KB}.items()
            },
        },
        0,
        "openvino",
        "has to be chosen",
    ),
    "flair/ner-english-large": Shape(
        {
            "README.md": 3000,
            "pytorch_model.bin": 2_240 * MB,
            "loss.tsv": 1000,
            "training.log": 40 * KB,
            "test.tsv": 2 * MB,
        },
        2.24,
        "other",
        "pickle",
        card={"library_name": "flair"},
    ),
    "TorchServe's archive": Shape(
        {"README.md": 900, "config/config.properties": 500, "model-store/mnist.mar": 5 * MB},
        0.005,
        "other",
        "pickle",
        has=["config/config.properties", "model-store/mnist.mar"],
    ),
    "an exported program of PyTorch": Shape({"README.md": 900, "model.pt2": 50 * MB}, 0.05, "other", "pickle"),
    "facebook/moco (a checkpoint in .pth.tar)": Shape(
        {"README.md": 900, "moco_v2_800ep_pretrain.pth.tar": 340 * MB}, 0.34, "other", "pickle"
    ),
    "julien-c/wine-quality": Shape(
        {"README.md": 900, "config.yaml": 300, "sklearn_model.joblib": 200 * KB, "winequality-red.csv": 84 * KB},
        0.0003,
        "sklearn",
        "pickle",
        card={"library_name": "sklearn"},
    ),
    "ultralytics training": Shape(
        {
            "README.md": 900,
            "args.yaml": 1500,
            "results.csv": 20 * KB,
            "weights/best.pt": 6 * MB,
            "weights/last.pt": 6 * MB,
            "train_batch0.jpg": 400 * KB,
        },
        0.0064,
        "other",
        "pickle",
        card={"library_name": "ultralytics"},
        has=["weights/best.pt"],
        lacks=["weights/last.pt"],
    ),
    "checkpoints of Lightning": Shape(
        {
            "README.md": 900,
            "config.yaml": 1500,
            "epoch=3-step=1200.ckpt": 900 * MB,
            "epoch=7-step=2400.ckpt": 900 * MB,
            "last.ckpt": 900 * MB,
        },
        0.9,
        "other",
        "pickle",
        has=["last.ckpt"],
        lacks=["epoch=7-step=2400.ckpt"],
    ),
}
