"""Shapes of real repositories of speech, sound and music: names as they are, sizes rounded."""

from tests.modelcar.hub.more_repositories import GB, KB, MB, Shape, shards, texts

_F5 = ("F5TTS_Base/model_1200000", "E2TTS_Base/model_1200000", "F5TTS_v1_Base/model_1250000")

SPEECH: dict[str, Shape] = {
    "SWivid/F5-TTS (a training run in each folder)": Shape(
        {
            ".gitattributes": 1519,
            "README.md": 900,
            **{f"{one}.safetensors": 1_350 * MB for one in _F5},
            **{f"{one}.pt": 1_350 * MB for one in _F5[:2]},
            "F5TTS_Base_bigvgan/model_1250000.pt": 1_350 * MB,
            "F5TTS_v1_Base_no_zero_init/model_1250000.safetensors": 1_350 * MB,
            "F5TTS_Base/vocab.txt": 13 * KB,
            "F5TTS_v1_Base/vocab.txt": 13 * KB,
        },
        1.35,
        "other",
        "has to be chosen",
        card={"library_name": "f5-tts", "pipeline_tag": "text-to-speech"},
    ),
    "F5-TTS, one run asked for": Shape(
        {
            "README.md": 900,
            **{f"{one}.safetensors": 1_350 * MB for one in _F5},
            "F5TTS_Base/vocab.txt": 13 * KB,
            "F5TTS_v1_Base/vocab.txt": 13 * KB,
        },
        1.35,
        "other",
        variant="F5TTS_v1_Base",
        has=["F5TTS_v1_Base/model_1250000.safetensors", "F5TTS_v1_Base/vocab.txt"],
        lacks=["F5TTS_Base/vocab.txt"],
    ),
    "facebook/seamless-m4t-v2-large (the original beside the shards)": Shape(
        {
            **texts("sentencepiece.bpe.model", "spm_char_lang38_tc.model", "preprocessor_config.json"),
            **shards("model", 2, 4.62 * GB),
            "seamlessM4T_v2_large.pt": 8_970 * MB,
        },
        9.25,
        "transformers",
        lacks=["seamlessM4T_v2_large.pt"],
        config={"architectures": ["SeamlessM4Tv2Model"], "model_type": "seamless_m4t_v2"},
    ),
    "facebook/seamless-m4t-large (its own form)": Shape(
        {
            "README.md": 9000,
            "multitask_unity_large.pt": 10_700 * MB,
            "tokenizer.model": 5 * MB,
            "vocoder_36langs.pt": 160 * MB,
        },
        10.87,
        "other",
        "pickle",
        has=["vocoder_36langs.pt", "multitask_unity_large.pt"],
    ),
    "facebook/seamless-streaming": Shape(
        {
            "README.md": 9000,
            "seamless_streaming_unity.pt": 2_070 * MB,
            "seamless_streaming_monotonic_decoder.pt": 3_700 * MB,
            "spm_256k_nllb100.model": 5 * MB,
        },
        5.78,
        "other",
        "pickle",
        has=["seamless_streaming_monotonic_decoder.pt"],
    ),
    "distil-whisper/distil-large-v3-ggml": Shape(
        {"README.md": 900, "ggml-distil-large-v3.bin": 1_520 * MB, "ggml-distil-large-v3.fp32.bin": 3_030 * MB},
        0,
        "ggml",
        "chosen",
    ),
    "Systran/faster-distil-whisper-large-v3": Shape(
        {
            "README.md": 900,
            "config.json": 2700,
            "model.bin": 1_510 * MB,
            "preprocessor_config.json": 340,
            "tokenizer.json": 2_480 * KB,
            "vocabulary.json": MB,
        },
        1.51,
        "ctranslate2",
        has=["vocabulary.json"],
    ),
    "mlx-community/whisper-large-v3-turbo": Shape(
        {"README.md": 900, "config.json": 270, "weights.safetensors": 1_610 * MB},
        1.61,
        "mlx",
        card={"library_name": "mlx"},
    ),
    "mlx-community/Kokoro-82M-bf16 (voices in two forms)": Shape(
        {
            "README.md": 900,
            "config.json": 2400,
            "kokoro-v1_0.safetensors": 327 * MB,
            **{f"voices/af_{n}.{end}": 522 * KB for n in range(20) for end in ("pt", "safetensors")},
        },
        0.337,
        "mlx",
        card={"library_name": "mlx"},
        has=["voices/af_3.safetensors"],
        lacks=["voices/af_3.pt"],
    ),
    "facebook/audiogen-medium (both needed)": Shape(
        {"README.md": 9000, "compression_state_dict.bin": 236 * MB, "state_dict.bin": 3_680 * MB},
        3.92,
        "other",
        "pickle",
        card={"library_name": "audiocraft"},
        has=["compression_state_dict.bin"],
    ),
    "facebook/encodec_32khz": Shape(
        {
            "README.md": 9000,
            "config.json": 1200,
            "preprocessor_config.json": 200,
            "model.safetensors": 236 * MB,
            "pytorch_model.bin": 236 * MB,
            "state_dict.bin": 236 * MB,
        },
        0.236,
        "transformers",
        config={"architectures": ["EncodecModel"], "model_type": "encodec"},
        lacks=["state_dict.bin"],
    ),
    "facebook/musicgen-large (shards and audiocraft's form)": Shape(
        {
            **texts("preprocessor_config.json", "spiece.model"),
            **shards("model", 3, 4.5 * GB),
            **shards("pytorch_model", 3, 4.5 * GB, "bin"),
            "state_dict.bin": 6_500 * MB,
            "compression_state_dict.bin": 236 * MB,
        },
        13.51,
        "transformers",
        config={"architectures": ["MusicgenForConditionalGeneration"], "model_type": "musicgen"},
        lacks=["state_dict.bin", "compression_state_dict.bin"],
    ),
    "parler-tts/parler-tts-mini-v1": Shape(
        {**texts("spiece.model", "preprocessor_config.json"), "model.safetensors": 3_510 * MB}, 3.52, "transformers"
    ),
    "rhasspy/piper-voices (a voice in each folder)": Shape(
        {
            "README.md": 900,
            "voices.json": 300 * KB,
            **{
                f"en/en_US/{voice}/{size}/en_US-{voice}-{size}.{end}": count
                for voice, size in (("amy", "low"), ("amy", "medium"), ("lessac", "high"), ("ryan", "high"))
                for end, count in (("onnx", 63 * MB), ("onnx.json", 5 * KB))
            },
            "de/de_DE/thorsten/medium/de_DE-thorsten-medium.onnx": 63 * MB,
            "de/de_DE/thorsten/medium/de_DE-thorsten-medium.onnx.json": 5 * KB,
            "de/de_DE/thorsten/medium/MODEL_CARD": 300,
        },
        0.063,
        "onnx",
        "has to be chosen",
    ),
    "one voice of Piper asked for": Shape(
        {
            "README.md": 900,
            "voices.json": 300 * KB,
            **{
                f"en/en_US/{voice}/medium/en_US-{voice}-medium.{end}": count
                for voice in ("amy", "lessac")
                for end, count in (("onnx", 63 * MB), ("onnx.json", 5 * KB))
            },
        },
        0.063,
        "onnx",
        variant="en_US-amy-medium",
        has=["en/en_US/amy/medium/en_US-amy-medium.onnx.json"],
        lacks=["en/en_US/lessac/medium/en_US-lessac-medium.onnx.json"],
    ),
    "fishaudio/openaudio-s1-mini (a codec as large as the model)": Shape(
        {
            "README.md": 9000,
            "config.json": 900,
            "model.pth": 1_740 * MB,
            "codec.pth": 1_870 * MB,
            "tokenizer.tiktoken": 2 * MB,
            "special_tokens.json": 90 * KB,
        },
        3.61,
        "other",
        "pickle",
        card={"pipeline_tag": "text-to-speech", "library_name": "fish-speech"},
        has=["codec.pth"],
    ),
    "IndexTeam/IndexTTS-2": Shape(
        {
            "README.md": 9000,
            "config.yaml": 3000,
            "bpe.model": 476 * KB,
            "gpt.pth": 3_480 * MB,
            "s2mel.pth": 1_200 * MB,
            "feat1.pt": 60 * KB,
            "feat2.pt": 380 * KB,
            "wav2vec2bert_stats.pt": 9 * KB,
            "qwen0.6bemo4-merge/config.json": 700,
            "qwen0.6bemo4-merge/model.safetensors": 1_190 * MB,
            "qwen0.6bemo4-merge/tokenizer.json": 11 * MB,
        },
        5.88,
        "other",
        "pickle",
        has=["qwen0.6bemo4-merge/model.safetensors", "feat1.pt", "wav2vec2bert_stats.pt"],
    ),
    "amphion/MaskGCT (parts in folders)": Shape(
        {
            "README.md": 9000,
            "semantic_codec/model.safetensors": 177 * MB,
            "acoustic_codec/model.safetensors": 50 * MB,
            "acoustic_codec/model_1.safetensors": 120 * MB,
            "t2s_model/model.safetensors": 2_780 * MB,
            "s2a_model/s2a_model_1layer/model.safetensors": 1_410 * MB,
            "s2a_model/s2a_model_full/model.safetensors": 1_430 * MB,
        },
        5.97,
        "other",
        has=["acoustic_codec/model_1.safetensors", "s2a_model/s2a_model_1layer/model.safetensors"],
    ),
    "2noise/ChatTTS (pickles and their successors)": Shape(
        {
            "README.md": 9000,
            **{
                f"asset/{name}.{end}": size * MB
                for name, size in {"Decoder": 104, "DVAE": 60, "Vocos": 54, "Embed": 144}.items()
                for end in ("pt", "safetensors")
            },
            "asset/GPT.pt": 901 * MB,
            "asset/spk_stat.pt": 8 * KB,
            "asset/gpt/config.json": 600,
            "asset/gpt/model.safetensors": 858 * MB,
            "asset/tokenizer/tokenizer.json": 400 * KB,
            "config/gpt.yaml": 300,
        },
        1.22,
        "other",
        "pickle",
        has=["asset/gpt/model.safetensors", "asset/spk_stat.pt", "asset/Embed.safetensors"],
        lacks=["asset/GPT.pt", "asset/Decoder.pt"],
    ),
    "nvidia/bigvgan_v2_24khz_100band_256x (what it was trained with)": Shape(
        {
            "README.md": 9000,
            "config.json": 1400,
            "bigvgan_generator.pt": 450 * MB,
            "bigvgan_generator_3msteps.pt": 450 * MB,
            "bigvgan_discriminator_optimizer.pt": 1_500 * MB,
            "bigvgan_discriminator_optimizer_3msteps.pt": 1_500 * MB,
        },
        0.45,
        "other",
        "has to be chosen",
        card={"library_name": "PyTorch"},
        has=["bigvgan_generator.pt"],
        lacks=["bigvgan_discriminator_optimizer.pt"],
    ),
    "pyannote/speaker-diarization-community-1 (tables in NumPy)": Shape(
        {
            "README.md": 9000,
            "config.yaml": 500,
            "segmentation/pytorch_model.bin": 6 * MB,
            "embedding/pytorch_model.bin": 27 * MB,
            "plda/plda.npz": 133 * KB,
            "plda/xvec_transform.npz": 134 * KB,
        },
        0.033,
        "other",
        "pickle",
        card={"library_name": "pyannote-audio"},
        has=["plda/plda.npz", "plda/xvec_transform.npz", "segmentation/pytorch_model.bin"],
    ),
    "myshell-ai/OpenVoiceV2": Shape(
        {
            "README.md": 900,
            "converter/checkpoint.pth": 131 * MB,
            "converter/config.json": 900,
            **{f"base_speakers/ses/{name}.pth": 1700 for name in ("en-us", "en-au", "es", "fr", "jp", "kr", "zh")},
        },
        0.131,
        "other",
        "pickle",
        has=["base_speakers/ses/jp.pth"],
    ),
    "moonshotai/Kimi-Audio-7B-Instruct (parts beside the model)": Shape(
        {
            **texts("modeling_moonshot_kimia.py", "tokenization_kimia.py", "tiktoken.model"),
            **{f"model-{n}-of-35.safetensors": 540 * MB for n in range(1, 36)},
            "model.safetensors.index.json": 40 * KB,
            "audio_detokenizer/model.pt": 19 * GB,
            "audio_detokenizer/config.yaml": 900,
            "vocoder/model.pt": 500 * MB,
            "vocoder/config.json": 900,
            "whisper-large-v3/config.json": 1300,
            "whisper-large-v3/model.safetensors": 3_090 * MB,
        },
        41.5,
        "transformers",
        "pickle",
        config={"model_type": "kimi_audio", "architectures": ["MoonshotKimiaForCausalLM"]},
        has=["whisper-large-v3/model.safetensors", "vocoder/model.pt", "audio_detokenizer/model.pt"],
    ),
    "microsoft/speecht5_tts": Shape(
        {**texts("spm_char.model", "preprocessor_config.json"), "pytorch_model.bin": 585 * MB},
        0.594,
        "transformers",
        "pickle",
    ),
    "openai-whisper checkpoints of its own form": Shape(
        {
            "README.md": 900,
            **{f"{name}.pt": size * MB for name, size in {"tiny": 76, "base": 145, "large-v3": 3090}.items()},
        },
        0.145,
        "other",
        "has to be chosen",
    ),
    "facebook/wav2vec2-base-960h": Shape(
        {
            **texts("vocab.json", "preprocessor_config.json", "feature_extractor_config.json"),
            **dict.fromkeys(("model.safetensors", "pytorch_model.bin", "tf_model.h5"), 378 * MB),
        },
        0.387,
        "transformers",
    ),
    "nvidia/parakeet-ctc-1.1b (both forms)": Shape(
        {
            "README.md": 9000,
            **dict.fromkeys(("config.json", "processor_config.json", "tokenizer_config.json"), 900),
            "tokenizer.json": 100 * KB,
            "model.safetensors": 4_250 * MB,
            "parakeet-ctc-1.1b.nemo": 4_280 * MB,
        },
        4.25,
        "transformers",
        config={"architectures": ["ParakeetForCTC"], "model_type": "parakeet_ctc"},
        lacks=["parakeet-ctc-1.1b.nemo"],
    ),
}
