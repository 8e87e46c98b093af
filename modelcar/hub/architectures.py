"""Architectures of transformers, by what serves them: vLLM's generation, its pooling, or transformers itself.

Source: vLLM's lists of supported models, https://docs.vllm.ai/en/latest/models/supported_models.html.
"""

from collections.abc import Mapping, Sequence
from typing import Any

NATIVE = frozenset((
    "falcon", "deepseek_v2", "deepseek_v3", "phi", "phi3", "phimoe", "mpt", "stablelm", "gpt_bigcode", "starcoder2",
    "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "llama", "mistral", "mixtral", "olmo", "glm", "glm4", "dbrx",
    "cohere", "granite", "exaone4", "minicpm3", "gpt_oss", "whisper", "bert", "xlm-roberta", "roberta", "modernbert",
    "gemma", "gemma2", "gemma3",
))  # fmt: skip
"""Model types whose code transformers and vLLM have themselves: the repository's own code is not run."""

_NOT_IN_VLLM = (
    "T5", "MT5", "UMT5", "Bart", "MBart", "Pegasus", "Marian", "M2M100", "Musicgen", "Bark", "SpeechT5", "Led",
    "ProphetNet", "Blenderbot", "SwitchTransformers", "LongT5", "VitsModel", "EncodecModel", "Speech2Text", "TrOCR",
    "VisionEncoderDecoder", "Pix2Struct",
)  # fmt: skip
_POOLED = ("ForSequenceClassification", "ForReward", "ForRewardModel", "RewardModel")
_HF_HEADS = (
    "ForTokenClassification", "ForMaskedLM", "ForQuestionAnswering", "ForImageClassification", "ForObjectDetection",
    "ForCTC", "ForAudioClassification", "ForSemanticSegmentation", "ForDepthEstimation",
    "ForZeroShotImageClassification",
)  # fmt: skip
_HF_TASKS = frozenset((
    "fill-mask", "token-classification", "question-answering", "image-classification", "object-detection",
    "translation", "summarization", "text2text-generation", "text-to-audio", "text-to-speech", "image-segmentation",
    "depth-estimation", "zero-shot-image-classification", "audio-classification", "image-feature-extraction",
))  # fmt: skip
_POOLED_TASKS = frozenset(("feature-extraction", "sentence-similarity", "text-classification", "text-ranking"))


def is_draft(architectures: Sequence[str], config: Mapping[str, Any]) -> bool:
    """Tells whether a model drafts for another one: Eagle, Medusa, MLP speculators.

    Args:
        architectures: Its classes in transformers.
        config: Its configuration.
    """
    named = f"{' '.join(architectures)} {config.get('model_type')}".lower()
    return "speculators_model_type" in config or any(word in named for word in ("eagle", "medusa", "speculator"))


def is_for_transformers(architecture: str, task: str) -> bool:
    """Tells whether a model is served by transformers, and not by vLLM.

    Args:
        architecture: Its class in transformers; empty if it is not known.
        task: What the Hub says that it does; decides where the class is not known.
    """
    if not architecture:
        return task in _HF_TASKS
    return architecture.startswith(_NOT_IN_VLLM) or architecture.endswith(_HF_HEADS)


def is_pooled(architecture: str, task: str) -> bool:
    """Tells whether vLLM serves a model for its vectors or scores: embeddings, classifiers, rerankers.

    Args:
        architecture: Its class in transformers; empty if it is not known.
        task: What the Hub says that it does; decides where the class is not known.
    """
    if not architecture:
        return task in _POOLED_TASKS
    only_encodes = architecture.endswith("Model") and not architecture.endswith("LMHeadModel")
    return only_encodes or architecture.endswith(_POOLED)
