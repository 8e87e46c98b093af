"""Completeness of a model's weights: an image may leave files out, but shards of one set are of use only together."""

import re
from collections.abc import Collection, Iterable

_SHARD = re.compile(r"(?P<stem>.*?)-?\d{5}-of-(?P<count>\d{5})(?P<end>\..+)")
"""Form in which transformers, diffusers and llama.cpp number a set's files: `model-00001-of-00004.safetensors`."""

_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".ckpt")


def missing_weights(taken: Collection[str], published: Iterable[str]) -> list[str]:
    """Names the published files without which those that were taken are no complete model.

    These are the other shards of each set of which some were taken; and all weights, where none were.

    Args:
        taken: Paths of the files that were taken.
        published: Paths of all files.
    """
    weights = sorted(path for path in published if path.endswith(_WEIGHTS))
    if not any(path in taken for path in weights):
        return weights
    sets = {_set(path) for path in taken} - {None}
    return [path for path in weights if path not in taken and _set(path) in sets]


def _set(path: str) -> tuple[str, str, str] | None:
    match = _SHARD.fullmatch(path)
    return (match["stem"], match["count"], match["end"]) if match else None
