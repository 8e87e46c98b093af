"""The files beside the weights of a made-up Llama: configuration, tokenizer, card."""

import json
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = ("<unk>", "<s>", "</s>")
NAMED_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

README = """---
license: apache-2.0
base_model: example/tiny-llama-base
library_name: transformers
pipeline_tag: text-generation
language:
- en
tags:
- demo
---

# Tiny Llama

A made-up model: its weights are random, its files are those of a real one.
"""

GITATTRIBUTES = """*.bin filter=lfs diff=lfs merge=lfs -text
*.pth filter=lfs diff=lfs merge=lfs -text
*.safetensors filter=lfs diff=lfs merge=lfs -text
tokenizer.json filter=lfs diff=lfs merge=lfs -text
"""

LICENSE = """Licensed under the Apache License, Version 2.0.
You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
"""


def write_model_files(folder: Path, config: dict[str, Any], generation_config: dict[str, Any]) -> None:
    """Write what a model repository holds beside weights and their index."""
    texts = {"README.md": README, ".gitattributes": GITATTRIBUTES, "LICENSE": LICENSE}
    values = {
        "config.json": config,
        "generation_config.json": generation_config,
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": _tokenizer_config(),
        "special_tokens_map.json": NAMED_TOKENS,
        "tekken.json": _tekken(),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    for name, value in values.items():
        write_json(folder / name, value)


def write_json(path: Path, value: Any) -> None:
    """Write a value as model repositories have it: indented, with a newline at the end."""
    path.write_text(json.dumps(value, indent=2) + "\n")


def _byte_alphabet() -> list[str]:
    # Byte-level BPE writes a byte as itself when it is printable, and as a letter above 255 when it is not.
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [value for value in range(256) if value not in printable]
    return [chr(value) if value in printable else chr(256 + hidden.index(value)) for value in range(256)]


def _tokenizer() -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokens = [*SPECIAL_TOKENS, *_byte_alphabet()]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(number, token) for number, token in enumerate(SPECIAL_TOKENS)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {token: number for number, token in enumerate(tokens)}, "merges": []},
    }


def _added_token(number: int, token: str) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": token, **plain, "special": True}


def _tokenizer_config() -> dict[str, Any]:
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return {
        **NAMED_TOKENS,
        "chat_template": template,
        "model_max_length": 2048,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def _tekken() -> dict[str, Any]:
    size = len(SPECIAL_TOKENS) + 256
    limits = {"default_vocab_size": size, "default_num_special_tokens": len(SPECIAL_TOKENS), "version": "v3"}
    return {"config": {"pattern": r"\p{L}+|\p{N}|\s+", **limits}, "vocab": [], "special_tokens": list(SPECIAL_TOKENS)}
